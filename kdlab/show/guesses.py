"""What a reader guessed in all notebooks, in one small file ``guesses.json``; how good it is."""

import json
import math
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from kdlab.show.folds import Shown, as_table, told
from kdlab.store import digest, home_dir, write_atomic

LEVEL = 0.8  # how sure a reader says to be
FORMAT = "kdlab guesses, 1"


@dataclass(frozen=True)
class Guess:
    """A reader's 80 % interval for one arm, and what was measured, once that was shown.

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
            raise ValueError(f"{self!r} is no guess; give names and finite ends, low before high")

    @property
    def counts(self) -> bool:
        """Whether it was made before the results were shown, and they are known now."""
        return not self.after and self.measured is not None

    @property
    def miss(self) -> float:
        """How far the measured mean lies outside, 0 inside; NaN where nothing was measured."""
        return math.nan if self.measured is None else outside(self.low, self.high, self.measured)

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"


def outside(low: float, high: float, x: float) -> float:
    """Return the distance from `x` to the interval [low, high]."""
    return max(low - x, x - high, 0.0)


def interval_score(low: float, high: float, x: float, alpha: float = 1 - LEVEL) -> float:
    """Return the width of [low, high] + (2 / alpha) * distance of `x` outside it; lower is better.

    Gneiting and Raftery 2007, Journal of the American Statistical Association 102, section 6.2,
    equation 43.

    >>> interval_score(90, 94, 92), round(interval_score(90, 94, 95), 9)
    (4.0, 14.0)
    """
    return high - low + 2 / alpha * outside(low, high, x)


def read_guesses() -> list[Guess]:
    """Return all guesses. A file that holds none is set aside, with a warning, and never lost."""
    path = home_dir() / "guesses.json"
    if not path.exists():
        return []
    content = path.read_bytes()
    try:
        found: Any = json.loads(content)
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r}, not {FORMAT!r}")
        return [Guess(**row) for row in found["guesses"]]
    except Exception as error:  # whatever a damaged or foreign file makes this raise
        aside = path.with_name(f"guesses-{digest(content)[:8]}.json")  # a name for each content
        path.replace(aside)
        words = f"{path} holds no guesses that can be read ({type(error).__name__}: {error})"
        warnings.warn(f"{words}; it is kept as {aside.name}, and a new one is begun.", stacklevel=3)
        return []


def write_guesses(guesses: Iterable[Guess]) -> None:
    """Keep `guesses`, in place of all that were there."""
    content = {"format": FORMAT, "guesses": [asdict(guess) for guess in guesses]}
    write_atomic(home_dir() / "guesses.json", json.dumps(content, indent=1).encode())


def tally(guesses: Iterable[Guess]) -> tuple[int, int]:
    """Return how many of the guesses that count held, and how many count."""
    misses = [guess.miss for guess in guesses if guess.counts]
    return misses.count(0.0), len(misses)


def record() -> Shown:
    """Return how good the reader's guesses are, over all notebooks.

    The share of 80 % intervals that held gets a 95 % interval by Wilson, as it is one of few. That
    takes guesses as independent; those of one notebook hang together, so it is a little too kind.
    """
    guesses = [guess for guess in read_guesses() if guess.counts]
    hits, n = tally(guesses)
    if not n:
        return told("None of your guesses has been scored yet, in any notebook.")
    low, high = binomtest(hits, n).proportion_ci(method="wilson")
    verdict = "so 80 % may well be right for you"
    if high < LEVEL:
        verdict = "so you are surer than you should be: make your intervals wider"
    elif low > LEVEL:
        verdict = "so you know more than you think: make your intervals narrower"
    words = (
        f"{hits} of {n} of your 80 % intervals held. In the long run, between {100 * low:.0f} and "
        f"{100 * high:.0f} % of such intervals would hold (95 % interval by Wilson), {verdict}."
    )
    frame = pd.DataFrame(
        [(g.notebook, g.unit, g.high - g.low, g.miss == 0) for g in guesses],
        columns=["notebook", "unit", "width", "held"],
    )
    cells = [
        {
            "": notebook,
            "held": f"{part['held'].sum()} of {len(part)}",
            "mean width": f"{part['width'].mean():.3g} {unit}",
        }
        for (notebook, unit), part in frame.groupby(["notebook", "unit"], sort=False)
    ]
    return as_table(cells, "Your guesses in all notebooks", words)
