"""Every table of the store, and how its rows are answered for. Closed: a table that is not here fails a test, and so does one that is here for nothing.

The tables belong to rooms above this one, so they are named and not imported. What the application's role may do to each on PostgreSQL stands here
too: it reads and adds rows everywhere, and has no other right unless the table's line gives it one (`store/owner.py`, `docs/postgres.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stella_pipelines.evidence.audited import Audited, Machinery, Record, Right, TableKind

_OF_RELEASE: Final = ("releases", "digest", "release_digest")
_OF_EVALUATION: Final = ("promotion_evaluations", "id", "evaluation_id")
_IMPORTED: Final = "It is another installation's evidence: each packet is signed, and is verified again by whoever reads it."
_LOG: Final = "It is the log: every leaf is hashed into the roots of the signed checkpoints, and 'stella audit verify' computes them again."

AUDITED: Final[Mapping[str, Audited]] = {
    "estate_revisions": Audited("estate/{revision}"),
    "releases": Audited("release/{name}-{version}", rights=("UPDATE", "DELETE")),
    "release_pushes": Audited("release/{name}-{version}/push/{location}", through=_OF_RELEASE),
    "release_reports": Audited("release/{name}-{version}/report/{id}", through=_OF_RELEASE),
    "promotions": Audited("{id}", rights=("UPDATE",), ids="prm_"),
    "promotion_evaluations": Audited("{promotion_id}/evaluation/{attempt}", rights=("UPDATE",)),
    "gate_results": Audited("{promotion_id}/evaluation/{attempt}/gate/{gate}", through=_OF_EVALUATION),
    "approvals": Audited("{promotion_id}/approval/{number}"),
    "overrides": Audited("{id}", rights=("UPDATE",), ids="ovr_"),
    "imported_exports": Audited("import/{digest}"),
    "deployments": Audited("{id}", rights=("UPDATE",), ids="dep_"),
}

RECORDS: Final[Mapping[str, Record]] = {
    "blobs": Record("A blob's key is the digest of its bytes, which every read checks; audited rows and packets name blobs by that digest."),
    "evidence_packets": Record("Each is signed, has its place in its stream and in the log, and is verified by whoever reads it."),
    "evidence_subjects": Record("They repeat the subjects of a packet for searching; whoever reads a packet compares them with what was sealed."),
    "evidence_heads": Record("The newest number of a stream, which the packets themselves show; a trigger lets it only rise.", rights=("UPDATE",)),
    "audit_entries": Record("They are the trail; the digest of each stands in the log."),
    "evidence_key_events": Record("Each is signed, and names the digest of the one before it; each has the entry 'key.introduce' or 'key.revoke' besides."),
    "evidence_purged": Record("Append-only by triggers, which let it name only what stands in the log, under the sealed packet of a purge."),
    "evidence_hold_events": Record("Append-only by triggers; a hold and its end each have an audit entry with the digest of the event."),
    "imported_entries": Record(_IMPORTED),
    "imported_contents": Record(_IMPORTED),
    "imported_blobs": Record("A blob's key is the digest of its bytes, which every read checks."),
    "log_identity": Record("Every checkpoint is signed under the name that it holds."),
    "log_entries": Record(_LOG),
    "log_nodes": Record(_LOG),
    "log_checkpoints": Record("Each is signed; that one goes on from another is proven by whoever asks, from their roots."),
    "log_cosignatures": Record("Each is a witness's own signature."),
    "deployment_journal": Record("Append-only by a trigger; the packet of the deployment seals the digest of all of it."),
    "deployment_ledger": Record(
        "The journal's rows as people read them, written with each; the packet of the deployment seals the digest of the whole ledger.", rights=("UPDATE",)
    ),
}

MACHINERY: Final[Mapping[str, Machinery]] = {
    "leases": Machinery(
        "Who works on a thing now, and the token that shuts out a late one. It decides nothing; who lifts a token leaves the entry 'target.take_over'.",
        rights=("UPDATE",),
    ),
    "outbox": Machinery(
        "Runs to be started. A row is written in the transaction of the audited change that wants the run, and then tells only whether it was started.",
        rights=("UPDATE",),
    ),
    "log_pending": Machinery(
        "Packets and entries that wait to be taken into the log. Triggers write a row and keep it until its entry stands there.", rights=("DELETE",)
    ),
    "blobs_leaving": Machinery("Blobs that a purge will remove, when nobody has wanted them again by then. The purge itself is sealed.", rights=("DELETE",)),
    "environment_observations": Machinery(
        "The last look at an environment: what was seen, not what anybody did. A gate that judges by it keeps what it saw by digest, "
        "and so does the packet of a deployment.",
        rights=("UPDATE",),
    ),
    "release_components": Machinery("Which components the releases of a name have, for drawing: it repeats what the audited releases say."),
}

EVERY_TABLE: Final[Mapping[str, TableKind]] = {**AUDITED, **RECORDS, **MACHINERY}

RIGHTS: Final[Mapping[str, tuple[Right, ...]]] = {table: kind.rights for table, kind in EVERY_TABLE.items()}
"""What the application may do on PostgreSQL, by table, besides reading and adding rows."""
