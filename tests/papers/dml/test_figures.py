"""The explorer of notebook 08 draws the numbers that the loss has."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from kdlab.papers.dml import figures as pictures
from kdlab.papers.dml.figures import SHARES, Story, asked, disputed
from kdlab.papers.dml.method import TARGETS
from kdlab.seeds import generator
from kdlab.show.plots import png
from kdlab.train.worlds import replicate
from tests import oracles
from tests.mutants import assert_caught
from tests.papers.dml.test_experiment import TINY
from tests.papers.dml.test_method import slow_mimicry

CLASSES = ("ant", "bee", "cat", "dog")


def peers(K: int = 3, seed: int = 0) -> Tensor:
    return 2 * torch.randn(K, 4, generator=generator(seed, "peers"), dtype=torch.float64)


@pytest.fixture
def story() -> Story:
    z = 2 * torch.randn(3, 3, 6, 4, generator=generator(0, "story"))
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    images = torch.rand(6, 1, 8, 8, generator=generator(1, "story"))
    return Story([0.0, 0.5, 1.0], z, y, images, CLASSES, disputed(z, y, 3))


def heights(ax: plt.Axes, name: str) -> list[float]:
    """Return the heights of the bars that the legend calls `name`."""
    (bars,) = [group for group in ax.containers if group.get_label() == name]
    return [bar.get_height() for bar in bars]


@pytest.mark.parametrize(("k", "target"), list(itertools.product(range(3), TARGETS)))
def test_what_is_asked_is_the_value_and_the_gap_of_the_posteriors(k: int, target: str):
    z, y = peers(), 2
    before = z.clone()
    found = asked(z, k, y, target)
    assert torch.equal(z, before) and list(found) == ["label", "peers"]
    q = [oracles.softmax(row) for row in z.tolist()]
    assert found["label"][0] == pytest.approx(-np.log(q[k][y]))
    assert found["peers"][0] == pytest.approx(slow_mimicry([row[None] for row in z], k, target))
    np.testing.assert_allclose(found["label"][1], np.eye(4)[y] - q[k], atol=1e-9)
    others = [q[place] for place in range(3) if place != k]
    mean = [row.tolist() for place, row in enumerate(z) if place != k]
    aim = oracles.softmax(np.mean(mean, axis=0)) if target == "logits" else np.mean(others, axis=0)
    step = (2 if target == "sum" else 1) * (np.array(aim) - q[k])
    np.testing.assert_allclose(found["peers"][1], step, atol=1e-9)


def test_each_and_their_mean_ask_the_same_and_have_other_values():
    """The identity that a reader is to find with the explorer."""
    one, two = (asked(peers(), 0, 1, target)["peers"] for target in ("each", "mean"))
    torch.testing.assert_close(one[1], two[1], rtol=0, atol=1e-12)
    assert one[0] - two[0] > 0.01


@pytest.mark.parametrize("target", TARGETS)
def test_the_explorer_draws_answers_and_steps(story: Story, target: str):
    fig = pictures.explorer(story, 1, 2, 1, target)
    image, left, right = fig.axes
    row = story.rows[1]
    z, label = story.z[2, :, row], int(story.y[row])
    assert image.get_title(loc="center") == f"label {CLASSES[label]}"
    for k in range(3):
        expected = oracles.softmax(z[k].tolist())
        assert heights(left, f"$q_{k + 1}$") == pytest.approx(expected, abs=1e-6)
    found = asked(z, 1, label, target)
    for name, (_, step) in found.items():
        assert heights(right, name) == pytest.approx(step.tolist(), abs=1e-6)
        assert max(map(abs, step.tolist())) < right.get_ylim()[1]
    assert "100%" in left.get_title(loc="left") and "peer 2" in right.get_title(loc="left")
    (note,) = [text.get_text() for text in right.texts]
    assert f"{found['peers'][0]:.3f}" in note and pictures.NAMES[target] in note
    assert len(png(fig)) < 60_000


def test_texts_are_large_enough(story: Story):
    def sizes(fig: Figure) -> list[float]:
        found = fig.findobj(plt.Text)
        return [text.get_fontsize() for text in found if text.get_text().strip()]

    assert min(sizes(pictures.explorer(story, 0, 0, 0, "each"))) >= 9  # points: 12 px at 96 dpi


def test_disputed_images_come_first_and_one_a_label():
    z = torch.zeros(2, 3, 6, 4)
    y = torch.tensor([0, 0, 1, 1, 2, 3])
    for row, sure in [(1, 4.0), (3, 2.0), (2, 3.0), (5, 1.0)]:
        z[1, 0, row, 0] = z[1, 1, row, 1] = sure
    assert disputed(z, y, 3) == [1, 2, 5]
    z[:, 2] = 9 * torch.randn(2, 6, 4, generator=generator(0, "third"))
    assert disputed(z, y, 3) == [1, 2, 5], "the third peer has no part in it"


def test_a_story_is_kept_from_the_first_weights_to_the_last():
    r = replicate(TINY, 1)
    found = pictures.story_of(r, longer=1)
    moments, peers, n, c = found.z.shape
    assert (peers, n, c) == (3, len(found.y), 10) and n == len(found.images) <= pictures.IMAGES
    assert found.shares[0] == 0 and found.shares[-1] == 1 and 2 <= moments <= len(SHARES)
    assert len(found.shares) == moments and found.shares == sorted(set(found.shares))
    labels = found.y[found.rows]
    assert len(set(labels.tolist())) == len(labels) > 0
    assert not torch.equal(found.z[0], found.z[-1])
    assert torch.equal(found.z, pictures.story_of(r, longer=1).z)


def test_many_classes_fit():
    names = tuple(f"class {c}" for c in range(40))
    z = torch.zeros(1, 3, 1, 40)
    story = Story([0.0], z, torch.tensor([7]), torch.rand(1, 3, 8, 8), names, [0])
    fig = pictures.explorer(story, 0, 0, 2, "mean")
    assert all(len(ax.get_xticks()) == 10 for ax in fig.axes[1:])


MUTANTS = {
    "the gradient itself": ("-torch.autograd", "torch.autograd"),
    "a peer asks itself": ("z[k + 1 :, None]", "z[k:, None]"),
    "only peers before": ("*z[k + 1 :, None]", ""),
    "target forgotten": ("others, target)", "others)"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_number_is_caught(name: str):
    def checked() -> None:
        for k, target in ((0, "sum"), (1, "each")):
            test_what_is_asked_is_the_value_and_the_gap_of_the_posteriors(k, target)

    assert_caught(asked, *MUTANTS[name], by=[checked])
