"""The wording of every event that we report about an asset. Values in, Dagster events out; nothing is read and nothing is stored here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import dagster as dg

from assets.keys import DATA_VERSION_TAG, check_partition_key, environment_key, evidence_key, image_key, release_key
from assets.lineage import Upstream, links, of_release, shown
from assets.log_place import LogPlace
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.model import LedgerRow
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.promotions.evaluation import GateResult
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.releases.model import ReleaseComponent, ReleaseRecord

Metadata = Mapping[str, dg.MetadataValue]
ROWS_SHOWN_MAX: Final = 500
"""Rows of one table in an event. Dagster keeps every event for ever; the packet that the event names has all of them."""
NOT_YET: Final = "not yet"
"""The log takes in what was sealed within a second, and an event is never written anew: `stella audit proof` knows the place."""
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}")
"""Whole digests are too wide for a table: the columns behind them would be out of view. They stand in an entry of their own."""


def release_events(record: ReleaseRecord, proof: Metadata | None = None) -> Iterator[dg.AssetMaterialization]:
    """A release and the images that it pins, images first. `proof`: what `release_proof` says of its packet."""
    for image in record.release.components:
        yield _materialization(image_key(image.name), record.partition_key, image.digest, f"`{image.repository}` in {record.label}", _image_metadata(image))
    assert record.digest is not None, "a draft is not reported"
    metadata = {**_release_metadata(record), **(proof or {})}
    yield _materialization(release_key(record.release.name), record.partition_key, record.digest, f"Release {record.label}", metadata)


def release_proof(record: ReleaseRecord, packet: SealedPacket, place: LogPlace | None) -> Metadata:
    """The release's packet, as metadata of the release."""
    return _packet_metadata(packet, of_release(record), place)


def decision_event(
    promotion: Promotion,
    partition: str,
    packet: SealedPacket,
    results: Sequence[GateResult],
    upstream: tuple[Upstream, ...],
    place: LogPlace | None = None,
) -> dg.AssetMaterialization:
    """A sealed decision."""
    metadata = {
        **_packet_metadata(packet, upstream, place),
        "verdict": dg.MetadataValue.text("deny" if promotion.state is PromotionState.REJECTED else "allow"),
        "release": dg.MetadataValue.text(promotion.release_label),
        "release digest": dg.MetadataValue.text(promotion.release_digest),
        "plan digest": dg.MetadataValue.text(promotion.plan_digest or "none"),
        "promotion": dg.MetadataValue.text(promotion.id),
        "requested by": dg.MetadataValue.text(promotion.requested_by.name),
        "gates": dg.MetadataValue.md(gates_table(results)),
    }
    description = f"Decision on {promotion.release_label} into {promotion.environment}: {promotion.state}"
    return _materialization(evidence_key(promotion.environment), partition, packet.digest, description, metadata)


def waiting_event(promotion: Promotion, partition: str, results: Sequence[GateResult]) -> dg.AssetObservation:
    """A promotion that waits: nothing was sealed, and this says for what it waits."""
    metadata: dict[str, dg.MetadataValue] = {
        "promotion": dg.MetadataValue.text(promotion.id),
        "gates": dg.MetadataValue.md(gates_table(results)),
        "plan digest": dg.MetadataValue.text(promotion.plan_digest or "none"),
    }
    if promotion.waiting_until is not None:
        metadata["asks again at"] = dg.MetadataValue.text(format_instant(promotion.waiting_until))
    if promotion.failure is not None:
        metadata["failure"] = dg.MetadataValue.json(dict(promotion.failure))
    description = f"{promotion.release_label} waits before {promotion.environment}"
    return dg.AssetObservation(environment_key(promotion.environment), partition=check_partition_key(partition), description=description, metadata=metadata)


def packet_event(
    environment: str,
    packet: SealedPacket,
    partition: str,
    upstream: tuple[Upstream, ...],
    *,
    place: LogPlace | None = None,
    verdict: str | None = None,
) -> dg.AssetMaterialization:
    """A packet that tells of an environment. `verdict`: how it says that the matter ended."""
    description = f"Packet {packet.sequence} of {environment}: {packet.kind}"
    metadata = {**_packet_metadata(packet, upstream, place), "verdict": dg.MetadataValue.text(verdict or "none")}
    return _materialization(evidence_key(environment), partition, packet.digest, description, metadata)


def environment_event(
    environment: str, record: ReleaseRecord, packet: SealedPacket, rows: Sequence[Mapping[str, object]], upstream: tuple[Upstream, ...]
) -> dg.AssetMaterialization:
    """A release that runs in an environment, proven by its targets. The data version is the release's digest."""
    assert record.digest is not None, "only finalized releases are deployed"
    metadata: Metadata = {
        "release": dg.MetadataValue.text(record.label),
        "release digest": dg.MetadataValue.text(record.digest),
        "targets": dg.MetadataValue.md(table(rows)),
        "digests": full_digests(rows),
        "packet": dg.MetadataValue.text(packet.id),
        "packet digest": dg.MetadataValue.text(packet.digest),
        "upstream": shown(upstream),
        **{f"image {image.name}": dg.MetadataValue.text(f"{image.repository}@{image.digest}") for image in record.release.components},
    }
    return _materialization(environment_key(environment), record.partition_key, record.digest, f"{record.label} runs in {environment}", metadata)


