"""The log: one Merkle tree (RFC 6962) over every packet and every audit entry of the installation, in the same database.

A database trigger notes every packet and entry in `log_pending`, in the transaction that writes it: there is no way around. `integrating`
takes the notes into the tree in batches, at most a second later, and signs a checkpoint; `proving` makes the proofs; `heads` keeps
checkpoints and what witnesses say of them. The verifier needs none of this: it is `evidence/merkle.py`, without I/O.

Without I/O as well: `tree` (which nodes a batch adds), `notes` and `note_keys` (C2SP signed notes), `checkpoints`, `tlog_proof` (a proof as one file),
and the witnesses' part (`witness`, `witness_request`). `witness_state` is the file in which a witness remembers what it signed.

What a crash leaves: notes that wait, and nothing else; a batch is one transaction. Two that integrate at once wait for each other.
"""
