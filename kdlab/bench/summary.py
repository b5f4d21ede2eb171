"""What the times say: the bars, the README's table, the JSON file."""

from typing import Any, NamedTuple

import pandas as pd

from kdlab.bench.ways import BARE, BOX, KDLAB, PLAIN


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


def summary(runs: pd.DataFrame, compared: float, images: int) -> pd.DataFrame:
    """Summarise the runs by way.

    Args:
        runs: a row a run with way, seed, seconds, accuracy (%).
        compared: seconds of kdlab's comparison over the same seeds.
        images: images that one run sees, all epochs together.

    Returns:
        By way: seconds (median), images_per_second, accuracy (mean, %), all_seeds (seconds for all
        seeds: kdlab's is `compared`, the others' is one run after another).
    """
    groups = runs.groupby("way", sort=False)
    table = pd.DataFrame({"seconds": groups.seconds.median(), "accuracy": groups.accuracy.mean()})
    table["images_per_second"] = images / table.seconds
    table["all_seeds"] = groups.seconds.sum()
    table.loc[KDLAB, "all_seeds"] = compared
    return table


def bars(table: pd.DataFrame, seeds: int, warm: float) -> list[Bar]:
    """Return the requirements of speed, and one of learning, on a table of `summary`.

    `warm`: seconds of kdlab's comparison where its workers run already.
    """
    ours = table.loc[KDLAB]

    def times(way: str, column: str, seconds: float) -> float | None:
        return table.at[way, column] / seconds if way in table.index else None

    runs = {"one run": ("seconds", ours.seconds, 3.0)}
    runs[f"{seeds} seeds"] = ("all_seeds", ours.all_seeds, 6.0)
    runs[f"{seeds} seeds, workers running"] = ("all_seeds", warm, 6.0)
    rivals = [way for way in (PLAIN, BOX) if way in table.index]
    bare = ours.seconds / table.at[BARE, "seconds"]
    behind = table.loc[rivals, "accuracy"].max() - ours.accuracy
    return [
        *(
            Bar(f"{what}, times {way}", times(way, column, seconds), ">=", limit)
            for what, (column, seconds, limit) in runs.items()
            for way in (PLAIN, BOX)
        ),
        Bar(f"one run, time over the {BARE}'s", bare, "<=", 1.25),
        Bar("test accuracy behind the best rival, points", behind, "<=", 1),
    ]


def markdown(table: pd.DataFrame, seeds: int, caption: str) -> str:
    """Return the README's table with `caption` below it."""
    ours = table.loc[KDLAB]
    lines = [
        f"| way | images/s | one run | kdlab is faster by | {seeds} seeds | kdlab is faster by "
        "| test accuracy |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for way, row in table.iterrows():
        one, many = (f"{row[c] / ours[c]:.2g}×" for c in ("seconds", "all_seeds"))
        whole = f"{row.all_seeds:.1f} s | {many}" if way != BARE else "– | –"
        lines.append(
            f"| {way} | {row.images_per_second:,.0f} | {row.seconds:.1f} s | {one} | {whole} "
            f"| {row.accuracy:.1f} % |"
        )
    return "\n".join([*lines, "", caption])


def record(runs: pd.DataFrame, found: list[Bar], **facts: Any) -> dict[str, Any]:
    """Return all that was measured, ready for JSON."""
    judged = [bar._asdict() | {"verdict": bar.verdict} for bar in found]
    return facts | {"runs": runs.to_dict("records"), "bars": judged}
