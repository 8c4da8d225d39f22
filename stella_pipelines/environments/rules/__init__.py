"""Rules: what an estate as a whole must fulfil, beyond each value's own form. Pure functions from an estate to findings, without line numbers.

`every.py` runs them all; the other files hold one theme each.
"""
