"""Strategies: which targets may be in flight now. Pure; one file per strategy, chosen in `selection.py` by the environment's setting."""
