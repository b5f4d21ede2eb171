"""The forest plot shows every judged claim in every world, in units of its margin."""

import itertools
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from kdlab.runs.claims import Claim, judge
from kdlab.show.forest import WORLD_LOOKS, forest, forest_alt, show_forest
from kdlab.show.plots import bundle
from tests.runs.test_claims import GAIN, GOOD, series

THREE = ("mnist5k", "fashion5k", "natural")
SIGNS = dict(zip(THREE, (1, 1, -1), strict=True))
CLAIMS = [
    replace(GAIN, x=pd.concat([series(np.multiply(GOOD, s), w) for w, s in SIGNS.items()])),
    replace(
        GAIN,
        id="recall",
        text="It is found again.",
        x=series(np.multiply(GOOD, 30), "natural"),
        margin=33.0,
        unit="points of recall",
    ),
    replace(GAIN, id="seen", text="Also seen.", primary=False),
    replace(GAIN, id="none", text="Not tried.", x=None),
]
JUDGED = judge(CLAIMS, "00_kd", "mnist5k")


def test_a_row_per_judged_claim_and_world_in_units_of_its_margin() -> None:
    fig = forest(JUDGED)
    (ax,) = fig.axes
    drawn = JUDGED[(JUDGED.primary) & (JUDGED.n > 0)]
    bars = {}
    for bar, line in zip(ax.collections, ax.lines[1:], strict=True):  # the first line is 0
        for (start, stop), x, y in zip(bar.get_segments(), *line.get_data(), strict=True):
            assert start[1] == stop[1] == y
            bars[y] = (x, start[0], stop[0])
    assert len(bars) == len(drawn) == 4
    for (_, found), want in zip(sorted(bars.items()), drawn.itertuples(), strict=True):
        expected = np.array([want.ours, want.low, want.high]) / want.margin
        np.testing.assert_allclose(found, expected)
    assert [t.get_text().replace("\n", " ") for t in ax.get_yticklabels()] == [
        "KD is better.",
        "It is found again.",
    ]
    (told,) = ax.child_axes
    assert [t.get_text() for t in told.get_yticklabels()] == list(drawn.outcome)
    assert list(told.get_yticks()) == sorted(bars)  # each outcome at its own row
    bottom, top = ax.get_ylim()
    assert bottom > max(bars) and top < min(bars)  # the first claim stands at the top


def test_the_grey_band_is_what_is_too_small_to_matter() -> None:
    (ax,) = forest(JUDGED).axes
    (band,) = ax.patches
    assert (band.get_x(), band.get_width()) == (-1, 2)
    assert "smallest effect that matters" in ax.get_xlabel()
    assert "equal" not in ax.get_xlabel()


def test_a_claimed_equality_is_said_to_hold_inside_the_band() -> None:
    (ax,) = forest(judge([GAIN, replace(GAIN, id="same", equal=True)], "00_kd")).axes
    assert "equal holds inside the grey" in ax.get_xlabel()


def test_worlds_differ_by_colour_and_by_marker() -> None:
    fig = forest(JUDGED)
    lines = fig.axes[0].lines[1:]
    looks = [(to_hex(line.get_color()), line.get_marker()) for line in lines]
    assert looks == [(c.lower(), m) for c, m in (WORLD_LOOKS[world] for world in THREE)]
    assert len({c for c, _ in looks}) == len({m for _, m in looks}) == 3
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend == ["digits", "clothes", "photographs"]


@pytest.mark.parametrize("claims", [1, 6])
def test_its_text_can_be_read_and_nothing_is_cut_off(claims: int) -> None:
    many = [
        replace(
            CLAIMS[0], id=str(k), text="A claim of a paper that says a lot in one sentence. " * 2
        )
        for k in range(claims)
    ]
    fig = forest(judge(many, "00_kd"))
    width, height = fig.get_size_inches()
    assert width <= 10 and height <= 6
    FigureCanvasAgg(fig).draw()
    whole = fig.bbox
    ticks = fig.axes[0].get_xticklabels()  # also those beyond the ends of the axis
    for text in fig.findobj(plt.Text):
        if text.get_text().strip() and text.get_visible() and text not in ticks:
            assert text.get_fontsize() * fig.dpi / 72 >= 12  # pixels
            box = text.get_window_extent()
            assert box.x0 >= whole.x0 - 1 and box.x1 <= whole.x1 + 1, text.get_text()
    labels = [t.get_window_extent() for t in fig.axes[0].get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(labels))
    assert bundle(fig, forest_alt(JUDGED))["image/png"]


def test_a_large_effect_does_not_squeeze_the_band() -> None:
    far = replace(GAIN, id="far", x=series(np.multiply(GOOD, 10)))
    (near_ax,), (far_ax,) = forest(JUDGED).axes, forest(judge([GAIN, far], "00")).axes
    assert near_ax.get_xscale() == "linear" and far_ax.get_xscale() == "symlog"
    assert "compressed" in far_ax.get_xlabel() and "compressed" not in near_ax.get_xlabel()


def test_the_alternative_text_says_where_each_claim_holds() -> None:
    alt = forest_alt(JUDGED)
    assert "KD is better: holds on digits and clothes, contradicted on photographs." in alt
    assert "It is found again: " in alt and "Also seen" not in alt and "Not tried" not in alt


def test_nothing_to_draw_is_told() -> None:
    for draw in (forest, forest_alt):
        with pytest.raises(ValueError, match="no primary claim"):
            draw(judge(CLAIMS[2:], "00_kd"))


def test_claims_without_evidence_are_a_sentence(capsys: pytest.CaptureFixture[str]):
    nothing = judge([Claim("a", "It helps.", "+1", None)], "00_x")
    show_forest(nothing)
    assert "no evidence" in capsys.readouterr().out
