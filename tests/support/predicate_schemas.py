"""The JSON Schemas of the predicates, and whether every packet of a store fits: sealing itself does not look at them."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import jsonschema
import sqlalchemy as sa

import stella_pipelines.evidence
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.evidence.stored import read_verified
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.store.database import Store

SCHEMAS: Final = Path(stella_pipelines.evidence.__file__).parent / "predicates"


@functools.cache
def schema(kind: str) -> dict[str, Any]:
    """The schema of a kind's predicate."""
    return dict(json.loads((SCHEMAS / f"{kind}-v1.schema.json").read_text()))


@functools.cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    """What tells whether a predicate fits."""
    return jsonschema.Draft202012Validator(schema(kind))


def require_every_packet_fits(store: Store, evidence: Evidence) -> set[str]:
    """Every packet verifies, fits the schema of its kind, and follows the one before it in its stream without a gap. The kinds that there were."""
    sequences: dict[str, list[int]] = defaultdict(list)
    kinds: set[str] = set()
    with store.reading() as tx:
        for packet_id in (
            tx.connection.execute(sa.select(evidence_packets.c.id).order_by(evidence_packets.c.stream, evidence_packets.c.sequence)).scalars().all()
        ):
            packet, verified = read_verified(evidence, tx, packet_id)
            problems = [f"{problem.json_path}: {problem.message}" for problem in validator(packet.kind).iter_errors(verified.statement.predicate)]
            assert problems == [], f"{packet.kind} {packet.id}"
            sequences[packet.stream].append(packet.sequence)
            kinds.add(packet.kind)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in sequences.values()), dict(sequences)
    return kinds
