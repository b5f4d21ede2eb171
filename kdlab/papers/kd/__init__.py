"""Hinton, Vinyals, Dean 2015, *Distilling the Knowledge in a Neural Network*, arXiv:1503.02531."""

NOTEBOOK = "00_kd"
