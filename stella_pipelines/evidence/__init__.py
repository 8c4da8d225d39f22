"""Evidence: what happened, sealed so that a stranger can check it without asking us.

A packet is an in-toto Statement in a DSSE envelope, signed before it is stored and stored in the same transaction as the fact it tells of, with a dense
number in its stream; `service` seals, `verify` checks with nothing but bytes and public keys. The audit trail (`audit`) notes who did what, with the
hash of each row before and after; `agreement` compares it with the tables. All of it is append-only, and the database itself refuses to change or delete a row.

- `keys`: who may sign, and which signatures still count.
- `log`: one Merkle tree over every packet and audit entry, its checkpoints and proofs; `merkle` is its verifier, alone and without I/O.
- `exports`, `imports`: one self-verifying file per audit question, and its way into another installation.
- `retention`: how long packets are kept, legal holds, and the purge that leaves the proofs whole.
- `frames`: the same facts as tables for analysts.
- `predicates`: the schema of each kind of packet.

States: none. A packet exists or does not.
"""
