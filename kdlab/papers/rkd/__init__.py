"""Park, Kim, Lu, Cho 2019, *Relational Knowledge Distillation*, arXiv:1904.05068."""

NOTEBOOK = "05_rkd"
