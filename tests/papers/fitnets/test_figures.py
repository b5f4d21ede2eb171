"""The figures of notebook 04 draw the numbers of the nets and of the loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kdlab.budget import plan
from kdlab.papers.fitnets import figures
from kdlab.papers.fitnets.method import REDUCTIONS
from kdlab.papers.fitnets.nets import KINDS, kernel, thin
from kdlab.show.plots import png
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import replicate
from tests.papers.fitnets import oracles

TINY = replace(
    plan("lesson").world("mnist5k"),
    n_labelled=100,
    teacher_net="cnn4",
    recipe=Recipe(steps=8),
    teacher_recipe=Recipe(steps=8),
)


@pytest.fixture(scope="module")
def pairs():
    return figures.peeks(replicate(TINY, 0), ("layer3", "layer15"), ("block2", "block3"), longer=1)


def test_spread_and_gradient_by_hand(data):
    found = figures.signal(5, "he", data, images=20)
    net, x, y = (
        thin(5, "he", n_classes=10, in_shape=(1, 28, 28), seed=0),
        data.train.x,
        data.train.y,
    )
    f, spread = x[:20], []
    for layer in list(net)[:6]:
        f = layer(f)
        units = f.detach().flatten(1).numpy()
        spread.append(np.mean([unit.std(ddof=1) for unit in units.T]))
    np.testing.assert_allclose(found["spread"], spread[1:], rtol=1e-4)
    F.cross_entropy(net(x[:20]), y[:20]).backward()
    norms = [net[i].conv.weight.grad.norm().item() for i in range(1, 6)]
    np.testing.assert_allclose(found["gradient"], norms, rtol=1e-3)


def test_a_plain_net_lets_signal_and_gradient_fade_and_skips_do_not(data):
    plain, skips = (figures.signal(17, kind, data) for kind in ("plain", "skips"))
    assert plain["spread"][-1] < 1e-5 * plain["spread"][0] < 1e-5 * 10
    assert skips["spread"][-1] > 0.1 * skips["spread"][0]
    assert plain["gradient"][0] < 1e-4 * skips["gradient"][0]


def test_the_signals_are_drawn_for_all_kinds_and_barred_for_one(data):
    left, right = figures.signals(data, 5, "bn").axes
    assert [line.get_label() for line in left.lines] == list(KINDS)
    expected = figures.signal(5, "bn", data)
    for ax, values in ((left, expected["spread"]), (right, expected["gradient"])):
        np.testing.assert_allclose(ax.lines[2].get_ydata(), values, rtol=1e-4)
        np.testing.assert_allclose([bar.get_height() for bar in ax.patches], values, rtol=1e-4)
        assert ax.get_xlabel() and ax.get_title(loc="left")
    assert not figures.signals(data, 5).axes[0].patches


def test_a_peek_knows_sizes_maps_and_errors(pairs):
    r = replicate(TINY, 0)
    sides = {"block2": (8, 7, 7), "block3": (16, 3, 3)}
    for (_, hint), found in pairs.items():
        if isinstance(found, str):
            continue
        guided = (8, *found.f_s.shape[1:])
        assert (found.kernel, found.kernel) == kernel(guided, sides[hint])
        c, h, w = sides[hint]
        assert found.weights["conv"] == found.kernel**2 * 8 * c
        assert found.weights["dense"] == 8 * guided[1] ** 2 * c * h * w
        assert all(f.shape[2:] == (h, w) for f in found.maps.values())
        spread = found.maps["after"].std(dim=(0, 2, 3))
        assert (spread.diff() <= 0).all()  # what is shown first is a prediction that has begun
        assert set(found.errors) == set(REDUCTIONS)
        before, after = found.errors["mean"]
        assert found.errors["half sum"][0] == pytest.approx(c * h * w / 2 * before, rel=1e-4)
        assert found.errors["rows"][1] == pytest.approx(h / 2 * after, rel=1e-4)
    assert r.world.teacher_net == "cnn4"


def test_the_error_is_that_of_the_hint_where_all_of_it_is_shown():
    """A teacher of width 2 has 4 channels in block 2: as many as a peek keeps."""
    r = replicate(replace(TINY, teacher_net="cnn2"), 0)
    teacher = r.teacher_of(taps="block2")
    found = figures.peek(r, teacher, "layer3", "block2", longer=1, images=5)
    for reduction in REDUCTIONS:
        for when, value in zip(("before", "after"), found.errors[reduction], strict=True):
            expected = oracles.hint_loss(found.maps[when], found.maps["teacher"], reduction)
            assert value == pytest.approx(expected, rel=1e-4)


def test_a_pair_that_does_not_fit_says_why(pairs):
    assert "larger" in pairs["layer15", "block2"]
    fig = figures.explorer(pairs, torch.rand(6, 1, 28, 28), "layer15", "block2", 0, 0)
    assert "larger" in fig.get_suptitle()


def test_the_explorer_draws_one_channel_of_one_image(pairs):
    images = torch.rand(6, 1, 28, 28)
    fig = figures.explorer(pairs, images, "layer3", "block2", 2, 1)
    found, drawn = pairs["layer3", "block2"], [ax.images[0].get_array() for ax in fig.axes]
    np.testing.assert_array_equal(drawn[0], images[2, 0])
    np.testing.assert_array_equal(drawn[1], found.f_s[2])
    for array, maps in zip(drawn[2:], found.maps.values(), strict=True):
        np.testing.assert_array_equal(array, maps[2, 1])
    assert f"{found.weights['conv']:,} weights" in fig.get_suptitle()
    limits = {ax.images[0].get_clim() for ax in fig.axes[2:]}
    assert len(limits) == 1  # the three maps share one scale


def test_the_same_settings_give_the_same_picture(pairs):
    images = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    one, two = (png(figures.explorer(pairs, images, "layer3", "block3", 0, 0)) for _ in range(2))
    assert one == two != png(figures.explorer(pairs, images, "layer3", "block3", 1, 0))
