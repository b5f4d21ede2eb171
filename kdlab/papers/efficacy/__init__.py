"""Cho, Hariharan 2019, *On the Efficacy of Knowledge Distillation*, arXiv:1910.01348."""

NOTEBOOK = "01_efficacy"
