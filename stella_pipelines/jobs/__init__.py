"""Dagster jobs: how a promotion is decided and a deployment carried out, as runs that an operator can watch and read.

An op calls one use case of a service and reports what it answered. No rule is decided here. `submission.py` turns outbox rows into runs
under deterministic ids, `recovery.py` follows a dead run with a new attempt, `launcher.py` and `runner.py` fork runs from a warm process.
"""
