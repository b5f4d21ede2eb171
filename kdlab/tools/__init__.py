"""Commands around the notebooks; nothing that computes needs them."""
