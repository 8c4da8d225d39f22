"""Promotions: whether a release may go into an environment, why, and who said so.

States: `evaluating → waiting ⇄ evaluating → approved → deploying → deployed`, and the ends `rejected`, `cancelled`, `expired`, `failed`,
`rolled_back`. The closed table stands in `transitions.py`. A gate first gathers its inputs, which are stored by content hash, and then
judges them in a pure function, so that every decision can be replayed (`replay.py`), also under other settings (`what_if.py`).

This room decides and remembers; it plans nothing and touches no target. Deployments live one floor up.
"""
