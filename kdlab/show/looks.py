"""Colours and markers of the methods, the same in every notebook; a new paper adds its line."""

from typing import Any

# After Okabe and Ito's colour-blind-safe set, darkened to 3:1 on white and on a dark ground. One
# method = one colour and one marker in every notebook.
LOOKS: dict[str, tuple[str, str]] = {
    "hard labels": ("#333333", "o"),
    "labels": ("#333333", "o"),
    "KD": ("#0072B2", "s"),
    "KD, permuted": ("#8C8C8C", "X"),
    "teacher": ("#D55E00", "*"),
    "label smoothing": ("#009E73", "^"),
    "control": ("#8C8C8C", "X"),
    "DML": ("#BF5B96", "D"),
    "RKD": ("#BF5B96", "D"),
    "RKD + KD": ("#9467B5", "<"),
    "hint": ("#B87900", "v"),
    "label hint": ("#009E73", "^"),
    "joint": ("#9467B5", "<"),
    "BYOT": ("#9467B5", "<"),
    "deep supervision": ("#2A87BE", "P"),
    "De-KD": ("#B87900", "v"),
    "Re-KD": ("#2A87BE", "P"),
    "Tf-KD_self": ("#9467B5", "<"),
    "Tf-KD_reg": ("#8B6B3D", ">"),
    "SSKD": ("#2A87BE", "P"),
    "same rows": ("#8B6B3D", ">"),
    "DAFL": ("#009E73", "^"),
    "DeepInversion": ("#9467B5", "<"),
    "noise": ("#8C8C8C", "X"),
    "OKDDip": ("#9467B5", "<"),
    "ONE": ("#2A87BE", "P"),
    "independent": ("#333333", "o"),
    "mean target": ("#B87900", "v"),
    "not detached": ("#8B6B3D", ">"),
}
NEUTRAL = {"color": "#4C6A88", "marker": "o"}  # of a row that its label names
SPARE = [("#B87900", "v"), ("#2A87BE", "P"), ("#9467B5", "<"), ("#8B6B3D", ">")]


def known(name: str) -> str | None:
    """Return the longest known name with which `name` begins."""
    return max((key for key in LOOKS if name.startswith(key)), key=len, default=None)


def look(name: str, place: int = 0) -> dict[str, Any]:
    """Return colour and marker of a method: fixed for the known ones, else by `place`.

    A name that begins with a known one looks like it: "hard labels, 3 %" is "hard labels".
    """
    key = known(name)
    colour, marker = LOOKS[key] if key else SPARE[place % len(SPARE)]
    return {"color": colour, "marker": marker}
