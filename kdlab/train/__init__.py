"""The training of one network: what a method is, recipes, the loop, frozen teachers."""
