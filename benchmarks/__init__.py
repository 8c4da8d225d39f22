"""Benchmarks: every figure that the README quotes, as a ratio against a peer or a limit measured in the same run.

`make bench` runs all of them, `make bench ONLY=name` one. A benchmark is a function that returns rows; it is listed in `__main__.py`.
"""
