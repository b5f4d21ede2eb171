"""Xu, Liu, Li, Loy 2020, *Knowledge Distillation Meets Self-Supervision*, ECCV.

arXiv:2006.07114.
"""

NOTEBOOK = "06_sskd"
