"""Connectors: how a target is reached and driven. One narrow protocol (`port.py`), one folder per kind of target.

`docker` speaks to a Docker Engine over a unix socket, TCP with mutual TLS, or SSH. `process` is the embedded lab's stand-in: verified
root file systems on this machine, run as plain processes. Kinds are found through the entry-point group `stella.connectors`.

A component on a target is at any moment in one of these states, and every operation leaves it in one of them:
absent → prepared (image on the target) → created (with its sticker, never started) → running → kept (stopped, the way back) → removed.

This room decides nothing: which step comes next, how long to wait and when to roll back belong to `deployments`.
"""
