"""The explorer of notebook 03 draws the numbers that the loss has."""

import pytest
import torch

from kdlab.papers.understanding import figures
from kdlab.papers.understanding.experiment import CELLS
from kdlab.papers.understanding.figures import Told
from kdlab.papers.understanding.method import make_target, means, soft_loss
from kdlab.show.explorers.panels import choice, drive, panel, slider
from kdlab.show.plots import png
from kdlab.train.method import hard_loss
from tests.papers.understanding.conftest import tiny

WAYS = list(CELLS)


@pytest.fixture
def told() -> Told:
    gen = torch.Generator().manual_seed(0)
    z, y = 3 * torch.randn(60, 8, generator=gen), torch.randint(0, 8, (60,), generator=gen)
    return Told(z, y, torch.rand(60, 1, 8, 8, generator=gen), tuple("abcdefgh"))


def heights(ax) -> list[float]:
    return [bar.get_height() for bar in ax.patches]


def line(ax, name: str) -> list[float]:
    (found,) = [one for one in ax.lines if one.get_label() == name]
    return list(found.get_ydata())


def pull(r: torch.Tensor, y: torch.Tensor, T: float, ahead: float, alpha: float = 0.9) -> float:
    """Return minus the gradient of the whole loss at the label's logit, by autograd."""
    z = torch.zeros(1, len(r))
    z[0, y] = ahead
    z.requires_grad_()
    loss = (1 - alpha) * hard_loss(z, y[None]) + alpha * soft_loss(z, r[None], T)
    return -torch.autograd.grad(loss, z)[0][0, y].item()


@pytest.mark.parametrize(("mass", "shape"), WAYS)
def test_the_explorer_draws_target_answer_and_pull(told: Told, mass: str, shape: str):
    row, y, T = 7, told.y[7], 2.0
    _, left, right = figures.explorer(told, row, T, mass, shape).axes
    average = means(told.z, told.y, T)
    shared = {"even": torch.ones(8, 8), "class": average.shape, "image": None}[shape]
    held = average.mass if mass == "mean" else None
    r = make_target(told.z[7:8], y[None], T, held, shared)[0]
    assert heights(left) == pytest.approx(r.tolist(), abs=1e-6)
    p = (told.z[row] / T).softmax(0)
    assert line(left, "teacher $p_T$") == pytest.approx(p.tolist(), abs=1e-6)
    for place in (0, 30, 60):
        ahead = figures.AHEAD[place].item()
        drawn = line(right, "this target")[place]
        assert drawn == pytest.approx(pull(r, y, T, ahead), abs=1e-4)
        alone = line(right, "labels alone")[place]
        assert alone == pytest.approx(pull(r, y, T, ahead, alpha=0.0), abs=1e-4)
    usual = make_target(told.z[7:8], y[None], T, average.mass, shared)[0]
    assert line(right, "mean mass")[0] == pytest.approx(pull(usual, y, T, 0.0), abs=1e-4)


def test_the_whole_answer_loses_nothing(told: Told):
    now = figures.taken_apart(told, 3, 4.0, "image", "image")
    assert torch.equal(now["p"], now["r"])
    assert now["omega"].item() == pytest.approx(
        (now["this target"] / now["labels alone"])[0].item()
    )


def test_the_six_targets_stand_in_their_places(told: Told):
    axes = figures.six(told, 5, 4.0).axes
    assert [ax.get_title(loc="left") for ax in axes] == list(CELLS.values())
    for ax, way in zip(axes, CELLS, strict=True):
        assert heights(ax) == pytest.approx(told.part(4.0, *way)[5].tolist(), abs=1e-6)


def test_the_cases_are_what_their_names_say(told: Told):
    (_, sure), (_, doubt), (towards, a), (away, b) = figures.cases(told)
    mass = told.part(4.0, "image", "image").gather(1, told.y[:, None])[:, 0]
    assert (mass[sure], mass[doubt]) == (mass.max(), mass.min())
    assert (towards, away) == ("c, towards d", "c, towards h")
    gap = told.z[:, 3] - told.z[:, 7]
    twos = told.y == 2
    assert gap[a] == gap[twos].max() and gap[b] == gap[twos].min()
    assert told.y[a] == told.y[b] == 2


def test_the_gallery_shows_both_ends(told: Told):
    score = torch.arange(60.0)
    axes = figures.gallery(told, score, ("low", "high"), count=3).axes
    heads = [ax.get_title(loc="center").split("\n")[0] for ax in axes]
    assert heads == ["low 0.00", "low 1.00", "low 2.00", "high 59.00", "high 58.00", "high 57.00"]


def test_the_same_settings_give_the_same_picture(told: Told):
    one, two = (png(figures.explorer(told, 3, 4.0, "mean", "class")) for _ in range(2))
    assert one == two != png(figures.explorer(told, 3, 4.0, "mean", "even"))


def test_the_explorer_moves_to_all_its_ends(folder):
    told = figures.told_by(tiny("mnist5k", 0))
    explorer = panel(
        lambda **at: figures.explorer(told, **at),
        alt="The target at T = {T:g}.",
        row=choice("image", figures.cases(told), figures.cases(told)[1][1]),
        mass=choice("mass", [("mean", "mean"), ("own", "image")], "mean"),
        shape=choice("shape", ["even", "class", "image"], "even"),
        T=slider("temperature T", [0.5, 1.0, 4.0, 20.0], 4.0),
    )
    assert drive(explorer) == 8
