"""Predictions: a guess interval for each student, kept before the result is seen, then scored.

The guesses of all notebooks lie in one small file, ``guesses.json`` in `kdlab.store.cache_dir`.
"""

import html
import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd
from matplotlib.axes import Axes

from kdlab.store import cache_dir, digest, write_atomic

LEVEL = 0.8  # how sure a reader says to be
FORMAT = "kdlab guesses, 1"
ASK = (
    "Move both ends of a row until you are 80 % sure that the mean which will be measured lies "
    "between them. A row that you leave alone is no guess."
)


@dataclass(frozen=True)
class Guess:
    """A reader's 80 % interval for one arm, and what was measured, if that was shown already.

    `after`: it was kept when the results had been shown, so it does not count.

    Raises:
        ValueError: a field of another kind, an end that is not finite, or `low` above `high`.
    """

    notebook: str
    arm: str
    low: float
    high: float
    unit: str
    after: bool = False
    measured: float | None = None

    def __post_init__(self) -> None:
        texts = all(isinstance(text, str) for text in (self.notebook, self.arm, self.unit))
        numbers = (self.low, self.high, self.low if self.measured is None else self.measured)
        finite = all(isinstance(n, int | float) and math.isfinite(n) for n in numbers)
        if not (texts and finite and isinstance(self.after, bool) and self.low <= self.high):
            raise ValueError(f"{self} is no guess; give names and finite ends, the lower one first")

    @property
    def counts(self) -> bool:
        """Whether it was made before the result was seen, and the result is known now."""
        return not self.after and self.measured is not None

    @property
    def miss(self) -> float:
        """How far the measured mean lies outside, 0 inside; NaN where nothing was measured."""
        x = math.nan if self.measured is None else self.measured
        return max(self.low - x, x - self.high, 0.0) if x == x else x

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


def interval_score(low: float, high: float, x: float, alpha: float = 1 - LEVEL) -> float:
    """Return the width of [low, high] + (2 / alpha) * distance of `x` outside it; lower is better.

    Gneiting and Raftery 2007, Journal of the American Statistical Association 102, section 6.2,
    equation 43.

    >>> interval_score(90, 94, 92), round(interval_score(90, 94, 95), 9)
    (4.0, 14.0)
    """
    return high - low + 2 / alpha * max(low - x, x - high, 0.0)


