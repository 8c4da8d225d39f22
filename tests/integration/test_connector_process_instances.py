"""What an instance of a process target leaves behind: changed files stay its own, and children that outlive it are stopped with it, nobody else's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stella_pipelines.connectors.port import ComponentSpec, TargetSpec
from stella_pipelines.connectors.process.connector import ProcessConnector
from stella_pipelines.connectors.process.instances import Instance, Instances
from stella_pipelines.connectors.process.keeper import boot_id, group_runs, started_ticks
from stella_pipelines.connectors.process.processes import Command, InstanceProcess
from stella_pipelines.environments.model import HealthCheck, ProcessAccess, Target
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.integrations.registries.port import OCI_MANIFEST
from stella_pipelines.lab.images import File, Image, make_image
from tests.support.connector_places import RELEASE, deployment_id, effect, eventually, sticker

_WRITES = b"""\
#!/bin/sh
echo "started" >> "$STELLA_ROOT/app/data"
cat "$STELLA_ROOT/app/data"
chmod 700 "$STELLA_ROOT/app/run"
echo "echo changed" >> "$STELLA_ROOT/app/run"
exec sleep 300
"""
_LEAVES_A_CHILD = b"""\
#!/bin/sh
sleep 300 > /dev/null 2>&1 &
echo $! > "$STELLA_ROOT/child"
sleep 0.5
"""


class Host:
    """A process target with one image in its registry."""

    def __init__(self, folder: Path, program: bytes) -> None:
        self.directory = folder / "host"
        self.image = make_image("linux/amd64", [[File("app/run", program, 0o755), File("app/data", b"original\n")]], {"Cmd": ["/app/run"]})
        registry = LayoutRegistry(folder / "registry")
        _push(registry, self.image)
        target = Target(name="host-1", environment="dev", kind="process", process=ProcessAccess(directory=str(self.directory)))
        self.connector = ProcessConnector(target, lambda host: registry, {})
        self.component = ComponentSpec(
            name="web",
            repository="registry.lab/shop/web",
            index_digest=self.image.digest,
            platform_digest=self.image.digest,
            config_digest=self.image.config_digest,
            health=HealthCheck(),
            stop_timeout_s=2,
        )

    async def run(self, number: int) -> None:
        """Prepare and activate in deployment `number`."""
        spec = TargetSpec(
            deployment_id=deployment_id(number),
            environment="dev",
            target="host-1",
            release="shop-1",
            release_digest=RELEASE,
            components=(self.component,),
        )
        await self.connector.prepare(self.component, effect(number))
        await self.connector.activate(spec, self.component, sticker(number), effect(number))

    def instance(self, number: int) -> Instance:
        found = Instances(self.directory, "host-1").of("web", deployment_id(number))
        assert found is not None
        return found

    def stop(self) -> None:
        for instance in Instances(self.directory, "host-1").all():
            instance.process.stop(0)


def _push(registry: LayoutRegistry, image: Image) -> None:
    for blob in (image.config, *image.layers):
        registry.push_blob("shop/web", blob)
    registry.push_manifest("shop/web", image.manifest, OCI_MANIFEST, "v1")


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path, _WRITES)
    yield host
    host.stop()


@pytest.fixture
def leaving(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path, _LEAVES_A_CHILD)
    yield host
    host.stop()


# ---------------------------------------------------------------- files


def test_what_an_instance_writes_into_its_files_reaches_no_other_instance(writing: Host) -> None:
    async def work() -> None:
        async with writing.connector as connector:
            await writing.run(1)
            assert eventually(lambda: writing.instance(1).process.output(1000) == b"original\nstarted\n")
            await writing.run(2)
            assert eventually(lambda: writing.instance(2).process.output(1000) == b"original\nstarted\n")
            observed = await connector.observe(datetime(2026, 1, 1, tzinfo=UTC))
            assert {one.platform_digest for one in observed.components} == {writing.image.digest}

    asyncio.run(work())
    kept = writing.directory / "images" / writing.image.config_digest.hex / "rootfs" / "app"
    assert [(kept / name).read_bytes() for name in ("run", "data")] == [_WRITES, b"original\n"]
    assert (writing.instance(2).root / "app/run").read_bytes() == _WRITES + b"echo changed\n"


def test_an_instance_that_is_run_again_has_the_files_that_it_left(writing: Host) -> None:
    """As with a container: the kept instance is the same one, not a new one."""

    async def work() -> None:
        async with writing.connector as connector:
            await writing.run(1)
            await writing.run(2)
            await connector.restore("web", deployment_id(1), effect(2))

    asyncio.run(work())
    assert eventually(lambda: writing.instance(1).process.output(1000).endswith(b"original\nstarted\nstarted\n"))


def test_an_instance_that_is_removed_takes_its_files_along(writing: Host) -> None:
    async def work() -> None:
        async with writing.connector as connector:
            await writing.run(1)
            await writing.run(2)
            await connector.retire("web", (), effect(2))

    asyncio.run(work())
    assert [path.name for path in (writing.directory / "instances/web").iterdir()] == [deployment_id(2)]


# ---------------------------------------------------------------- children


def _child(folder: Path) -> int:
    assert eventually(lambda: (folder / "child").is_file() and (folder / "child").read_text().endswith("\n"))
    return int((folder / "child").read_text())


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def _started(folder: Path, script: str) -> InstanceProcess:
    process = InstanceProcess(folder)
    process.start(Command(file="/bin/sh", argv=("sh", "-c", script), environment={"PATH": "/bin:/usr/bin"}, working_directory=str(folder)))
    return process


@pytest.mark.parametrize("ignoring", ["", "trap '' TERM; "])
def test_children_that_outlive_their_process_are_stopped_with_it(tmp_path: Path, ignoring: str) -> None:
    process = _started(tmp_path, f"{ignoring}sleep 300 > /dev/null 2>&1 & echo $! > child")
    child = _child(tmp_path)
    assert eventually(lambda: process.failure() == "it exited with code 0")
    assert _runs(child)
    process.stop(0.3)
    assert not _runs(child)


def test_a_process_that_left_nobody_behind_leaves_no_zombie(tmp_path: Path) -> None:
    process = _started(tmp_path, "sleep 0.7 > /dev/null 2>&1 & echo $! > child; exit 3")
    leader = json.loads((tmp_path / "process.json").read_bytes())["pid"]
    assert eventually(lambda: process.failure() == "it exited with code 3")
    assert Path(f"/proc/{leader}").exists()  # its number is kept while the child runs
    assert eventually(lambda: not Path(f"/proc/{leader}").exists())
    process.stop(0.1)


def test_a_group_that_is_not_proven_to_be_ours_gets_no_signal(tmp_path: Path) -> None:
    """A stranger whose group has the number that ours had: its first process is gone, and a child of it runs on."""
    script = "sleep 300 > /dev/null 2>&1 & echo $! > child"
    with subprocess.Popen(["/bin/sh", "-c", script], cwd=tmp_path, start_new_session=True) as stranger:
        ticks = started_ticks(stranger.pid)
    child = _child(tmp_path)
    try:
        (tmp_path / "process.json").write_text(json.dumps({"pid": stranger.pid, "started_ticks": ticks, "boot_id": boot_id()}))
        assert group_runs(stranger.pid)
        InstanceProcess(tmp_path).stop(0.1)
        assert _runs(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_change_stops_what_an_earlier_instance_left_behind(leaving: Host) -> None:
    async def work() -> None:
        async with leaving.connector as connector:
            await leaving.run(1)
            first = _child(leaving.instance(1).root)
            assert eventually(lambda: not leaving.instance(1).process.runs())
            await leaving.run(1)
            second = _child(leaving.instance(1).root)
            assert (_runs(first), _runs(second), first == second) == (False, True, False)
            assert eventually(lambda: not leaving.instance(1).process.runs())
            await connector.retire("web", (), effect(1))
            assert not _runs(second)

    asyncio.run(work())
