"""Dagster jobs: how a promotion is decided and a deployment carried out, as runs that an operator can watch and read.

An op calls one use case of a service and reports what it answered. No rule is decided here. `submission.py` turns outbox rows into runs
under deterministic ids, `recovery.py` follows a dead run with a new attempt. How runs start is in `warm`, where Dagster keeps them in `storage`, and how large
deployments are split in `shards`.
"""
