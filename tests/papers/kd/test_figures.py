"""The figures of notebook 00 draw the numbers that the loss has."""

import copy

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.colors import to_hex
from torch import Tensor

from kdlab.papers.kd import figures as pictures
from kdlab.papers.kd.figures import Case
from kdlab.papers.kd.method import kd_loss
from kdlab.seeds import generator
from kdlab.show.plots import png
from kdlab.train.method import hard_loss
from tests.oracles import softmax

CLASSES = tuple("abcde")
T, ALPHA = 4.0, 0.9


@pytest.fixture
def case() -> Case:
    z_t, z_s = torch.randn(2, 5, generator=generator(0, "figures")) * 3
    image = torch.rand(1, 8, 8, generator=generator(1, "figures"))
    return Case("a, almost b", image, 2, z_t, {"trained": z_s, "equal": z_t})


def heights(ax: plt.Axes, name: str) -> list[float]:
    """Return the heights of the bars that the legend calls `name`."""
    (bars,) = [group for group in ax.containers if group.get_label() == name]
    return [bar.get_height() for bar in bars]


def pulls(case: Case, T: float, alpha: float) -> dict[str, Tensor]:
    """Return minus the gradient of each term of the loss, by autograd."""
    z = case.z_s["trained"].clone().requires_grad_()
    hard = (1 - alpha) * hard_loss(z[None], torch.tensor([case.label]))
    soft = alpha * kd_loss(z[None], case.z_t[None], T)
    return {
        name: -torch.autograd.grad(term, z)[0]
        for name, term in {"hard": hard, "soft": soft}.items()
    }


