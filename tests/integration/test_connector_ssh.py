"""Docker over SSH: the host key is pinned, the key comes from its reference, and the forwarded socket is ours alone."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from stella_pipelines.connectors.docker.access import opened
from stella_pipelines.connectors.docker.connector import DockerConnector
from stella_pipelines.connectors.port import SecretUnavailable, TargetIdentityChanged, TargetRefused, TargetUnreachable
from stella_pipelines.environments.model import Target
from stella_pipelines.lab.certificates import write_ssh_key
from stella_pipelines.lab.kernel import image_platform
from stella_pipelines.lab.lab import Lab
from tests.support.connector_places import docker_place

pytest_plugins = ("tests.support.lab",)
pytestmark = pytest.mark.engines
HOST = "prod-1"


@pytest.fixture
def target(lab: Lab) -> Target:
    """The lab's engine behind SSH."""
    return docker_place(lab, HOST).target


def changed(target: Target, *, endpoint: str | None = None, **changes: Any) -> Target:
    """The target with changed SSH access."""
    assert target.docker is not None
    assert target.docker.ssh is not None
    docker = target.docker.model_copy(update={"ssh": target.docker.ssh.model_copy(update=changes)})
    return target.model_copy(update={"docker": docker if endpoint is None else docker.model_copy(update={"endpoint": endpoint})})


def platform(target: Target, environ: dict[str, str] | None = None) -> str:
    """The answer to the smallest question."""

    async def run() -> str:
        async with DockerConnector(target, environ or {}) as connector:
            return (await connector.probe()).platform

    return asyncio.run(run())


def test_a_host_under_its_pinned_key_answers_whatever_the_account_is_set_up_for(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  ProxyCommand false\n  Port 1\n  User nobody\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "no-agent"))
    assert platform(target) == image_platform()


def test_a_changed_host_key_is_somebody_else(lab: Lab, target: Target) -> None:
    assert lab.rig is not None
    with lab.rig.ssh_servers[HOST].impostor(), pytest.raises(TargetIdentityChanged) as changed_identity:
        platform(target)
    assert not changed_identity.value.retryable
    assert platform(target) == image_platform()


def test_a_host_with_a_key_of_another_kind_than_the_pinned_one_is_somebody_else(target: Target) -> None:
    other = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode()
    with pytest.raises(TargetIdentityChanged):
        platform(changed(target, host_key=other))


def test_a_key_that_the_host_does_not_know_is_refused(target: Target, tmp_path: Path) -> None:
    write_ssh_key(tmp_path / "stranger")
    with pytest.raises(TargetRefused, match="root"):
        platform(changed(target, private_key=f"file://{tmp_path / 'stranger'}"))


def test_keys_that_are_none_are_named_and_not_repeated(target: Target) -> None:
    with pytest.raises(SecretUnavailable, match="NO_SUCH_KEY"):
        platform(changed(target, private_key="env://NO_SUCH_KEY"))
    with pytest.raises(TargetRefused) as refused:
        platform(changed(target, private_key="env://BROKEN"), {"BROKEN": "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----"})
    assert "c2VjcmV0" not in str(refused.value)
    with pytest.raises(TargetRefused, match="host_key"):
        platform(changed(target, host_key="ssh-ed25519 nonsense"))


def test_a_host_or_an_engine_that_is_not_there_is_unreachable(target: Target) -> None:
    with pytest.raises(TargetUnreachable):
        platform(changed(target, port=1))
    with pytest.raises(TargetUnreachable):
        platform(changed(target, endpoint="unix:///no/such/docker.sock"))


def test_a_connection_that_breaks_is_unreachable(target: Target) -> None:
    async def run() -> None:
        async with DockerConnector(target, {}) as connector:
            await connector.probe()
            await asyncio.to_thread(_kill_sessions, target)
            with pytest.raises(TargetUnreachable):
                await connector.probe()

    asyncio.run(run())


def _kill_sessions(target: Target) -> None:
    """End the SSH server's processes that serve our connection: those with an established connection on its port."""
    assert target.docker is not None
    assert target.docker.ssh is not None
    access = target.docker.ssh
    said = subprocess.run(["ss", "-tnpH", "state", "established", f"( src {access.host}:{access.port} )"], capture_output=True, text=True, check=True)
    for pid in set(re.findall(r'"sshd",pid=(\d+)', said.stdout)):
        subprocess.run(["kill", "-9", pid], check=False)


def test_the_forwarded_socket_is_ours_alone_and_goes_away(target: Target) -> None:
    async def look() -> tuple[Path, int]:
        assert target.docker is not None
        async with opened(target.docker, {}, target.name) as address:
            socket = Path(address.base_url.removeprefix("unix://"))
            assert socket.is_socket()
            return socket.parent, socket.parent.stat().st_mode & 0o777

    folder, mode = asyncio.run(look())
    assert mode == 0o700
    assert not folder.exists()
