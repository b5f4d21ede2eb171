"""Zhang, Xiang, Hospedales, Lu 2018, *Deep Mutual Learning*, arXiv:1706.00384."""

NOTEBOOK = "08_dml"
