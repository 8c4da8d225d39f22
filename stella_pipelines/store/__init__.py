"""Store: what is remembered, and the few things that must be true about remembering.

One database (SQLite or PostgreSQL) behind `database.Store`: a transaction either happens as a whole or not at all. On it stand four small
services that every other room shares: content-addressed `blobs`, `leases` with fencing tokens, the `outbox` of runs to be submitted, and
compare-and-swap on aggregate rows. The schema belongs to the rooms (`tables.py` in each); the migrations of all rooms live here, in one chain.

States: a lease is free, held or expired; an outbox row is `pending`, `submitted` or `abandoned`.
"""
