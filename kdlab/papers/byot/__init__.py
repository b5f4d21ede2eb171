"""Zhang, Song, Gao, Chen, Bao, Ma 2019, *Be Your Own Teacher*, arXiv:1905.08094."""

NOTEBOOK = "07_byot"
