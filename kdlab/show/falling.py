"""The headline trains before the reader's eyes: its dots fall onto those of the evidence."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kdlab.runs.compare import compare, processes
from kdlab.runs.differences import interval
from kdlab.runs.evidence import Arm, InWorld, teach
from kdlab.show.looks import look
from kdlab.show.plots import bundle, figure
from kdlab.train.worlds import World

NOTHING = pd.DataFrame(columns=["arm", "accuracy", "seconds"])
FIRST = 1000  # replicates from here on are the readers'; those of the evidence are below


def live(
    arms: Mapping[str, Arm],
    world: World,
    replicates: int,
    seed: int = 0,
    *,
    known: pd.DataFrame | None = None,
    guesses: Callable[[Axes, Sequence[str]], str] | None = None,
    n_jobs: int | None = None,
) -> pd.DataFrame:
    """Train the arms on new replicates of `world`; each dot falls as its run ends.

    Args:
        arms: {name: function of a `kdlab.train.worlds.Replicate`}.
        world: where; its teachers are trained first.
        replicates: how many new ones.
        seed: the reader's own; another number draws other replicates.
        known: evidence of the same arms, which stands behind the dots at once.
        guesses: ``Guesses.draw``, which adds the reader's intervals to the rows.

    Returns:
        One row a run: arm, seed, and what the arm measured. Everything is kept: a second time
        takes no time.
    """
    here = NOTHING if known is None or known.empty else known[known["world"] == world.name]
    seeds = [FIRST + replicates * seed + i for i in range(replicates)]
    print(
        f"{len(seeds)} teachers and {len(seeds) * len(arms)} students"
        + _minutes(arms, here, len(seeds), processes(n_jobs))
    )
    handle = display(_picture(arms, here, NOTHING, guesses), raw=True, display_id=True)

    def draw(runs: pd.DataFrame) -> None:
        if handle is not None:
            now = runs if len(runs) else NOTHING
            handle.update(_picture(arms, here, now, guesses), raw=True)

    compare({"teacher": InWorld(teach, world)}, seeds, n_jobs=n_jobs, title="teachers")
    jobs = {name: InWorld(arm, world) for name, arm in arms.items()}
    return compare(jobs, seeds, n_jobs=n_jobs, title="students", on_row=draw)


def _minutes(arms: Mapping[str, Arm], here: pd.DataFrame, n: int, cores: int) -> str:
    """Say how long it will take, by the fastest such runs of the evidence.

    The slower ones shared their cores with other work.
    """
    if here.empty:
        return "; nobody has timed them here yet."
    each = here.groupby("arm")["seconds"].min().reindex(list(arms)).dropna()
    seconds = (each.sum() + each.min()) * n / cores  # a teacher: about as long as labels alone
    return f": about {max(10, round(seconds, -1)):.0f} s where nothing is stored yet."


def _picture(
    arms: Mapping[str, Arm],
    here: pd.DataFrame,
    runs: pd.DataFrame,
    guesses: Callable[[Axes, Sequence[str]], str] | None,
) -> dict[str, str]:
    """Return the figure in a fold, so that a stored page does not answer the reader's guess."""
    fig, said = rows_of_dots(list(arms), here, runs, guesses)
    found = here.groupby("arm")["accuracy"].apply(list)
    means = "; ".join(f"{name} {interval(found.get(name, []), unit='%')}" for name in arms)
    alt = f"One row a student. Small dots: the evidence; large dots: your runs. {means}. {said}"
    return bundle(fig, alt.strip(), fold="Your runs on the evidence", opened=True)


def rows_of_dots(
    names: Sequence[str],
    known: pd.DataFrame,
    runs: pd.DataFrame,
    guesses: Callable[[Axes, Sequence[str]], str] | None = None,
) -> tuple[Figure, str]:
    """Draw a row per arm: evidence as small dots with mean and interval, new runs as large dots.

    Returns the figure and a sentence on the guesses in it, for its alternative text.
    """
    fig, ax = figure(size=(9.2, 0.9 + 0.72 * len(names)))
    for place, name in enumerate(names):
        style: dict[str, Any] = look(name, place)
        if (x := known.loc[known["arm"] == name, "accuracy"]).size:
            found = interval(x)
            jitter = np.linspace(-0.16, 0.16, len(x))
            ax.plot(x, place + jitter, ".", color=style["color"], alpha=0.4, markersize=6)
            ax.plot([found.low, found.high], [place + 0.3] * 2, color=style["color"], linewidth=4)
            ax.plot(found.mean, place + 0.3, "|", color="black", markersize=9)
        if (y := runs.loc[runs["arm"] == name, "accuracy"]).size:
            ax.plot(
                y,
                [place - 0.26] * len(y),
                linestyle="none",
                markersize=10,
                markeredgecolor="black",
                **style,
            )
    said = guesses(ax, names) if guesses is not None else ""
    ax.set_yticks(range(len(names)), list(names))
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel("test accuracy in % (axis cut)")
    return fig, said
