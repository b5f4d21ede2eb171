"""The teacher's pack: projector pages, sheets for print, settings to hand out, times, marking."""