@pytest.mark.parametrize("T", [0.5, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_explorer_draws_both_distributions_and_the_gradient(case: Case, T: float, alpha: float):
    before = copy.deepcopy(case)
    _, left, right = pictures.explorer([case], CLASSES, 0, "trained", T, alpha).axes
    for name, z in (("teacher $p_T$", case.z_t), ("student $q_T$", case.z_s["trained"])):
        assert heights(left, name) == pytest.approx(softmax(z.tolist(), T), abs=1e-6)
    expected = pulls(case, T, alpha)
    for name in ("hard", "soft"):
        assert heights(right, name) == pytest.approx(expected[name].tolist(), abs=1e-6)
    (total,) = [line for line in right.lines if line.get_label() == "sum"]
    np.testing.assert_allclose(total.get_ydata(), (expected["hard"] + expected["soft"]), atol=1e-6)
    assert torch.equal(before.z_t, case.z_t) and torch.equal(before.image, case.image)
    assert all(torch.equal(before.z_s[stage], z) for stage, z in case.z_s.items())


def test_the_explorer_labels_what_it_shows(case: Case):
    picture, left, right = pictures.explorer([case], CLASSES, 0, "trained", T, ALPHA).axes
    assert picture.get_title(loc="center") == "label c"
    assert left.get_title(loc="left") == "Distributions at T = 4"
    assert right.get_title(loc="left") == "Pull of the loss, alpha = 0.9"
    for ax in (left, right):
        assert ax.get_ylabel() and ax.get_xlabel() == "class"
        assert [tick.get_text() for tick in ax.get_xticklabels()] == list(CLASSES)


def test_the_pull_leaves_room_for_legend_and_note(case: Case):
    *_, right = pictures.explorer([case], CLASSES, 0, "trained", T, ALPHA).axes
    low, high = right.get_ylim()
    values = [*heights(right, "hard"), *heights(right, "soft")]
    assert high - max(values) > 0.15 * (max(values) - min(values))
    assert min(values) - low > 0.15 * (max(values) - min(values))


@pytest.mark.parametrize("label", range(5))
@pytest.mark.parametrize("T", [0.5, 20.0])
def test_no_bar_hides_a_legend_or_a_note(case: Case, label: int, T: float):
    z = 9 * F.one_hot(torch.tensor(label), 5).float()
    fig = pictures.explorer([case._replace(z_t=z, label=label)], CLASSES, 0, "trained", T, ALPHA)
    fig.draw_without_rendering()
    for ax in fig.axes[1:]:
        bars = [bar.get_window_extent() for group in ax.containers for bar in group]
        for text in (ax.get_legend(), *ax.texts):
            assert not any(text.get_window_extent().overlaps(bar) for bar in bars)
        assert not ax.get_legend().get_window_extent().overlaps(ax.texts[0].get_window_extent())


def test_every_colour_of_the_pull_means_one_thing(case: Case):
    *_, left, right = pictures.explorer([case], CLASSES, 0, "trained", T, ALPHA).axes
    sums = {line.get_color() for line in right.lines if line.get_label() == "sum"}
    bars = {to_hex(bar.get_facecolor()).upper() for ax in (left, right) for bar in ax.patches}
    assert len(bars) == 3 and sums.isdisjoint(bars)


def test_the_same_settings_give_the_same_picture(case: Case):
    one, two = (pictures.explorer([case], CLASSES, 0, "trained", T, ALPHA) for _ in range(2))
    assert png(one) == png(two)
    assert png(pictures.explorer([case], CLASSES, 0, "trained", 5.0, ALPHA)) != png(one)


def test_no_soft_pull_where_student_equals_teacher(case: Case):
    assert pictures.gradients(case, "equal", T, 1.0)["soft"].abs().max() < 1e-6


def test_the_twin_shows_the_teacher_at_each_temperature(case: Case):
    _, *axes = pictures.twin(case, CLASSES, (1, 4, 20)).axes
    for ax, temperature in zip(axes, (1, 4, 20), strict=True):
        drawn = [bar.get_height() for bar in ax.patches]
        assert drawn == pytest.approx(softmax(case.z_t.tolist(), temperature), abs=1e-6)
        assert ax.get_title(loc="left") == f"T = {temperature}"


def test_ambiguous_finds_right_answers_with_a_faint_second_class():
    z = torch.randn(60, 5, generator=generator(2, "figures")) * 2
    y = torch.randint(0, 5, (60,), generator=generator(3, "figures"))
    found = pictures.ambiguous(z, y, CLASSES, count=5, second=0.2)
    p = F.softmax(z, dim=1)
    right = [i for i in range(60) if p[i].argmax() == y[i]]
    away = {i: abs(p[i].sort().values[-2].item() - 0.2) for i in right}
    for name, row in found.items():
        assert row == min((i for i in right if y[i] == y[row]), key=away.__getitem__)
        assert name == f"{CLASSES[y[row]]}, a little {CLASSES[p[row].argsort()[-2]]}"
    assert len({int(y[row]) for row in found.values()}) == len(found)
    rows = [away[row] for row in found.values()]
    assert rows == sorted(rows) and len(pictures.ambiguous(z, y, CLASSES, count=2)) == 2


def test_the_gradient_check_draws_means_over_images():
    z_s, z_t = torch.randn(2, 30, 5, generator=generator(4, "figures"), dtype=torch.float64)
    left, right = pictures.gradient_check(z_s, z_t, (1, 4)).axes
    with_it, without = (line.get_ydata() for line in left.lines)
    for place, T in enumerate((1, 4)):
        z = z_s.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(len(z) * kd_loss(z, z_t, T), z)
        assert with_it[place] == pytest.approx(gradient.norm(dim=1).mean().item(), rel=1e-5)
        assert without[place] == pytest.approx(with_it[place] / T**2)
        gap = z_s - z_t
        gap = gap - gap.mean(dim=1, keepdim=True)
        cosine = F.cosine_similarity(gradient, gap, dim=1).mean().item()
        assert right.lines[0].get_ydata()[place] == pytest.approx(cosine, rel=1e-5)


def test_the_soft_gradient_becomes_logit_matching():
    z_s, z_t = torch.randn(2, 30, 5, generator=generator(5, "figures"), dtype=torch.float64)
    cosines = [pictures.towards_matching(z_s, z_t, T).mean().item() for T in (1, 4, 20, 1000)]
    assert cosines == sorted(cosines) and cosines[-1] == pytest.approx(1, abs=1e-5)


def test_cases_take_the_chosen_rows(data):
    z = torch.randn(len(data.test.y), 10, generator=generator(6, "figures"))
    (one,) = pictures.cases(data, {"first": 7}, z, {"stage": 2 * z})
    assert (one.name, one.label) == ("first", int(data.test.y[7]))
    assert torch.equal(one.z_t, z[7]) and torch.equal(one.z_s["stage"], 2 * z[7])
    assert one.image.min() >= 0 and one.image.max() <= 1
