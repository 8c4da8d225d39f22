"""Fills an empty store with the history of a large installation, as the services would have written it: the same tables, columns and documents.

Every packet is sealed with the installation's key and verifies. Documents are written with Python's own JSON, which for these values gives the
canonical bytes, at a twentieth of the time; a test compares. Left out, because nothing but its primary key ever finds it: plans, target
orders, stickers, journals. Stands on `history_shape.py` for what happened,
`history_promotions.py` for the rows of one promotion, and `bulk.py`, which writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa

from benchmarks.bulk import Bulk
from benchmarks.history_promotions import PLATFORM, Promoting
from benchmarks.history_shape import COMPONENTS, Move, Shape, Size, product_name
from benchmarks.history_writing import SEEDER, written
from stella_pipelines.control_plane import ControlPlane
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.tables import deployments, ledger, observations
from stella_pipelines.environments.model import Environment, Estate
from stella_pipelines.evidence.keys.files import FileKey
from stella_pipelines.evidence.streams import environment_stream
from stella_pipelines.evidence.tables import audit_entries, evidence_heads, evidence_packets, evidence_subjects
from stella_pipelines.integrations.registries.port import OCI_MANIFEST
from stella_pipelines.promotions.tables import evaluations, gate_results, promotions
from stella_pipelines.releases.manifest import ARTIFACT_TYPE, release_manifest
from stella_pipelines.releases.model import PlatformImage, Release, ReleaseComponent, ReleaseRecord, ReleaseState
from stella_pipelines.releases.tables import release_components, releases
from stella_pipelines.store.tables import blobs, leases, outbox

_TABLES: Final = (
    blobs, releases, release_components, promotions, evaluations, gate_results, evidence_packets, evidence_subjects, evidence_heads,
    audit_entries, deployments, ledger, observations, leases, outbox,
)  # fmt: skip
Progress = Callable[[str], None]


def fill(plane: ControlPlane, size: Size, key: FileKey, progress: Progress = print) -> dict[str, int]:
    """Write the whole history into an empty installation; the number of rows by table."""
    shape = Shape(size)
    estate = shape.estate()
    plane.environments.apply(SEEDER, estate, source_digest=estate.content_digest())
    estate, revision = plane.environments.current()
    with plane.store.writing() as tx:
        if tx.connection.dialect.name == "postgresql":
            tx.connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
        bulk = Bulk(tx.connection, _TABLES)
        story = _Story(shape, estate, revision, key, bulk)
        story.tell(progress)
    return bulk.written


class _Story(Promoting):
    """The releases, every move in the order of time, and what is so at the end."""

    def __init__(self, shape: Shape, estate: Estate, revision: int, key: FileKey, bulk: Bulk) -> None:
        super().__init__(shape, estate, revision, key, bulk)
        self._estate = estate

    def tell(self, progress: Progress) -> None:
        began, every = time.monotonic(), max(self._shape.size.promotions // 10, 1)
        self._write_releases()
        progress(f"{self._shape.size.releases:,} releases after {time.monotonic() - began:.0f} s")
        for move in self._shape.moves():
            self._write_move(move)
            self._bulk.flush(full_only=True)
            if (move.number + 1) % every == 0:
                progress(f"{move.number + 1:,} promotions after {time.monotonic() - began:.0f} s")
        self._write_present()
        self._bulk.flush()

    # ------------------------------------------------------------ releases

    def _write_releases(self) -> None:
        size = self._shape.size
        for product in range(size.products):
            for component in COMPONENTS:
                self._bulk.add(release_components, {"name": product_name(product), "component": f"{product_name(product)}_{component}"})
        for number in range(size.releases // size.products):
            for product in range(size.products):
                self._write_release(product, number)
                self._bulk.flush(full_only=True)

    def _write_release(self, product: int, number: int) -> None:
        at, name, version = self._shape.released_at(number), product_name(product), f"1.{number}.0"
        parts = tuple(self._component(f"{name}_{component}", version) for component in COMPONENTS)
        release = Release(name=name, version=version, components=parts, created_at=at)
        manifest, document = release_manifest(release)
        digest = Digest.of(manifest)
        self._releases[product, number] = ReleaseRecord(release=release, state=ReleaseState.FINALIZED, digest=digest, finalized_at=at)
        when = format_instant(at)
        self._blob(manifest, OCI_MANIFEST, when)
        self._blob(document, ARTIFACT_TYPE, when)
        row = {"name": name, "version": version, "state": "finalized", "document": document.decode(), "digest": digest}
        row |= {"created_at": when, "finalized_at": when, "revision": 2}
        self._bulk.add(releases, row)
        for action, known in (("release.create", None), ("release.finalize", row)):
            self._audit(action, f"release/{name}-{version}", when, at, row=known)

    @staticmethod
    def _component(name: str, version: str) -> ReleaseComponent:
        index, manifest, config = (Digest.of(f"{name} {version} {part}".encode()) for part in ("index", "manifest", "config"))
        image = PlatformImage(platform=PLATFORM, digest=manifest, config_digest=config)
        return ReleaseComponent(name=name, repository=f"registry.invalid/{name}", digest=index, platforms=(image,))

    # ------------------------------------------------------------ what is so now

    def _write_present(self) -> None:
        """The newest look at every environment (one of them is ill), the heads of its evidence, and the leases that were ever given out."""
        for number, environment in enumerate(self._estate.environments):
            self._observe(environment, ill=number == len(self._shape.environments) - 1)
            newest = self._sealed_at[environment.name]
            head = {"stream": environment_stream(environment.name), "sequence": self._packets[environment.name], "newest_at": newest, "newest_before": newest}
            self._bulk.add(evidence_heads, head)
        names = [f"environment/{one.name}" for one in self._estate.environments] + [f"target/{one.name}" for one in self._estate.targets]
        for name in names:
            self._bulk.add(leases, {"name": name, "holder": None, "token": 7, "expires_at": format_instant(self._shape.released_at(0))})

    def _observe(self, environment: Environment, *, ill: bool) -> None:
        proven = self._proven[environment.name]
        move: Move = proven["move"]
        record = self._releases[move.product, move.release]
        at = format_instant(self._shape.size.ends_at)
        targets = [
            {
                "target": name,
                "observation": {
                    "target": name,
                    "observed_at": at,
                    "components": [_running(part, proven, healthy=not ill or place > 0) for part in record.release.components],
                    "sticker": None,
                    "fence": 7,
                },
                "failure": None,
                "as_released": True,
                "healthy": not ill or place > 0,
            }
            for place, name in enumerate(self._shape.targets(move.product, move.stage))
        ]
        shared = {"environment": environment.name, "deployment_id": proven["id"], "release_digest": proven["release_digest"], "observed_at": at}
        document = {**shared, "targets": targets, "healthy_since": None if ill else at, "drift": None}
        row = {**shared, "healthy": not ill, "healthy_since": None if ill else at, "document": written(document), "revision": 9}
        self._bulk.add(observations, row)


def _running(part: ReleaseComponent, proven: dict[str, Any], *, healthy: bool) -> dict[str, Any]:
    image = part.platforms[0]
    runs = {"component": part.name, "platform_digest": image.digest, "config_digest": image.config_digest, "runtime_id": "0123456789ab"}
    return {**runs, "deployment_id": proven["id"], "release_digest": proven["release_digest"], "running": True, "health": "healthy" if healthy else "unhealthy"}
