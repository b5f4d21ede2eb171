"""The explorer of notebook 05: three points that a reader moves. It starts in a fresh kernel."""

from kdlab.papers.rkd.toy import COLOURS, NAMES, REACH, START

RATE = 0.5  # the step of "20 steps downhill"


def points() -> None:
    """Show both triangles with their relations and the pull of both losses, while a point moves."""
    from kdlab.show.explorers.base import Explorer

    looks = {"names": NAMES, "colours": COLOURS, "reach": REACH, "rate": RATE}
    Explorer("points", {**looks, **START}, START).show(_picture)


def _picture() -> dict[str, str]:
    """Return the still picture of the toy case."""
    from kdlab.papers.rkd import figures
    from kdlab.show.plots import bundle

    found = figures.pulls(START["student"], START["teacher"])
    told = ", ".join(f"L_{name[0].upper()} = {value:.4f}" for name, (value, _) in found.items())
    alt = (
        "Teacher: A, B and C at equal steps on a line. Student: a right angle at A, sides 3, 4 and "
        f"5. Arrows pull the student towards the line; {told}. Bars: distances 0.75, 1.5, 0.75 "
        "against 0.75, 1, 1.25; cosines 1, -1, 1 against 0, 0.6, 0.8."
    )
    return bundle(figures.triangles(START["teacher"], START["student"]), alt)
