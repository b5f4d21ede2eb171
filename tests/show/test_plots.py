"""Figures show the values they were given, with labels, a text, and few bytes."""

import base64
import html
import io
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from kdlab.runs.claims import interval
from kdlab.show import plots
from kdlab.show.looks import LOOKS, SPARE

ALT = 'Two "arms" & their <means> over five seeds.'


@pytest.fixture(autouse=True)
def no_figure_is_left() -> Iterator[None]:
    """Every figure is freed: nothing stays in pyplot's list."""
    plt.switch_backend("Agg")
    plt.close("all")
    yield
    assert plt.get_fignums() == []


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect what is displayed."""
    outputs: list[dict[str, Any]] = []
    monkeypatch.setattr(plots, "display", lambda data, raw: outputs.append(data))
    return outputs


@pytest.fixture
def runs() -> pd.DataFrame:
    """Five arms, five seeds, two metrics."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"arm": arm, "seed": seed, "accuracy": 90 + place + rng.normal(), "nll": rng.random()}
        for place, arm in enumerate(["hard labels", "KD", "control", "mixup", "relations"])
        for seed in range(5)
    )


def image_of(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


# --- show, png, table


def test_show_emits_escaped_html_png_and_text(shown: list[dict[str, Any]]) -> None:
    fig, ax = plots.figure()
    ax.plot([1, 2])
    plots.show(fig, ALT)
    (bundle,) = shown
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert bundle["text/plain"] == ALT
    assert f'alt="{html.escape(ALT)}"' in bundle["text/html"]
    assert bundle["image/png"] in bundle["text/html"]
    size = image_of(base64.b64decode(bundle["image/png"])).size
    assert size == (691, 345)  # 7.2 x 3.6 inches at 96 dpi


@pytest.mark.parametrize("alt", ["", "a figure", " " * 30])
def test_show_wants_a_sentence(alt: str, shown: list[dict[str, Any]]) -> None:
    fig, _ = plots.figure()
    with pytest.raises(ValueError, match="say in a sentence"):
        plots.show(fig, alt)
    assert shown == []


def test_show_frees_a_figure_that_pyplot_holds(shown: list[dict[str, Any]]) -> None:
    fig, _ = plt.subplots()
    assert plt.get_fignums()
    plots.show(fig, ALT)
    assert plt.get_fignums() == []


def test_figure_takes_what_subplots_takes_in_the_style_of_the_course() -> None:
    fig, axes = plots.figure(2, 3, size=(5, 4), sharex=True)
    assert axes.shape == (2, 3) and tuple(fig.get_size_inches()) == (5, 4) and fig.dpi == 96
    assert not axes[0, 0].spines["top"].get_visible()
    axes[0, 0].plot([1, 2], label="later")
    assert not axes[0, 0].legend().get_frame_on()  # what is added later has the style, too


def test_a_typical_figure_is_small_and_keeps_its_colours(runs: pd.DataFrame) -> None:
    fig, (left, right) = plots.figure(1, 2)
    plots.dots(left, runs, "accuracy", label="test accuracy (%)")
    curve = pd.concat([runs.assign(T=T, accuracy=runs.accuracy + T) for T in (1, 2, 4, 8)])
    for place, (arm, group) in enumerate(curve.groupby("arm")):
        plots.band(right, group, "T", "accuracy", str(arm), place)
    right.legend()
    data = plots.png(fig)
    assert len(data) < 30_000
    image = image_of(data)
    assert image.mode == "P"
    pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
    for colour in (LOOKS["hard labels"][0], LOOKS["KD"][0], SPARE[3][0]):
        wanted = np.round(np.array(to_rgb(colour)) * 255)
        assert np.abs(pixels - wanted).sum(axis=1).min() < 40, f"{colour} was lost in the palette"


# --- looks


def lightness(colour: str) -> float:
    """Return the relative luminance of WCAG 2."""
    c = np.array(to_rgb(colour))
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_every_look_has_its_own_colour_and_marker() -> None:
    looks = sorted({*LOOKS.values(), *SPARE})  # one may serve methods of different notebooks
    for place in (0, 1):
        assert len({look[place].lower() for look in looks}) == len(looks)
    colours = np.array([to_rgb(colour) for colour, _ in looks])
    gaps = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 9 * np.eye(len(looks))
    assert gaps.min() > 0.2


def test_every_look_is_seen_on_white() -> None:
    contrast = {c: 1.05 / (lightness(c) + 0.05) for c, _ in [*LOOKS.values(), *SPARE]}
    assert min(contrast.values()) > 2, contrast


def test_a_known_method_looks_the_same_at_any_place() -> None:
    assert plots.look("KD", 0) == plots.look("KD", 7) == {"color": "#0072B2", "marker": "s"}
    assert plots.look("mixup", 0) != plots.look("mixup", 1)
    assert plots.look("mixup", 7) == plots.look("mixup", 7 - len(SPARE))


# --- summary, dots, band, heat, picture


def test_dots_draw_every_seed_the_mean_and_the_interval(runs: pd.DataFrame) -> None:
    fig, ax = plots.figure()
    plots.dots(ax, runs, "accuracy", label="test accuracy (%)")
    assert ax.get_xlabel() == "test accuracy (%)"
    arms = [label.get_text() for label in ax.get_yticklabels()]
    assert arms == list(dict.fromkeys(runs.arm))
    for place, arm in enumerate(arms):
        seeds, bar, mean = ax.lines[3 * place : 3 * place + 3]
        x = runs.accuracy[runs.arm == arm].to_numpy()
        found = interval(x)
        np.testing.assert_array_equal(seeds.get_xdata(), x)
        np.testing.assert_array_equal(bar.get_xdata(), [found.low, found.high])
        assert list(mean.get_xdata()) == [found.mean]
        assert ax.texts[place].get_text() == f"{found.mean:.1f}"
        assert {float(v) for line in (seeds, bar, mean) for v in line.get_ydata()} == {place}
        style = plots.look(arm) if plots.known(arm) else plots.NEUTRAL
        assert {"color": mean.get_color(), "marker": mean.get_marker()} == style
    bottom, top = ax.get_ylim()
    assert bottom > 4 and top < 0  # the first arm stands at the top, all lie inside
    plots.png(fig)


def test_dots_without_a_label_name_the_metric_and_take_another_column(runs: pd.DataFrame) -> None:
    _, ax = plots.figure()
    plots.dots(ax, runs.rename(columns={"arm": "method"}), "nll", by="method")
    assert ax.get_xlabel() == "nll" and len(ax.lines) == 15


def test_band_draws_mean_and_interval_at_each_x(runs: pd.DataFrame) -> None:
    _, ax = plots.figure()
    group = runs[runs.arm == "KD"]
    curve = pd.concat([group.assign(T=T, accuracy=group.accuracy * T) for T in (4, 1, 2)])
    plots.band(ax, curve, "T", "accuracy", "KD", linestyle="--")
    (line,) = ax.lines
    expected = [interval(group.accuracy * T) for T in (1, 2, 4)]
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 4])
    np.testing.assert_allclose(line.get_ydata(), [found.mean for found in expected])
    assert (line.get_label(), line.get_linestyle()) == ("KD", "--")
    assert to_hex(line.get_color()) == LOOKS["KD"][0].lower()
    corners = {tuple(np.round(v, 6)) for v in ax.collections[0].get_paths()[0].vertices}
    for T, found in zip((1, 2, 4), expected, strict=True):
        assert {(T, round(found.low, 6)), (T, round(found.high, 6))} <= corners


