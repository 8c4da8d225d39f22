"""Runs that start at once: a process that has imported everything, and forks one child per run.

On the side that asks: `eager_coordinator.py` launches what no limit holds back, `launcher.py` asks the runner, `witnesses.py` judges whether a run
lives. In the runner: `runner.py` starts, `warming.py` does what no run has to, `dispatching.py` takes orders and keeps the book (`children.py`),
`staleness.py`, `freshness.py` and `renewal.py` keep its code and its memory fresh. In a run's process: `child.py`, `execution.py`, `watching.py`.

A run is queued, alive or ended in the book; what is ended never comes back.
"""
