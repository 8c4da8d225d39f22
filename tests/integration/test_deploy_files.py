"""What stands in deploy/: read by the programs that it is written for, and compared with the code that it starts."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stella_pipelines.core.settings import Settings
from stella_pipelines.supervisor import supervisor
from stella_pipelines.supervisor.home import CODE_LOCATION, DagsterHome
from tests.support.deploy_files import DEPLOY, ROOT, compose, program

PROFILES = ("one", "split", "celery")
UNITS = ("stella.service", "stella@.service", "stella-migrate.service", "stella-split.target")
OURS = {"one": {"stella"}, "split": {"worker", "code-server", "web", "daemon", "submitter"}, "celery": {"celery-worker", "broker"}}
EXPOSURE_MAX = 2.0


def services() -> list[Any]:
    return [pytest.param(profile, name, id=f"{profile}-{name}") for profile in PROFILES for name in sorted(OURS[profile] | {"postgres", "migrate"})]


def service(profile: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose("--profile", profile)["services"][name]
    return found


def test_the_default_is_one_container_beside_the_database() -> None:
    assert set(compose()["services"]) == {"postgres", "migrate", "stella"}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_its_services_and_no_others(profile: str) -> None:
    assert set(compose("--profile", profile)["services"]) == OURS[profile] | {"postgres", "migrate"}


@pytest.mark.parametrize(("profile", "name"), services())
def test_a_container_has_no_more_rights_than_it_needs(profile: str, name: str) -> None:
    it = service(profile, name)
    assert it["read_only"] is True
    assert it["cap_drop"] == ["ALL"]
    assert it["security_opt"] == ["no-new-privileges:true"]
    assert it.get("privileged", False) is False
    if name == "postgres":
        assert set(it["cap_add"]) == {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
    else:
        assert it["user"] == "10001:10001"
        assert "cap_add" not in it
    assert not [volume for volume in it.get("volumes", ()) if "docker.sock" in volume["source"]]


@pytest.mark.parametrize(("profile", "name"), services())
def test_a_container_is_pinned_bounded_and_started_again(profile: str, name: str) -> None:
    it = service(profile, name)
    assert re.search(r"@sha256:[0-9a-f]{64}$|:\d+\.\d+", it["image"]), it["image"]
    assert int(it["mem_limit"]) >= 256 * 1024 * 1024
    assert it["pids_limit"] > 0
    assert it["logging"]["options"]["max-size"]
    assert it["restart"] == ("no" if name == "migrate" else "unless-stopped")


@pytest.mark.parametrize(("profile", "name"), services())
def test_no_password_is_a_value(profile: str, name: str) -> None:
    environment = service(profile, name).get("environment", {})
    named = {key: value for key, value in environment.items() if re.search("PASSWORD|SECRET|TOKEN|KEY", key)}
    assert all(key.endswith("_FILE") and (not value or value.startswith("/run/secrets/")) for key, value in named.items())
    assert "@" not in re.sub(r"//\w+@", "//", " ".join(str(value) for value in environment.values()))


@pytest.mark.parametrize("profile", PROFILES)
def test_ports_are_on_the_loopback_and_the_database_has_none(profile: str) -> None:
    found = compose("--profile", profile)
    published = [port for it in found["services"].values() for port in it.get("ports", ())]
    assert {port["host_ip"] for port in published} <= {"127.0.0.1"}
    assert list(found["services"]["postgres"]["networks"]) == ["inside"]
    assert found["networks"]["inside"]["internal"] is True


def test_the_containers_that_the_web_reaches_last_have_no_key() -> None:
    keys = {name: [volume for volume in service("split", name)["volumes"] if volume["source"] == "keys"] for name in OURS["split"]}
    assert {name for name, mounted in keys.items() if mounted} == {"worker", "code-server", "submitter"}


def test_a_database_that_is_somewhere_else_is_not_started() -> None:
    files = [word for name in ("compose.yaml", "compose.external-database.yaml") for word in ("--file", str(DEPLOY / name))]
    assert set(compose(*files)["services"]) == {"migrate", "stella"}


def test_there_is_time_to_stop() -> None:
    longest = supervisor.STOP_TIMEOUT_S
    for profile in PROFILES:
        for name in OURS[profile] - {"broker"}:
            assert int(service(profile, name)["stop_grace_period"].removesuffix("s")) > longest
    for unit in ("stella.service", "stella@.service"):
        words = (DEPLOY / "systemd" / unit).read_text().splitlines()
        assert "KillMode=mixed" in words
        assert any(line.startswith("TimeoutStopSec=") and float(line.partition("=")[2]) > longest for line in words)


def settled(home: DagsterHome, name: str) -> list[str]:
    """The command line of `stella up`, without what ties it to its parent."""
    process = supervisor._processes(os.environ, home, "127.0.0.1", 3000)[name]
    return process._command[4:]


@pytest.mark.parametrize("name", ["runner", "code-server", "webserver", "daemon", "submitter"])
def test_a_process_of_the_split_is_started_as_stella_up_does(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STELLA_RUNNER_SOCKET", str(tmp_path / "runner.sock"))
    home = DagsterHome(tmp_path, tmp_path, tmp_path / "code.sock", tmp_path / "runner.sock")
    says = tmp_path / "python"
    says.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    says.chmod(0o755)
    environ = {"PATH": os.environ["PATH"], "STELLA_HOME": str(tmp_path), "STELLA_SOCKETS": str(tmp_path), "STELLA_PYTHON": str(says)}
    environ["STELLA_WORKSPACE"] = str(home.workspace)
    said = subprocess.run(["sh", DEPLOY / "process.sh", name], env=environ, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == settled(home, name)[1:]


def test_an_unknown_process_is_refused() -> None:
    done = subprocess.run(["sh", DEPLOY / "process.sh", "everything"], env={"STELLA_HOME": "/nowhere"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.split()[0]) == (64, "usage:")


def test_the_workspace_names_our_code_location() -> None:
    assert f"location_name: {CODE_LOCATION}\n" in (DEPLOY / "workspace.yaml").read_text()
    assert "socket: /run/stella/code.sock" in (DEPLOY / "workspace.yaml").read_text()


def with_password(environ: dict[str, str], command: str) -> subprocess.CompletedProcess[str]:
    words = ["sh", str(DEPLOY / "with-password.sh"), "sh", "-c", command]
    return subprocess.run(words, env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True, check=False)


def test_passwords_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "database-password").write_text("s3 cret$\n")
    (tmp_path / "broker").write_text("abc123")
    (tmp_path / "others").mkdir()
    show = 'printf "%s" "$PGPASSWORD"'
    assert with_password({"STELLA_DATABASE_PASSWORD_FILE": str(tmp_path / "database-password")}, show).stdout == "s3 cret$"
    assert with_password({"CREDENTIALS_DIRECTORY": str(tmp_path)}, show).stdout == "s3 cret$"
    assert with_password({"CREDENTIALS_DIRECTORY": str(tmp_path / "others")}, 'printf "%s" "${PGPASSWORD-unset}"').stdout == "unset"
    broker = {"STELLA_CELERY_BROKER": "redis://broker:6379/0", "STELLA_CELERY_PASSWORD_FILE": str(tmp_path / "broker")}
    assert with_password(broker, 'printf "%s" "$STELLA_CELERY_BROKER"').stdout == "redis://:abc123@broker:6379/0"


@pytest.mark.parametrize("variable", ["STELLA_DATABASE_PASSWORD_FILE", "CREDENTIALS_DIRECTORY"])
def test_a_password_that_is_not_there_starts_nothing(variable: str, tmp_path: Path) -> None:
    done = with_password({variable: str(tmp_path / "none")}, "echo started")
    assert (done.returncode, done.stdout) == (78, "")
    assert "cannot be read" in done.stderr


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    analyze = program("systemd-analyze", "apt-get install -y --no-install-recommends systemd")
    for unit in UNITS:
        (tmp_path / unit).write_text((DEPLOY / "systemd" / unit).read_text())
    names = [unit.replace("@.", "@runner.") for unit in UNITS]
    environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    done = subprocess.run([analyze, "verify", *names], env=environ, capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "stella" in line] == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.endswith(".service")])
def test_a_unit_is_confined(unit: str) -> None:
    analyze = program("systemd-analyze", "apt-get install -y --no-install-recommends systemd")
    done = subprocess.run([analyze, "security", "--offline=true", DEPLOY / "systemd" / unit], capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for \S+: (\d+\.\d)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= EXPOSURE_MAX


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.endswith(".service")])
def test_a_unit_holds_no_password_and_a_usable_address(unit: str) -> None:
    words = (DEPLOY / "systemd" / unit).read_text()
    settings = dict(re.findall(r"^Environment=(STELLA_HOME|STELLA_DATABASE_URL)=(\S+)$", words, re.MULTILINE))
    assert str(Settings.from_environ(settings).home) == "/var/lib/stella"
    assert not re.search(r"//\w+:\w+@", settings["STELLA_DATABASE_URL"])
    assert "LoadCredential=database-password:/etc/stella/database-password" in words


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return found


def test_the_constraints_fit_what_the_package_wants() -> None:
    lines = [line for line in (DEPLOY / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines)
    extras = project()["project"]["optional-dependencies"]
    wanted = [Requirement(text) for text in (*project()["project"]["dependencies"], *extras["celery"], *extras["docker"], *extras["ecs"])]
    for one in wanted:
        assert one.specifier.contains(pinned[canonicalize_name(one.name)]), one


def test_the_image_is_made_of_what_is_there() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    sources = [word for line in lines if line.startswith("COPY ") and "--from" not in line for word in shlex.split(line)[1:-1]]
    assert [source for source in sources if "[" not in source and not (ROOT / source).exists()] == []
    hatch = project()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*hatch["packages"], *hatch["force-include"]} <= set(sources)
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert any(line.startswith("HEALTHCHECK") for line in lines)
