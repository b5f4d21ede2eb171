"""Chen, Mei, Wang, Feng, Chen 2020, *Online Knowledge Distillation with Diverse Peers* (OKDDip).

arXiv:1912.00350. Its rival is ONE: Lan, Zhu, Gong 2018, *Knowledge Distillation by On-the-Fly
Native Ensemble*, arXiv:1806.04606.
"""

NOTEBOOK = "09_okddip"
