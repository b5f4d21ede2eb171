"""One paper, one file. This table says which file a notebook's paper has."""

# Stem of the notebook -> module here. None: the paper studies distillation and proposes no loss.
METHODS: dict[str, str | None] = {
    "00_kd": "kd",
    "01_efficacy": "efficacy",
    "05_rkd": "rkd",
    "08_dml": "dml",
}
