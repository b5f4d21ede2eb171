"""Yuan, Tay, Li, Wang, Feng 2020, *Revisiting Knowledge Distillation via Label Smoothing
Regularization*, CVPR 2020, arXiv:1909.11723.
"""

NOTEBOOK = "02_kd_as_lsr"
