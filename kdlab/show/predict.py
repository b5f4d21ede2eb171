"""Predictions: a guess interval for each student, kept before the result is seen, then scored."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets as widgets
import pandas as pd
from matplotlib.axes import Axes

from kdlab.show.folds import Shown, as_table, folded, told
from kdlab.show.guesses import Guess, interval_score, read_guesses, tally, write_guesses

ASK = (
    "Move both ends of a row until you are 80 % sure that the mean which will be measured lies "
    "between them: with the mouse, with Tab and the arrow keys, or by typing, for example 90 - 93. "
    "A row that you leave alone is no guess."
)
SCORED = (
    "The interval score is the width of your interval, plus 10 times the distance by which it "
    "missed; lower is better. Over all notebooks, {} of {} of your 80 % intervals held."
)


class Guesses(widgets.VBox):
    """A slider with two ends for each arm, and a button that keeps what the reader guessed.

    The first guess counts. What is kept after `score` has shown the results is marked so.

    Args:
        notebook: its stem, e.g. "00_kd"; the guesses are kept under this name. Another question
            about the same arms takes another name.
        arms: {arm as in the rows of evidence: description in plain words}.
        low, high: ends of the scale, in `unit`. A row that spans all of it is no guess.
        step: of the sliders, above 0; what is typed may lie between.

    Raises:
        ValueError: no arms, `low` is not below `high`, or `step` does not fit between them.
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
        if not arms or not 0 < step <= high - low:
            given = f"{len(arms)} arms on a scale from {low} to {high} in steps of {step}"
            raise ValueError(f"guesses got {given}; give an arm, a rising scale, steps inside it.")
        self.notebook, self.arms, self.unit = notebook, dict(arms), unit
        self.whole = (float(low), float(high))
        digits = max(0, -math.floor(math.log10(step)))
        options = {"min": low, "max": high, "step": step, "readout_format": f".{digits}f"}
        options["style"] = {"description_width": f"{max(map(len, arms.values())) + 2}ch"}
        options["layout"] = {"width": "100%", "max_width": "860px"}
        self.sliders = {
            arm: widgets.FloatRangeSlider(value=self.whole, description=words, **options)
            for arm, words in self.arms.items()
        }
        self.button = widgets.Button(description="Keep my guesses", button_style="primary")
        self.button.on_click(self._press)
        self.line = widgets.HTML()
        for arm, guess in self.kept().items():
            self.sliders[arm].value = (guess.low, guess.high)
            self._say("The guesses that you kept before stand in their rows.")
        for slider in self.sliders.values():
            slider.observe(self._moved, "value")
        super().__init__([widgets.HTML(ASK), *self.sliders.values(), self.button, self.line])

    def _mine(self, guess: Guess) -> bool:
        return guess.notebook == self.notebook and guess.arm in self.arms

    def kept(self) -> dict[str, Guess]:
        """Return {arm: its first guess}, for the arms that were guessed."""
        return {g.arm: g for g in read_guesses() if self._mine(g) and not g.after}

    def _say(self, text: str) -> None:
        self.line.value = f'<span role="status">{html.escape(text)}</span>'

    def _moved(self, change: Any) -> None:
        low, high = change["new"]
        self._say(
            f"{change['owner'].description}: {low:.4g} to {high:.4g} {self.unit}, not kept yet."
        )

    def _press(self, _: object) -> None:
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
        seen = any(guess.counts for guess in first.values())
        nothing = {arm: (self.whole, (g.low, g.high) if seen else None) for arm, g in first.items()}
        new = [
            Guess(self.notebook, arm, low, high, self.unit, seen)
            for arm, (low, high) in ((arm, slider.value) for arm, slider in self.sliders.items())
            if (low, high) not in nothing.get(arm, (self.whole,))
        ]
        if not new:
            return "No row has been moved, so there is nothing new to keep."
        others = [g for g in read_guesses() if not (self._mine(g) and g.after == seen)]
        write_guesses([*others, *new])
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
        if not means.keys() & self.arms.keys():
            return told("Nothing has been measured here yet, so there is nothing to score.")
        known = [
            replace(g, measured=means.get(g.arm, g.measured)) if self._mine(g) else g
            for g in read_guesses()
        ]
        mine = [guess for guess in known if self._mine(guess)]
        cells = [
            _row(words, guess, means.get(arm))
            for arm, words in self.arms.items()
            for guess in [g for g in mine if g.arm == arm] or (None,)
        ]
        caption = f"Your guesses and what was measured, {self.unit}"
        if not mine:
            none = told("You made no guess here, so nothing is scored.")
            fold = folded(as_table(cells, caption).html, "Show what was measured")
            return Shown(none.html + fold, none.text)
        write_guesses(known)
        return as_table(cells, caption, SCORED.format(*tally(known)))

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
        look: dict[str, Any] = {"facecolor": "#F0E44266", "edgecolor": "#6B5F00"}
        look |= {"zorder": 0.5, "label": "your 80 % interval"}
        for box in ax.barh([list(arms).index(arm) for arm in first], widths, 0.7, lows, **look):
            box.sticky_edges.x.clear()  # else the picture could end at a box, and hide its end
        words = "; ".join(f"{self.arms[arm]}, {guess}" for arm, guess in first.items())
        return f"Light boxes are the reader's guesses in {self.unit}: {words}."


def _row(words: str, guess: Guess | None, mean: float | None) -> dict[str, str]:
    """Return one row of the table of `Guesses.score`."""
    row = {"": words, "your 80 % interval": "no guess", "measured mean": "not measured"}
    row |= {"result": "–", "interval score": "–"}
    if guess:
        row["your 80 % interval"] = f"{guess}{', made after seeing' * guess.after}"
    if mean is not None:
        row["measured mean"] = f"{mean:.4g}"
    if guess and mean is not None:
        row["result"] = f"miss, by {guess.miss:.2g}" if guess.miss else "hit"
        row["interval score"] = f"{interval_score(guess.low, guess.high, mean):.4g}"
    return row


def _means(rows: pd.DataFrame, metric: str) -> dict[str, float]:
    """Return {arm: mean of `metric`}; arms without a number are left out."""
    if missing := {"arm", metric} - set(rows):
        raise ValueError(f"these rows lack the columns {missing}; they have {list(rows)}.")
    if "world" in rows and len(worlds := set(rows["world"])) > 1:
        raise ValueError(f"these rows are of the worlds {worlds}; give the rows of one.")
    return rows.groupby("arm")[metric].mean().dropna().astype(float).to_dict()
