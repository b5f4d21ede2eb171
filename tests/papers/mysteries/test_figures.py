"""The figures of notebook 10, and the two models without a net that its explorers show."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from kdlab.papers.mysteries import figures
from kdlab.papers.mysteries.made import made
from kdlab.papers.mysteries.race import IMAGES, KNOWS, duel, race, vote
from kdlab.show.explorers.panels import choice, drive, panel, slider
from kdlab.show.plots import png
from kdlab.train.worlds import replicate
from tests.mutants import assert_caught

AT = {"power": 3.0, "threshold": 1.0, "head": 1.4, "start": 0.02}


# --- the race -------------------------------------------------------------------------------------


def test_the_race_equals_a_slow_loop():
    start = torch.tensor([[0.3, 0.1], [0.2, -0.4]], dtype=torch.float64)
    path = race(start, power=3.0, threshold=1.0, steps=20)
    x = start.tolist()
    for step in range(20):
        z = 0.0
        for row in x:
            for value in row:
                a = 1.25 * value
                z += 0.0 if a <= 0 else a**3 / 3 if a < 1 else a - 2 / 3
        missing = 9 / (9 + math.exp(z))
        x = [
            [v + 0.4 * missing * 1.25 * min(max(1.25 * v, 0.0), 1.0) ** 2 for v in row] for row in x
        ]
        assert path[step + 1].flatten().tolist() == pytest.approx([v for row in x for v in row])


def test_the_race_ends_where_the_class_is_learned():
    path = race(torch.tensor([[0.3], [0.1]]), steps=1000, stop=0.05)
    assert 2 < len(path) < 1000
    z = sum(a - 2 / 3 if a >= 1 else a**3 / 3 for a in (1.25 * path[-1]).flatten().tolist())
    assert math.log1p(9 * math.exp(-z)) < 0.05


def test_classes_race_each_for_itself():
    start = 0.1 * torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(0))
    together = race(start, steps=50)
    for c in range(4):
        torch.testing.assert_close(together[:, c], race(start[c], steps=50))


def test_power_3_is_a_monopoly_and_power_1_a_tie():
    shares = [duel(**AT | {"power": power})[1] for power in (1.0, 2.0, 3.0)]
    assert shares[0] == pytest.approx(0.5, abs=0.01) and shares[2] > 0.99
    assert shares == sorted(shares)
    assert duel(**AT | {"head": 1.0})[1] == pytest.approx(0.5)


@pytest.mark.parametrize(("name", "value"), [("start", 0.4), ("threshold", 0.1)])
def test_large_first_weights_or_a_low_threshold_end_the_monopoly(name, value):
    assert duel(**AT | {name: value})[1] < 0.7 < duel(**AT)[1]


def lottery():
    test_the_race_equals_a_slow_loop()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("missing = (CLASSES - 1) /", "missing = CLASSES /"),
        ("RATE * missing * MEAN", "RATE * missing"),
        ("slope(MEAN * x", "slope(x"),
        ("dim=(-2, -1)", "dim=(-1,)"),
    ],
)
def test_a_slip_in_the_race_turns_a_test_red(old, new):
    assert_caught(race, old, new, by=[lottery])


# --- the vote -------------------------------------------------------------------------------------


def test_a_vote_by_hand():
    z, told = vote(("wheels", "lights", "both"), "a cat with shining eyes")
    assert z.tolist() == [
        [pytest.approx(car), pytest.approx(5.0)] for car in (0.0, 2.0, 2.0, 4 / 3)
    ]
    expected = [1 / (1 + math.exp((4 - car) / 2)) for car in (0.0, 2.0, 2.0, 4 / 3)]
    assert told.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_team_is_right_where_one_of_its_nets_is():
    for image in [image for image in IMAGES if image.startswith("a car, no")]:
        z, _ = vote(("wheels", "lights"), image)
        right = (z[:, 0] > z[:, 1]).tolist()
        assert sorted(right[:2]) == [False, True] and right[2]


def test_who_knows_no_lights_has_nothing_to_whisper():
    _, told = vote(("wheels", "wheels", "lights"), "a cat with shining eyes")
    assert told[0] == told[1] < told[3] < told[2]


# --- figures --------------------------------------------------------------------------------------


def test_the_maps_of_samples_show_their_strengths():
    fig = figures.samples(made(3))
    assert len(fig.axes) == 5 and "strength" in fig.axes[4].get_ylabel()  # the last is the key
    first = np.asarray(fig.axes[0].collections[0].get_array(), float).reshape(10, 2)
    assert (first[0] > 0.9).all() and (first[1:] < 0.6).all()


def test_the_maps_of_views_unite_the_five():
    source = np.random.default_rng(0)
    known = {"labels": 1, "ensemble of 5": 5, "KD": 1}
    maps = [(source.random((n, 10, 2)) < 0.5).astype(np.uint8) for n in known.values()]
    fig = figures.coverage(pd.DataFrame({"arm": list(known), "known": maps}))
    titles = [ax.get_title(loc="left").split("\n") for ax in fig.axes]
    assert [title[0] for title in titles] == [*(f"net {n}" for n in range(1, 6)), "all five", "KD"]
    union = maps[1].max(axis=0)
    drawn = np.asarray(fig.axes[5].collections[0].get_array(), float).reshape(10, 2)
    assert (drawn == union).all() and titles[5][1] == f"{100 * union.mean():.0f} %"


def test_the_net_and_the_numbers_start_alike():
    fig = figures.growth(3)
    for ax in fig.axes[:4]:
        solid, dotted = ax.lines[:2], ax.lines[2:4]
        for net, numbers in zip(solid, dotted, strict=True):
            assert net.get_ydata()[0] == pytest.approx(numbers.get_ydata()[0])
            assert len(net.get_ydata()) == len(numbers.get_ydata())


def test_a_duel_says_its_share():
    fig = figures.duels(AT, AT | {"power": 1.0})
    share = 100 * duel(**AT)[1]
    assert fig.axes[0].get_title(loc="left") == f"power 3: share {share:.0f} %"
    assert png(fig) == png(figures.duels(AT, AT | {"power": 1.0}))


def test_a_vote_draws_the_scores():
    fig = figures.votes((("wheels", "lights", "both"), "a whole car"))
    widths = [bar.get_width() for bar in fig.axes[0].patches]
    z, told = vote(("wheels", "lights", "both"), "a whole car")
    assert widths == pytest.approx([*z[:, 0].tolist(), *z[:, 1].tolist()])
    assert [t.get_text() for t in fig.axes[0].texts] == [f"car {p:.2f}" for p in told]


def test_the_whisper_is_a_probability():
    fig = figures.whisper(3, steps=3)
    for ax in fig.axes:
        assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(1, abs=1e-5)


def test_the_halves_are_drawn():
    assert len(figures.halves(replicate("mnist5k", 3)).axes) == 3


def test_the_explorers_move_to_all_their_ends():
    first = panel(
        lambda **at: figures.duels(at),
        alt="A race of two detectors with power {power:g} and a head start of {head:g} to 1.",
        power=slider("power", [1.0, 3.0, 4.0], 3.0),
        threshold=slider("threshold", [0.1, 1.0, 2.0], 1.0),
        head=slider("head start", [1.0, 1.4, 2.0], 1.4),
        start=slider("start", [0.02, 0.4], 0.02),
    )
    second = panel(
        lambda one, two, image: figures.votes(((one, two), image)),
        alt="Scores of nets that know {one} and {two} for {image}, and their mean.",
        one=choice("net 1", list(KNOWS), "wheels"),
        two=choice("net 2", list(KNOWS), "lights"),
        image=choice("image", list(IMAGES), "a whole car"),
    )
    assert drive(first) == 8 and drive(second) == 6
