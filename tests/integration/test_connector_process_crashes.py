"""A control plane that is killed at any point of an upgrade of a process target: the same call ends it, and nothing is started twice.

The killing is real: a child process does the upgrade, and an audit hook sends it SIGKILL right before its n-th change of the world.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from stella_pipelines.connectors.port import ComponentSpec
from stella_pipelines.connectors.process.instances import Instances
from tests.support.connector_places import Place, deployment_id, effect, eventually, process_place, sticker

CHANGES: Final = ("os.rename", "os.killpg", "subprocess.Popen", "fcntl.flock", "shutil.copyfile")
KILLS_MAX: Final = 40
_CHILD: Final = """\
import asyncio, json, os, signal, sys
from stella_pipelines.connectors.port import ComponentSpec, Effect, TargetSpec
from stella_pipelines.connectors.process.connector import ProcessConnector
from stella_pipelines.environments.model import Target

given = json.load(sys.stdin)
left = given["at"]

def hook(event, arguments):
    global left
    if event in given["changes"]:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

async def main():
    spec = TargetSpec.model_validate(given["spec"])
    async with ProcessConnector(Target.model_validate(given["target"]), None, {}) as connector:
        sys.addaudithook(hook)
        await connector.activate(spec, spec.components[0], given["sticker"].encode(), Effect.model_validate(given["effect"]))

asyncio.run(main())
"""


def test_an_upgrade_that_was_killed_anywhere_is_ended_by_the_same_call(tmp_path: Path) -> None:
    kills = 0
    for at in range(1, KILLS_MAX):
        with process_place(tmp_path / str(at)) as place:
            _do(place, "v1", 1)
            _prepare(place, "v2", 2)
            killed = _upgrade_in_a_child(place, at)
            _do(place, "v2", 2)
            assert place.page() == "v2"
            assert _starts(place, 2) == 1, f"killed before change {at}"
            assert _running(place) == [deployment_id(2)]
            _leftovers_are_hidden(place)
        if not killed:
            break
        kills += 1
    assert 8 < kills < KILLS_MAX - 1


def test_a_component_outlives_a_control_plane_that_is_killed_with_its_whole_group(tmp_path: Path) -> None:
    with process_place(tmp_path) as place:
        _prepare(place, "v2", 2)
        child = subprocess.Popen([sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, start_new_session=True)
        child.communicate(json.dumps(_order(place, 0)).encode())
        with contextlib.suppress(ProcessLookupError):  # nobody is left in it: that is the point
            os.killpg(child.pid, signal.SIGKILL)
        assert place.page() == "v2"


def test_a_component_that_dies_leaves_no_zombie_and_its_ending_is_known(tmp_path: Path) -> None:
    with process_place(tmp_path) as place:
        _do(place, "v1", 1)
        (instance,) = Instances(tmp_path / "host-1", "host-1").all()
        pid = instance.process.pid()
        assert pid is not None
        place.kill()
        assert eventually(lambda: not Path(f"/proc/{pid}").exists())
        assert eventually(lambda: instance.process.failure() == "it exited with code -9")


@pytest.mark.parametrize("start", [b"{}", b"not json", b""])
def test_a_record_that_cannot_be_read_is_no_running_process(tmp_path: Path, start: bytes) -> None:
    with process_place(tmp_path) as place:
        _do(place, "v1", 1)
        (instance,) = Instances(tmp_path / "host-1", "host-1").all()
        pid = instance.process.pid()
        assert pid is not None
        (instance.folder / "process.json").write_bytes(start)
        assert not instance.process.runs()
        os.kill(pid, signal.SIGKILL)


def test_another_process_under_the_same_number_is_not_ours(tmp_path: Path) -> None:
    with process_place(tmp_path) as place:
        _do(place, "v1", 1)
        (instance,) = Instances(tmp_path / "host-1", "host-1").all()
        record = json.loads((instance.folder / "process.json").read_bytes())
        (instance.folder / "process.json").write_text(json.dumps(record | {"started_ticks": record["started_ticks"] - 1}))
        instance.process.stop(1)
        assert not instance.process.runs()
        assert place.page() == "v1"
        os.kill(record["pid"], signal.SIGKILL)


def test_secrets_are_on_the_disk_as_references_only(tmp_path: Path) -> None:
    with process_place(tmp_path) as place:
        component = place.component("v1", secrets={"GREETING": "env://A_SECRET"})
        asyncio.run(_run(place, component, 1, {"A_SECRET": "open-sesame"}))
        assert place.page("/greeting") == "open-sesame"
        written = [path for path in (tmp_path / "host-1" / "instances").rglob("*") if path.is_file() and b"open-sesame" in path.read_bytes()]
        assert written == []


# ---------------------------------------------------------------- doing


async def _run(place: Place, component: ComponentSpec, number: int, environ: dict[str, str]) -> None:
    async with place.connector(environ) as connector:
        await place.run(connector, component, number)


def _do(place: Place, version: str, number: int) -> None:
    asyncio.run(_run(place, place.component(version), number, {}))


def _prepare(place: Place, version: str, number: int) -> None:
    async def run() -> None:
        async with place.connector() as connector:
            await connector.prepare(place.component(version), effect(number))

    asyncio.run(run())


def _order(place: Place, at: int) -> dict[str, object]:
    spec = place.spec(place.component("v2"), 2)
    return {
        "at": at,
        "changes": CHANGES,
        "target": place.target.document(),
        "spec": spec.document(),
        "sticker": sticker(2).decode(),
        "effect": effect(2).document(),
    }


def _upgrade_in_a_child(place: Place, at: int) -> bool:
    """Whether the child was killed before it was done."""
    done = subprocess.run([sys.executable, "-c", _CHILD], input=json.dumps(_order(place, at)).encode(), capture_output=True, check=False, timeout=60)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode != 0


def _folder(place: Place) -> Path:
    assert place.target.process is not None
    return Path(place.target.process.directory)


def _starts(place: Place, number: int) -> int:
    """How often the component of a deployment was started: each start says so in the log."""
    log = _folder(place) / "instances" / "web" / deployment_id(number) / "output.log"
    return log.read_text().count("this is v")


def _running(place: Place) -> list[str]:
    return [one.record.deployment_id for one in Instances(_folder(place), place.target.name).all() if one.process.runs()]


def _leftovers_are_hidden(place: Place) -> None:
    names = {path.name for path in (_folder(place) / "instances" / "web").iterdir() if not path.name.startswith(".")}
    assert names == {deployment_id(1), deployment_id(2)}
