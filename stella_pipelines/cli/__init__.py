"""The `stella` command: what a release engineer types, and what scripts read.

One file per noun. A command parses its arguments, calls one use case, and prints what happened: a table for people, one JSON
document with `--json`. No rule is decided here. Exit codes are listed in `exits.py` and in `stella --help`.
"""