GRID = pd.DataFrame(
    [[3.0, 1.0, 2.0], [0.5, 9.0, np.nan]],
    index=pd.Index(["a", "b"], name="width"),
    columns=pd.Index([1, 2, 4], name="T"),
)


@pytest.mark.parametrize(("best", "framed"), [("min", [1, 0]), ("max", [0, 1])])
def test_heat_writes_the_numbers_and_frames_the_best(best: str, framed: list[int]) -> None:
    fig, ax = plots.figure()
    plots.heat(ax, GRID, digits=1, best=best)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("T", "width")
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "2", "4"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    shade = [[1.0, 0.0, 0.5], [0.0, 1.0, np.nan]]  # within each row
    np.testing.assert_array_equal(np.ma.filled(ax.images[0].get_array(), np.nan), shade)
    written = {t.get_position(): t.get_text() for t in ax.texts}
    assert written == {
        **{(0, 0): "3.0", (1, 0): "1.0", (2, 0): "2.0"},
        **{(0, 1): "0.5", (1, 1): "9.0", (2, 1): "–"},
    }
    centres = [tuple(np.round(p.get_center(), 6)) for p in ax.patches]
    assert centres == [(column, row) for row, column in enumerate(framed)]
    plots.png(fig)


def test_heat_of_a_row_without_numbers_frames_nothing_there() -> None:
    _, ax = plots.figure()
    plots.heat(ax, pd.DataFrame([[np.nan, np.nan], [1.0, 2.0]]))
    assert len(ax.patches) == 1


def test_heat_writes_light_on_dark_and_dark_on_light() -> None:
    fig, ax = plots.figure()
    plots.heat(ax, GRID)
    image = ax.images[0]
    for text in ax.texts:
        column, row = text.get_position()
        if np.isnan(GRID.iloc[row, column]):
            continue
        value = image.get_array()[row, column]
        paper, ink = lightness(to_hex(image.to_rgba(value))), lightness(to_hex(text.get_color()))
        assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) > 3
    plots.png(fig)


@pytest.mark.parametrize("channels", [1, 3])
def test_picture_draws_the_image_as_it_is(channels: int) -> None:
    fig, ax = plots.figure()
    image = torch.rand(channels, 5, 4, generator=torch.Generator().manual_seed(0))
    plots.picture(ax, image, "a 7")
    (drawn,) = ax.images
    expected = image[0] if channels == 1 else image.permute(1, 2, 0)
    np.testing.assert_array_equal(drawn.get_array(), expected)
    assert ax.get_title() == "a 7" and not ax.axison
    if channels == 1:
        assert drawn.get_clim() == (0, 1)
    plots.png(fig)


def test_names_of_classes_and_arms_are_drawn_as_they_are() -> None:
    names = ("$x_{", "cats & dogs", "<b>", "a $5 note", "50 %")
    fig, (left, right) = plots.figure(1, 2)
    plots.ticks(left, names)
    plots.picture(right, torch.zeros(1, 8, 8), names[0])
    plots.dots(left, pd.DataFrame({"arm": names, "x": range(5)}), "x")
    fig.canvas.draw()  # a formula that is none would raise here
    assert [t.get_text().replace("\\", "") for t in left.get_xticklabels()] == list(names)


def test_ticks_name_at_most_so_many_classes() -> None:
    _, ax = plots.figure()
    plots.ticks(ax, [f"class {c}" for c in range(40)])
    assert len(ax.get_xticks()) == 10 and ax.get_xticklabels()[1].get_text() == "class 4"
    assert ax.get_xticklabels()[0].get_rotation() == 90


def test_a_figure_is_a_matplotlib_figure() -> None:
    assert isinstance(plots.figure()[0], Figure)
