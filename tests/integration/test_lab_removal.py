"""However a lab ends, nothing of it is left; and labs do not disturb each other or the machine's own things."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stella_pipelines.lab.addresses import HOSTS_MAX, LabAddresses
from stella_pipelines.lab.claims import LabKind, LabRecord, claims_folder
from stella_pipelines.lab.errors import LabNotStarted, LabUnsupported
from stella_pipelines.lab.lab import Lab
from stella_pipelines.lab.strays import strays
from tests.support.lab import require_engines

ROOT = Path(__file__).parents[2]
KINDS = ["embedded", pytest.param("engines", marks=pytest.mark.engines)]
START_TIMEOUT_S = 60
OWNER = """
import sys, time
from pathlib import Path
from stella_pipelines.lab.lab import Lab
with Lab(sys.argv[1], Path(sys.argv[2])) as lab:
    if lab.rig is not None:
        host, image = lab.hosts["dev"], f"{lab.registry_host}/shop/web@{lab.platform_image('v1').digest}"
        import docker
        client = docker.DockerClient(base_url=f"unix://{host.docker_socket}")
        client.images.pull(image)
        client.containers.run(image, detach=True, ports={"8080/tcp": (host.address, host.port)}, restart_policy={"Name": "always"})
    print(lab._claim.addresses.number, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Short enough for an engine's socket, which a test's own folder with its long name is not."""
    return tmp_path_factory.mktemp("l") / "lab"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> LabKind:
    if request.param == "engines":
        require_engines()
    return request.param


def left_of(folder: Path, number: int) -> list[str]:
    """Everything of a lab that is still on this machine."""
    addresses = LabAddresses(number)
    by_number = [f"process {pid}" for pid in strays(str(folder), addresses)]
    by_number += [f"bridge {name}" for index in range(HOSTS_MAX) if Path("/sys/class/net", name := addresses.bridge(index)).exists()]
    by_number += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"**{addresses.cgroup}")]
    by_folder = [f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]
    by_folder += [f"folder {folder}"] if folder.exists() else []
    claim = (claims_folder() / f"{number}.claim").read_text()  # read last: another worker may have taken the number meanwhile
    return by_folder if claim and str(folder) not in claim else [*by_number, *by_folder, *(["claim"] if claim else [])]


def owner(kind: LabKind, folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Another process with a lab of its own; returns it with the lab's number once the lab stands."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, kind, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said, f"the lab's owner ended with {process.wait()}"
    return process, int(said)


def test_a_lab_leaves_nothing(kind: LabKind, folder: Path) -> None:
    with Lab(kind, folder) as lab:
        number = number_of(lab)
        assert set(lab.hosts) == {"dev", "staging", "prod-1", "prod-2"}
        assert left_of(folder, number) != []
    assert left_of(folder, number) == []
    lab.close()  # twice is fine


def test_an_exception_inside_leaves_nothing(kind: LabKind, folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), Lab(kind, folder) as lab:
        number = number_of(lab)
        raise ZeroDivisionError
    assert left_of(folder, number) == []


@pytest.mark.parametrize("number_of_signal", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_nothing(kind: LabKind, folder: Path, number_of_signal: signal.Signals) -> None:
    process, number = owner(kind, folder)
    process.send_signal(number_of_signal)
    process.communicate(timeout=START_TIMEOUT_S)
    assert process.returncode != 0
    assert left_of(folder, number) == []


def test_a_killed_owners_lab_is_swept(kind: LabKind, folder: Path) -> None:
    process, number = owner(kind, folder)
    process.kill()
    process.communicate(timeout=START_TIMEOUT_S)
    assert left_of(folder, number) != []
    swept = subprocess.run(
        [sys.executable, "-m", "stella_pipelines.lab", "sweep"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=START_TIMEOUT_S
    )
    # Another worker's start may have swept first: then it may still be at it.
    deadline = time.monotonic() + 20
    while left_of(folder, number) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_of(folder, number) == [], swept.stdout


def test_sweeping_leaves_a_lab_in_use_alone(kind: LabKind, folder: Path) -> None:
    with Lab(kind, folder) as lab:
        swept = subprocess.run([sys.executable, "-m", "stella_pipelines.lab", "sweep"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert str(folder) not in swept.stdout
        assert lab.registry().tags("shop/web") == ["v1", "v2", "v3"]


def test_two_labs_stand_side_by_side(kind: LabKind, folder: Path) -> None:
    with Lab(kind, folder) as one, Lab(kind, folder.with_name("two")) as two:
        assert number_of(one) != number_of(two)
        assert {host.address for host in one.hosts.values()}.isdisjoint(host.address for host in two.hosts.values())
        assert [lab.registry().tags("shop/web") for lab in (one, two)] == [["v1", "v2", "v3"]] * 2


@pytest.mark.engines
def test_a_start_that_fails_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_engines()
    lab, numbers = Lab("engines", folder), []

    def impossible(_folder: Path) -> str:
        numbers.append(number_of(lab))
        return "no-such-driver"

    monkeypatch.setattr("stella_pipelines.lab.rig.storage_driver", impossible)
    with pytest.raises(LabNotStarted, match="no-such-driver"):
        lab.__enter__()
    assert left_of(folder, numbers[0]) == []


@pytest.mark.engines
def test_an_engine_works_without_overlay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_engines()
    monkeypatch.setattr("stella_pipelines.lab.rig.storage_driver", lambda _folder: "vfs")
    with Lab("engines", folder) as lab:
        assert lab.rig is not None
        assert [engine.settings.storage_driver for engine in lab.rig.engines.values()] == ["vfs"] * 4
        assert lab.registry().tags("shop/web") == ["v1", "v2", "v3"]


def test_what_is_in_the_folder_already_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(LabUnsupported, match="not an empty folder"):
        Lab("embedded", tmp_path).__enter__()
    assert (tmp_path / "thesis.txt").read_text() == "three years"


def test_a_folder_too_long_for_sockets_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(LabUnsupported, match="sockets would not fit"):
        Lab("engines", tmp_path / ("x" * 60)).__enter__()
    assert list(tmp_path.iterdir()) == []


def number_of(lab: Lab) -> int:
    record = next(
        record
        for path in claims_folder().glob("*.claim")
        if path.stat().st_size and (record := LabRecord.model_validate_json(path.read_bytes())).folder == str(lab.folder)
    )
    return record.number
