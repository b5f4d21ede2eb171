"""Romero, Ballas, Kahou, Chassang, Gatta, Bengio 2015, *FitNets: Hints for Thin Deep Nets*, ICLR.

arXiv:1412.6550.
"""

NOTEBOOK = "04_fitnets"