def ledger_rows(ledger: Sequence[LedgerRow]) -> list[dict[str, object]]:
    """One row per target and component of a deployment: what was wanted, and what the target showed at the end."""
    return [
        {"target": row.target, "component": name, "wanted": wanted, "runs": row.observed.get(name), "state": row.state.value}
        for row in ledger
        for name, wanted in row.desired.items()
    ]


def gates_table(results: Sequence[GateResult]) -> str:
    """Each gate's verdict, reasons, and what would change it, as Markdown."""
    rows = [
        {
            "gate": result.name,
            "verdict": result.verdict.verdict,
            "why": " ".join(result.verdict.reasons),
            "what would change it": " ".join(result.verdict.would_change),
        }
        for result in results
    ]
    return table(rows) if rows else "The environment has no gates, and says so."


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows with the same keys as a Markdown table; of very many, the first ones and how many more there are."""
    if not rows:
        return "–"
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "| " + " | ".join("---" for _ in names) + " |"]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows[:ROWS_SHOWN_MAX]]
    more = len(rows) - ROWS_SHOWN_MAX
    return "\n".join([*lines, "", f"… and {more:,} more rows."] if more > 0 else lines)


def _cell(value: object) -> str:
    text = str(value if value not in (None, "") else "–")
    return _DIGEST.sub(lambda found: found[1], text).replace("|", "\\|").replace("\n", " ")


def full_digests(rows: Sequence[Mapping[str, object]]) -> dg.MetadataValue:
    """The digests behind the short ones of a table, each once."""
    found = {match[1]: match[0] for row in rows for value in row.values() for match in _DIGEST.finditer(str(value))}
    return dg.MetadataValue.json(dict(sorted(found.items())))


def _materialization(key: dg.AssetKey, partition: str, version: Digest, description: str, metadata: Metadata) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        key, partition=check_partition_key(partition), description=description, metadata=metadata, tags={DATA_VERSION_TAG: str(version)}
    )


def _image_metadata(image: ReleaseComponent) -> Metadata:
    note = f"{image.tag}, resolved {format_instant(image.resolved_at)}" if image.tag and image.resolved_at else "given by digest"
    platforms = [{"platform": found.platform, "manifest": found.digest, "config": found.config_digest} for found in image.platforms]
    return {
        "image": dg.MetadataValue.text(f"{image.repository}@{image.digest}"),
        "digest": dg.MetadataValue.text(image.digest),
        "tag": dg.MetadataValue.text(note),
        "platforms": dg.MetadataValue.md(table(platforms)),
        "digests": full_digests(platforms),
    }


def _release_metadata(record: ReleaseRecord) -> Metadata:
    source = {name: value or "unknown" for name, value in record.release.source.document().items()}
    images = [{"component": image.name, "image": f"{image.repository}@{image.digest}"} for image in record.release.components]
    return {
        "digest": dg.MetadataValue.text(record.digest or ""),
        "images": dg.MetadataValue.md(table(images)),
        **{f"image {image.name}": dg.MetadataValue.text(f"{image.repository}@{image.digest}") for image in record.release.components},
        "source": dg.MetadataValue.json(source),
        "upstream": shown(of_release(record)),
        "pushed to": dg.MetadataValue.text(", ".join(record.pushed_to) or "nowhere"),
    }


def _packet_metadata(packet: SealedPacket, upstream: tuple[Upstream, ...], place: LogPlace | None) -> Metadata:
    show = f"stella evidence show {packet.id} --raw packet.json"
    check = f"{show} && stella key export keys.json && stella evidence verify packet.json --keys keys.json"
    return {
        "packet": dg.MetadataValue.text(packet.id),
        "packet digest": dg.MetadataValue.text(packet.digest),
        "sequence": dg.MetadataValue.int(packet.sequence),
        "kind": dg.MetadataValue.text(packet.kind),
        "signed by key": dg.MetadataValue.text(packet.key_id),
        "sealed at": dg.MetadataValue.text(format_instant(packet.sealed_at)),
        "log index": dg.MetadataValue.text(NOT_YET) if place is None else dg.MetadataValue.int(place.index),
        "log checkpoint": dg.MetadataValue.text(NOT_YET) if place is None else dg.MetadataValue.int(place.checkpoint_size),
        "verify": dg.MetadataValue.md(f"`{check}`"),
        "upstream": shown(upstream),
        **links(upstream),
    }
