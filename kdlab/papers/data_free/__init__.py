"""Lopes, Fenu, Starner 2017, *Data-Free Knowledge Distillation for Deep Neural Networks*,
arXiv:1710.07535; Chen et al. 2019, *Data-Free Learning of Student Networks*, arXiv:1904.01186; Yin
et al. 2020, *Dreaming to Distill: Data-free Knowledge Transfer via DeepInversion*,
arXiv:1912.08795."""

NOTEBOOK = "11_data_free"
