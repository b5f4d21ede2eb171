"""Figures of the notebooks: pure functions from stored results to a figure, one file a notebook."""
