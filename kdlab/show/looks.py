"""Colours and markers of the methods, the same in every notebook; a new paper adds its line."""

# Okabe and Ito's colour-blind-safe set. One method = one colour and one marker in every notebook.
LOOKS: dict[str, tuple[str, str]] = {
    "hard labels": ("#333333", "o"),
    "labels": ("#333333", "o"),
    "KD": ("#0072B2", "s"),
    "KD, permuted": ("#8C8C8C", "X"),
    "teacher": ("#D55E00", "*"),
    "label smoothing": ("#009E73", "^"),
    "control": ("#8C8C8C", "X"),
    "DML": ("#CC79A7", "D"),
    "RKD": ("#CC79A7", "D"),
    "RKD + KD": ("#7A5195", "<"),
    "hint": ("#E69F00", "v"),
}
SPARE = [("#E69F00", "v"), ("#56B4E9", "P"), ("#7A5195", "<"), ("#8B6B3D", ">")]
