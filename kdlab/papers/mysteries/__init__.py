"""Allen-Zhu, Li 2020, *Towards Understanding Ensemble, Knowledge Distillation and Self-Distillation
in Deep Learning*, arXiv:2012.09816, ICLR 2023."""

NOTEBOOK = "10_three_mysteries"
