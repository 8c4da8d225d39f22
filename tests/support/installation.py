"""A small installation of its own for tests of the Dagster rooms: a home, a database, an estate, a release, and a Dagster instance.

The release is written into the store without a registry. Nothing runs: whoever wants targets takes the embedded lab.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin

from assets.catalogue import read_catalogue
from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.settings import Settings
from stella_pipelines.definitions import definitions
from stella_pipelines.environments.model import Component, Environment, Estate
from stella_pipelines.jobs.submission import CODE_LOCATION, Submitter
from stella_pipelines.promotions.promotion import Promotion
from stella_pipelines.releases.model import PlatformImage, Release, ReleaseComponent, ReleaseRecord
from stella_pipelines.supervisor.home import instance_configuration
from tests.support.drafts import write_draft
from tests.support.postgres import fast_folder

NESTED_RESOURCES = "ignore:InitResourceContext.dagster_run is deprecated:DeprecationWarning"
"""Dagster says this about itself when one resource holds another; a module whose tests start resources takes it as a `filterwarnings` mark."""
ALICE = Actor(name="alice", via="test")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class SmallInstallation:
    """An open control plane beside a Dagster instance that queues runs and executes none by itself."""

    plane: ControlPlane
    instance: dg.DagsterInstance

    def apply(self, estate: Estate) -> None:
        """Declare the estate."""
        self.plane.environments.apply(ALICE, estate, source_digest=estate.content_digest())

    def repository(self) -> dg.RepositoryDefinition:
        """The code location as it would be loaded now."""
        return definitions(read_catalogue(self.plane)).get_repository_def()

    def submitter(self, holder: str = "test") -> Submitter:
        """Who submits runs; the code server that it names does not exist."""
        location = GrpcServerCodeLocationOrigin(host="localhost", socket="/nowhere.sock", location_name=CODE_LOCATION)
        return Submitter(self.instance, self.repository().get_job, location, holder)

    def execute(self, job: str, ops: Mapping[str, Mapping[str, object]]) -> dg.ExecuteInProcessResult:
        """Run a job of the outbox to its end in this process."""
        return self._execute(job, {"ops": {name: {"config": dict(values)} for name, values in ops.items()}})

    def launch(self, job: str, form: Mapping[str, object]) -> dg.ExecuteInProcessResult:
        """Run an operator's job to its end in this process, with what stands in the Launchpad."""
        return self._execute(job, dict(form))

    def _execute(self, job: str, config: dict[str, Any]) -> dg.ExecuteInProcessResult:
        return self.repository().get_job(job).execute_in_process(run_config=config, instance=self.instance, raise_on_error=False)

    def tick(self, sensor: str, cursor: str | None = None) -> dg.SensorExecutionData:
        """One tick of a sensor of the code location, as the daemon asks for it."""
        repository = self.repository()
        context = dg.SensorEvaluationContext(
            instance_ref=self.instance.get_ref(),
            instance=self.instance,
            cursor=cursor,
            repository_name=repository.name,
            repository_def=repository,
            sensor_name=sensor,
            resources=repository.get_top_level_resources(),
            code_location_origin=GrpcServerCodeLocationOrigin(host="localhost", socket="/nowhere.sock", location_name=CODE_LOCATION),
        )
        with context:
            return repository.get_sensor_def(sensor).evaluate_tick(context)

    def runs(self) -> list[dg.DagsterRun]:
        """Every run that the instance knows."""
        return list(self.instance.get_runs())

    def request(self, environment: str = "dev", version: str = "1.0.0") -> Promotion:
        """Ask for a promotion."""
        record = add_release(self.plane, version)
        assert record.digest is not None
        return self.plane.promotions.request(ALICE, environment=environment, release_digest=record.digest, reason="test")


@contextmanager
def fast_home() -> Iterator[Path]:
    """A folder for an installation's home, in memory where there is such a place: two databases sync after every event."""
    with tempfile.TemporaryDirectory(prefix="stella-home-", dir=fast_folder()) as folder:
        yield Path(folder) / "home"


@contextmanager
def small_installation(home: Path, environ: Mapping[str, str] | None = None, database_url: str | None = None) -> Iterator[SmallInstallation]:
    """Open one in `home`. Its instance is configured by the `dagster.yaml` that the product ships.

    On SQLite, unless a database is given that has Dagster's tables too; its URL must then stand in STELLA_DATABASE_URL.
    """
    folder = home / "dagster"
    folder.mkdir(parents=True)
    settings = Settings(home=home, database_url=database_url or f"sqlite:///{home / 'stella.db'}")
    (folder / "dagster.yaml").write_text(instance_configuration(settings))
    with open_control_plane(settings, environ) as plane, dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder))) as instance:
        yield SmallInstallation(plane, instance)


def shop_estate(gates: Any = "none") -> Estate:
    """dev → prod, one component, no targets."""
    return Estate(
        components=(Component(name="web", repository="registry.test/shop/web"),),
        environments=(Environment(name="dev", gates=gates), Environment(name="prod", promotes_from=("dev",), gates="none", is_production=True)),
    )


def add_release(plane: ControlPlane, version: str = "1.0.0", name: str = "shop") -> ReleaseRecord:
    """A finalized release, as if its images had been resolved."""
    index, manifest, config = (Digest.of(f"{name} {version} {part}".encode()) for part in ("index", "manifest", "config"))
    platforms = (PlatformImage(platform="linux/amd64", digest=manifest, config_digest=config),)
    component = ReleaseComponent(name="web", repository="registry.test/shop/web", digest=index, platforms=platforms)
    release = Release(name=name, version=version, components=(component,), created_at=plane.clock.now())
    with plane.store.writing() as tx:
        write_draft(tx, ALICE, release, plane.clock)
    return plane.releases.finalize(ALICE, name, version)
