"""The lab as a web page: `make app` serves `lab.ipynb` by Voila, with the template beside it."""
