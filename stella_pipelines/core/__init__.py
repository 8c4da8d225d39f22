"""Core: the words that every other room speaks, and nothing that touches the world.

Digests, image references, canonical JSON, identifiers, time, errors, secrets and limits. Everything here is pure: time and
randomness come in as arguments, except in the two small edges `SystemClock` and `SystemIdentifiers`.
"""
