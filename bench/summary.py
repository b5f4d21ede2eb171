"""What the times say: the bars, the README's table, the JSON file."""

from typing import Any, NamedTuple

import pandas as pd

from bench.ways import BARE, BOX, KDLAB, PLAIN

WORKERS = {"warm": "workers running", "new": "new workers"}  # of kdlab's comparison


class Bar(NamedTuple):
    """One requirement: `value` (None where not measured) must be at least, or at most, `limit`."""

    text: str
    value: float | None
    sign: str  # ">=" or "<="
    limit: float

    @property
    def verdict(self) -> str:
        """PASS, FAIL, or SKIP where nothing was measured."""
        if self.value is None:
            return "SKIP"
        met = self.value >= self.limit if self.sign == ">=" else self.value <= self.limit
        return "PASS" if met else "FAIL"

    def __str__(self) -> str:
        found = "not measured" if self.value is None else f"{self.value:.2f}"
        return f"{self.verdict}  {self.text}: {found} (bar {self.sign} {self.limit:g})"


def summary(runs: pd.DataFrame, new: float, warm: float, images: int) -> pd.DataFrame:
    """Summarise the runs by way.

    Args:
        runs: a row a run with way, seed, seconds, test_seconds, accuracy (%).
        new: seconds of kdlab's comparison over the same seeds, its new workers included.
        warm: the same where the workers run already.
        images: images that one run sees, all epochs together.

    Returns:
        By way: seconds (median), images_per_second, accuracy (mean, %), and the seconds for all
        seeds, tests included: "new" and "warm" of kdlab, in both columns one run after another of
        the others.
    """
    groups = runs.groupby("way", sort=False)
    table = pd.DataFrame({"seconds": groups.seconds.median(), "accuracy": groups.accuracy.mean()})
    table["images_per_second"] = images / table.seconds
    table["new"] = table["warm"] = groups.seconds.sum() + groups.test_seconds.sum()
    table.loc[KDLAB, ["new", "warm"]] = new, warm
    return table


def bars(table: pd.DataFrame, seeds: int) -> list[Bar]:
    """Return the requirements of speed, and one of learning, on a table of `summary`.

    A comparison that must start its workers first is shown, and no bar asks for it.
    """
    ours = table.loc[KDLAB]

    def times(way: str, column: str) -> float | None:
        return table.at[way, column] / ours[column] if way in table.index else None

    runs = {"one run": ("seconds", 3.0), f"{seeds} seeds, {WORKERS['warm']}": ("warm", 6.0)}
    rivals = [way for way in (PLAIN, BOX) if way in table.index]
    bare = ours.seconds / table.at[BARE, "seconds"]
    behind = table.loc[rivals, "accuracy"].max() - ours.accuracy
    return [
        *(
            Bar(f"{what}, times {way}", times(way, column), ">=", limit)
            for what, (column, limit) in runs.items()
            for way in (PLAIN, BOX)
        ),
        Bar(f"one run, time over the {BARE}'s", bare, "<=", 1.25),
        Bar("test accuracy behind the best rival, points", behind, "<=", 1),
    ]


def markdown(table: pd.DataFrame, seeds: int, caption: str) -> str:
    """Return the README's table with `caption` below it."""
    ours = table.loc[KDLAB]
    columns = {"seconds": "one run"} | {k: f"{seeds} seeds, {WORKERS[k]}" for k in WORKERS}
    heads = " | ".join(columns.values())
    lines = [f"| way | images/s | {heads} | test accuracy |", "|---|" + "--:|" * 5]
    for way, row in table.iterrows():
        cells = [f"{row[c]:.1f} s ({row[c] / ours[c]:.2g}×)" for c in columns]
        if way == BARE:  # a limit for one run, no way to compare seeds
            cells[1:] = ["–"] * len(WORKERS)
        lines.append(
            f"| {way} | {row.images_per_second:,.0f} | {' | '.join(cells)} | {row.accuracy:.1f} % |"
        )
    return "\n".join([*lines, "", caption])


def record(runs: pd.DataFrame, found: list[Bar], **facts: Any) -> dict[str, Any]:
    """Return all that was measured, ready for JSON."""
    judged = [bar._asdict() | {"verdict": bar.verdict} for bar in found]
    return facts | {"runs": runs.to_dict("records"), "bars": judged}
