"""Where Dagster keeps its runs, events and output: its own tables and files, with connections that stay open.

`sqlite_storage.py` and `postgres_storage.py` are what `dagster.yaml` names, `compute_logs.py` what steps print; `instance_storage.py` creates and
upgrades the tables under a lock. The record is not here: it is the store.
"""
