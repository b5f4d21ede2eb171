"""kdlab: an interactive course and lab on knowledge distillation."""
