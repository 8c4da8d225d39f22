"""What an operator sees in Dagster's catalogue: images, releases, environments and evidence, keyed by digest.

All of them are external: Dagster never computes them. `specs.py` lists them from the `catalogue.py`, `events.py` words what is
reported about them, `publishing.py` reports releases, and `checks.py` asks the targets. One partition per release, named in `keys.py`.
`present.py` says what of all that shows the present, and must stay when old runs are deleted.
"""
