"""Evidence: what happened, sealed so that a stranger can check it without asking us.

A packet is an in-toto Statement in a DSSE envelope, signed before it is stored and stored in the same transaction as the fact it tells of;
`service` seals, `verify` checks with nothing but bytes and public keys. The audit trail (`audit`) notes who did what in words. Both are
append-only, and the database itself refuses to change or delete a row. The format is described in `docs/evidence-format.md`.

States: none. A packet exists or does not.
"""