@dataclass(frozen=True)
class Shown:
    """What a notebook displays: `html`, and `text` where there is no HTML."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def folded(content_html: str, summary: str) -> Shown:
    """Return `content_html` in a fold that the reader opens; only `summary` is seen before."""
    title = html.escape(summary)
    return Shown(f"<details><summary>{title}</summary>{content_html}</details>", summary)


def _file() -> Path:
    return cache_dir() / "guesses.json"


def _read() -> list[Guess]:
    """Return all guesses. A file that holds none is set aside, with a warning, and kept."""
    path = _file()
    if not path.exists():
        return []
    content = path.read_bytes()
    try:
        found = json.loads(content)
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}, not {FORMAT!r}")
        return [Guess(**row) for row in found["guesses"]]
    except Exception as error:  # whatever a damaged or foreign file makes this raise
        aside = path.with_name(f"guesses-{digest(content)[:8]}.json")  # a name for each content
        path.replace(aside)
        told = f"{path} could not be read as guesses ({type(error).__name__}: {error})"
        warnings.warn(f"{told}; it is kept as {aside.name}, and a new one is begun.", stacklevel=3)
        return []


def _write(guesses: Iterable[Guess]) -> None:
    content = {"format": FORMAT, "guesses": [asdict(guess) for guess in guesses]}
    write_atomic(_file(), json.dumps(content, indent=1).encode())


def _table(rows: Sequence[dict[str, Any]], caption: str) -> tuple[str, str]:
    """Return `rows` as HTML and as text; the first column names the rows."""
    frame = pd.DataFrame(rows).astype(str)
    frame = frame.set_index(frame.columns[0]).rename_axis(index=None)
    page = frame.to_html(border=0).replace("<thead>", f"<caption>{caption}</caption><thead>", 1)
    return page, frame.to_string()


def _tally(guesses: Iterable[Guess]) -> tuple[int, int]:
    """Return how many of the guesses that count held, and how many count."""
    misses = [guess.miss for guess in guesses if guess.counts]
    return misses.count(0.0), len(misses)


class Guesses(widgets.VBox):
    """A slider with two ends for each arm, and a button that keeps what the reader guessed.

    The first guess counts. What is kept after `score` has shown the results is marked so.

    Args:
        notebook: its stem, e.g. "00_kd"; the guesses are kept under this name.
        arms: {arm as in the rows of evidence: description in plain words}.
        low, high: ends of the scale, in `unit`. A row that spans all of it is no guess.

    Raises:
        ValueError: no arms, or `low` is not below `high`.
    """

    def __init__(
        self,
        notebook: str,
        arms: Mapping[str, str],
        low: float = 0,
        high: float = 100,
        unit: str = "% correct",
        step: float = 0.5,
    ) -> None:
        if not arms or not low < high:
            raise ValueError(
                f"guesses got {len(arms)} arms on a scale from {low} to {high}; give at least one "
                "arm, and the lower end first."
            )
        self.notebook, self.arms, self.unit = notebook, dict(arms), unit
        self.whole = (float(low), float(high))
        options = {"min": low, "max": high, "step": step, "readout_format": ".4~g"}
        style = {"description_width": f"{max(map(len, arms.values())) + 2}ch"}
        layout = widgets.Layout(width="100%", max_width="720px")
        self.sliders = {
            arm: widgets.FloatRangeSlider(
                value=self.whole, description=words, style=style, layout=layout, **options
            )
            for arm, words in self.arms.items()
        }
        for arm, guess in self.kept().items():
            self.sliders[arm].value = (guess.low, guess.high)
        self.button = widgets.Button(description="Keep my guesses", button_style="primary")
        self.button.on_click(lambda _: self._press())
        self.line = widgets.HTML()
        for slider in self.sliders.values():
            slider.observe(self._moved, "value")
        super().__init__([widgets.HTML(ASK), *self.sliders.values(), self.button, self.line])

    def kept(self) -> dict[str, Guess]:
        """Return {arm: its first guess}, for the arms that were guessed."""
        mine = {g.arm: g for g in _read() if g.notebook == self.notebook and not g.after}
        return {arm: mine[arm] for arm in self.arms if arm in mine}

    def _say(self, text: str) -> None:
        self.line.value = f'<span role="status">{html.escape(text)}</span>'

    def _moved(self, change: Any) -> None:
        low, high = change["new"]
        self._say(f"{change['owner'].description}: {low:.4g} to {high:.4g} {self.unit}, not kept.")

    def _press(self) -> None:
        try:
            self._say(self.keep())
        except OSError as error:  # an error in a button's callback would pass unseen
            self._say(f"Your guesses could not be kept: {error}.")

    def keep(self) -> str:
        """Keep the guesses, as the button does; return in a sentence what was kept.

        Raises:
            OSError: the file cannot be written.
        """
        first = self.kept()
        seen = any(guess.measured is not None for guess in first.values())
        same = {arm: (guess.low, guess.high) for arm, guess in first.items()} if seen else {}
        new = [
            Guess(self.notebook, arm, *slider.value, self.unit, seen)
            for arm, slider in self.sliders.items()
            if slider.value not in (self.whole, same.get(arm))
        ]
        if not new:
            return "No row has been moved, so there is nothing new to keep."
        others = [g for g in _read() if (g.notebook, g.after) != (self.notebook, seen)]
        _write([*others, *new])
        if seen:
            return "Kept as made after seeing the results. Your first guesses are what counts."
        return f"Kept: {len(new)} of {len(self.arms)} rows. They are scored further down."

    def score(self, rows: pd.DataFrame, metric: str = "accuracy") -> Shown:
        """Return your intervals beside the means of `metric`, scored, and the running record.

        Where nothing was guessed, the means lie in a fold.

        Args:
            rows: a row a run, with the columns arm and `metric`, of one world.

        Raises:
            ValueError: a column is missing, or there are several worlds.
        """
        means = _means(rows, metric)
        if not set(means) & set(self.arms):
            told = "Nothing has been measured here yet, so there is nothing to score."
            return Shown(f"<p>{told}</p>", told)
        known = [
            replace(g, measured=means.get(g.arm, g.measured)) if g.notebook == self.notebook else g
            for g in _read()
        ]
        mine = [
            g for arm in self.arms for g in known if (g.notebook, g.arm) == (self.notebook, arm)
        ]
        cells = [self._row(arm, g, means) for arm in self.arms for g in _of(arm, mine) or [None]]
        page, text = _table(cells, f"Your guesses and what was measured, {self.unit}")
        if not mine:
            told = "You made no guess here, so nothing is scored."
            return Shown(f"<p>{told}</p>{folded(page, 'Show what was measured').html}", told)
        _write(known)
        hits, n = _tally(known)
        told = (
            "The interval score is the width, plus 10 times the distance by which the interval "
            f"missed: lower is better. Over all notebooks, {hits} of {n} of your 80 % intervals held."
        )
        return Shown(f"{page}<p>{told}</p>", f"{text}\n{told}")

    def _row(self, arm: str, guess: Guess | None, means: Mapping[str, float]) -> dict[str, str]:
        """Return one row of the table of `score`, in words."""
        row = {"": self.arms[arm], "your 80 % interval": "no guess"}
        row["measured mean"] = f"{means[arm]:.4g}" if arm in means else "not measured"
        row |= {"result": "–", "interval score": "–"}
        if guess:
            row["your 80 % interval"] = f"{guess}{', made after seeing' * guess.after}"
        if guess and arm in means:
            row["result"] = f"miss, by {guess.miss:.2g}" if guess.miss else "hit"
            row["interval score"] = f"{interval_score(guess.low, guess.high, means[arm]):.4g}"
        return row

    def draw(self, ax: Axes, arms: Sequence[str]) -> str:
        """Draw the first guesses as light boxes, for the dots of `arms` at y = 0, 1, ...

        Returns:
            A sentence for the text of the picture; empty where nothing was guessed.
        """
        first = {arm: guess for arm, guess in self.kept().items() if arm in arms}
        if not first:
            return ""
        lows = [guess.low for guess in first.values()]
        widths = [guess.high - guess.low for guess in first.values()]
        look = {"color": "#F0E442", "alpha": 0.4, "edgecolor": "#333333", "zorder": 0.5}
        places = [list(arms).index(arm) for arm in first]
        ax.barh(places, widths, 0.7, lows, label="your 80 % interval", **look)
        told = "; ".join(f"{self.arms[arm]}, {guess}" for arm, guess in first.items())
        return f"Light boxes are the reader's guesses in {self.unit}: {told}."


def _of(arm: str, guesses: Sequence[Guess]) -> list[Guess | None]:
    return [guess for guess in guesses if guess.arm == arm]


def _means(rows: pd.DataFrame, metric: str) -> dict[str, float]:
    """Return {arm: mean of `metric`}; arms without a number are left out."""
    if missing := [name for name in ("arm", metric) if name not in rows]:
        raise ValueError(f"these rows have no column {missing}; they have {list(rows)}.")
    if "world" in rows and rows["world"].nunique() > 1:
        worlds = list(dict.fromkeys(rows["world"]))
        raise ValueError(f"these rows are of the worlds {worlds}; give those of one, to be scored.")
    means = rows.groupby("arm")[metric].mean().dropna()
    return {str(arm): float(mean) for arm, mean in means.items()}


def record() -> Shown:
    """Return how good the reader's guesses are, over all notebooks.

    The share of 80 % intervals that held has a 95 % interval by Wilson, since it is one of few.
    """
    from statsmodels.stats.proportion import proportion_confint

    guesses = [guess for guess in _read() if guess.counts]
    hits, n = _tally(guesses)
    if not n:
        told = (
            "None of your guesses has been scored yet. Keep some, and run the notebook to its end."
        )
        return Shown(f"<p>{told}</p>", told)
    low, high = proportion_confint(hits, n, method="wilson")
    verdict = (
        "so you are surer than you should be: make your intervals wider"
        if high < LEVEL
        else "so you know more than you think: make your intervals narrower"
        if low > LEVEL
        else "which fits people who are 80 % sure"
    )
    told = (
        f"{hits} of {n} of your 80 % intervals held. With so many guesses, the share that would "
        f"hold in the long run lies between {100 * low:.0f} and {100 * high:.0f} % (95 % interval "
        f"by Wilson), {verdict}."
    )
    cells = []
    for notebook, unit in dict.fromkeys((g.notebook, g.unit) for g in guesses):
        here = [g for g in guesses if (g.notebook, g.unit) == (notebook, unit)]
        held, count = _tally(here)
        width = sum(g.high - g.low for g in here) / count
        cells.append(
            {"": notebook, "held": f"{held} of {count}", "mean width": f"{width:.3g} {unit}"}
        )
    page, text = _table(cells, "Your guesses in all notebooks")
    return Shown(f"{page}<p>{told}</p>", f"{text}\n{told}")
