"""The shoot-out: every method of the course on equal terms, and who can be told apart from whom.

An entrant is a row of the lab. `tuning` chooses the knobs of each from equally many tries, on
validation images of replicates of their own; `experiment` compares what was chosen; `ranking` says
what the numbers hold. `public.toml` holds what public tables say of the same methods.
"""
