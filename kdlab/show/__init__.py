"""What a notebook shows: claims, tables, figures, widgets, exercises."""
