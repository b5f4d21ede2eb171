"""The figures of notebook 06 draw the numbers of the teacher."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kdlab.budget import plan
from kdlab.papers.sskd import figures
from kdlab.papers.sskd.figures import Scene
from kdlab.papers.sskd.pretext import build_head
from kdlab.show.explorers.panels import drive, panel, slider
from kdlab.show.plots import png
from kdlab.train.recipe import Recipe
from kdlab.train.worlds import replicate
from tests.oracles import softmax
from tests.papers.sskd import oracles

TINY = replace(plan("lesson").world("mnist5k"), teacher_net="cnn4", teacher_recipe=Recipe(steps=8))
AT = {"image": 2, "view": 3, "tau": 0.5, "ratio": 0.5}


@pytest.fixture(scope="module")
def r():
    return replicate(TINY, 0)


@pytest.fixture(scope="module")
def scene(r) -> Scene:
    return figures.scene_of(r, head=build_head(16, 0, "teacher"))


def test_a_scene_holds_two_images_of_each_of_five_classes(r, scene: Scene):
    assert scene.images.shape == (10, 4, 1, 28, 28) and scene.a.shape == (30, 10)
    assert scene.own.tolist() == [i // 3 for i in range(30)]
    x, y = r.data.images(r.data.test.x), r.data.test.y
    labels = [
        int(y[(x == image[0]).flatten(1).all(dim=1).nonzero()[0, 0]]) for image in scene.images
    ]
    assert labels == [5, 5, 6, 6, 7, 7, 8, 8, 9, 9]
    for view in range(3):
        turned = torch.rot90(scene.images[:, 0], view + 1, (2, 3))
        torch.testing.assert_close(scene.images[:, view + 1], turned)


def test_the_chosen_numbers_equal_the_slow_oracle(scene: Scene):
    now = figures.chosen(scene, **AT)
    assert now.row == 8
    for p, z in zip(now.p, scene.z[2, [0, 3]], strict=True):
        assert p.tolist() == pytest.approx(softmax(z.tolist()), abs=1e-6)
    for row, a in zip(now.q, scene.a, strict=True):
        assert row.tolist() == pytest.approx(softmax(a.tolist(), 0.5), abs=1e-6)
    assert now.rank.tolist() == oracles.ranks(scene.a, scene.own.tolist())
    assert now.keep.tolist() == oracles.kept(now.rank.tolist(), 0.5)


def test_the_explorer_draws_them(scene: Scene):
    now, classes = figures.chosen(scene, **AT), tuple("0123456789")
    image, view, bars, heat, key = figures.explorer(scene, classes, **AT).axes
    assert key.get_ylim() == (0, 1)  # one scale for all settings
    np.testing.assert_array_equal(image.images[0].get_array(), scene.images[2, 0, 0])
    np.testing.assert_array_equal(view.images[0].get_array(), scene.images[2, 3, 0])
    for group, p in zip(bars.containers, now.p, strict=True):
        assert [bar.get_width() for bar in group] == pytest.approx(p.tolist())
    np.testing.assert_allclose(heat.images[0].get_array(), now.q)
    pale = np.asarray(heat.images[0].get_alpha())[:, 0] < 0.5
    assert pale.tolist() == (~now.keep).tolist()
    told = heat.figure.get_suptitle()
    assert f"right: {int((now.rank == 0).sum())} rows" in told
    assert f"wrong: {int((now.rank > 0).sum())}, kept" in told


def test_the_same_settings_give_the_same_picture(scene: Scene):
    one, two = (figures.explorer(scene, tuple("0123456789"), **AT) for _ in range(2))
    assert png(one) == png(two)


def test_answers_name_the_class_that_the_teacher_sees(scene: Scene):
    axes = figures.answers({"rotations": scene, "moves": scene}, tuple("0123456789"), 4).axes
    assert len(axes) == 8
    for ax, z in zip(axes, scene.z[4].repeat(2, 1), strict=True):
        p = softmax(z.tolist())
        best = max(range(10), key=p.__getitem__)
        assert ax.get_title(loc="center").startswith(f"{best}: {100 * p[best]:.0f} %")


def test_every_slider_of_the_panel_moves(scene: Scene):
    box = panel(
        lambda **at: figures.explorer(scene, tuple("0123456789"), **at),
        alt="Image {image}, view {view}: classes and similarities, tau {tau}, ratio {ratio}.",
        image=slider("image", range(10), 2),
        view=slider("view", (1, 2, 3), 2),
        tau=slider("tau", (0.1, 2.0), 0.1),
        ratio=slider("ratio", (0.0, 1.0), 1.0),
    )
    assert drive(box) == 8
