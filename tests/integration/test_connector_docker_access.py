"""Reaching Docker Engines: who is trusted, what is refused, and that nothing of this account's own Docker set-up is used."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from socket import create_server
from typing import Any, Final

import pytest

from stella_pipelines.connectors.docker.access import opened
from stella_pipelines.connectors.docker.connector import DockerConnector
from stella_pipelines.connectors.kinds import PullLogins, anonymous
from stella_pipelines.connectors.port import ImageUnavailable, SecretUnavailable, TargetIdentityChanged, TargetRefused, TargetUnreachable
from stella_pipelines.core.secrets import Secret
from stella_pipelines.environments.model import DockerAccess, Target, TlsAccess
from stella_pipelines.lab.certificates import LabAuthority
from stella_pipelines.lab.images import push
from stella_pipelines.lab.kernel import image_platform
from stella_pipelines.lab.lab import Lab
from tests.support.connector_places import PATH, docker_place, effect
from tests.support.registries import PASSWORD, USERNAME, token_registry

pytest_plugins = ("tests.support.lab",)
pytestmark = pytest.mark.engines
ELSEWHERE: Final = "127.0.4.78"


def using(target: Target, work: Callable[[DockerConnector], Awaitable[Any]], environ: dict[str, str] | None = None, logins: PullLogins = anonymous) -> Any:
    """What `work` answers with an open connector."""

    async def run() -> Any:
        async with DockerConnector(target, environ or {}, logins) as connector:
            return await work(connector)

    return asyncio.run(run())


def platform(target: Target, environ: dict[str, str] | None = None) -> str:
    """The answer to the smallest question."""
    return str(using(target, lambda connector: connector.probe(), environ).platform)


def tls_target(lab: Lab, endpoint: str | None = None, **changes: str) -> Target:
    """The lab's TLS engine, with changed access."""
    target = docker_place(lab, "staging").target
    assert target.docker is not None
    assert target.docker.tls is not None
    tls = TlsAccess(**{**target.docker.tls.document(), **changes})
    return target.model_copy(update={"docker": DockerAccess(endpoint=endpoint or target.docker.endpoint, tls=tls)})


# ---------------------------------------------------------------- mutual TLS


def test_an_engine_with_a_certificate_of_another_ca_is_somebody_else(lab: Lab, tmp_path: Path) -> None:
    LabAuthority().write_ca(tmp_path / "other.pem")
    with pytest.raises(TargetIdentityChanged):
        platform(tls_target(lab, ca_file=str(tmp_path / "other.pem")))


def test_an_engine_whose_certificate_is_for_another_address_is_somebody_else(lab: Lab, tmp_path: Path) -> None:
    authority = LabAuthority()
    authority.write_ca(tmp_path / "ca.pem")
    authority.write_server(tmp_path / "server.pem", tmp_path / "server.key", "127.0.4.79")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    with create_server((ELSEWHERE, 0)) as server:
        answering = threading.Thread(target=_shake_hands, args=(server, context))
        answering.start()
        with pytest.raises(TargetIdentityChanged):
            platform(tls_target(lab, f"tcp://{ELSEWHERE}:{server.getsockname()[1]}", ca_file=str(tmp_path / "ca.pem")))
        answering.join(timeout=10)
    assert not answering.is_alive()


def _shake_hands(server: Any, context: ssl.SSLContext) -> None:
    connection, _ = server.accept()
    with connection:
        try:
            context.wrap_socket(connection, server_side=True).close()
        except (ssl.SSLError, OSError):
            return  # the client hangs up, as it should


def test_an_engine_that_does_not_know_our_certificate_refuses(lab: Lab, tmp_path: Path) -> None:
    LabAuthority().write_client(tmp_path / "us.pem", tmp_path / "us.key", "somebody")
    with pytest.raises(TargetRefused, match="client certificate"):
        platform(tls_target(lab, certificate_file=str(tmp_path / "us.pem"), key=f"file://{tmp_path / 'us.key'}"))


def test_the_key_may_come_from_a_variable_and_is_gone_afterwards(lab: Lab) -> None:
    tls = lab.hosts["staging"].tls
    assert tls is not None
    target, environ = tls_target(lab, key="env://ENGINE_KEY"), {"ENGINE_KEY": tls.key_file.read_text()}
    assert target.docker is not None

    async def look() -> tuple[Path, int, str]:
        assert target.docker is not None
        async with opened(target.docker, environ, target.name) as address:
            assert address.tls is not None
            key = Path(address.tls.cert[1])
            return key, key.stat().st_mode & 0o777, os.readlink(key)

    key, mode, place = asyncio.run(look())
    assert (mode, place) == (0o600, "/memfd:key (deleted)"), "in no folder, so that a killed process leaves nothing"
    assert not key.exists() or os.readlink(key) != place
    assert platform(target, environ) == image_platform()


def test_missing_files_and_keys_are_named(lab: Lab) -> None:
    with pytest.raises(SecretUnavailable, match="NO_SUCH_KEY"):
        platform(tls_target(lab, key="env://NO_SUCH_KEY"))
    with pytest.raises(TargetRefused, match="/no/such/ca"):
        platform(tls_target(lab, ca_file="/no/such/ca"))
    with pytest.raises(TargetRefused, match="/no/such/certificate"):
        platform(tls_target(lab, certificate_file="/no/such/certificate"))


def test_nothing_of_the_accounts_own_set_up_is_used(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"credsStore": "no-such-store", "proxies": {"default": {"httpsProxy": "http://127.0.0.1:9"}}}')
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "/etc/hostname")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    place, target = docker_place(lab, "staging"), tls_target(lab)
    using(target, lambda connector: place.run(connector, place.component("v1"), 1))
    assert using(target, lambda connector: connector.engine.instances())[0].runs
    monkeypatch.undo()
    assert place.page() == "v1"
    assert "no-such-store" not in os.environ.get("DOCKER_CONFIG", "")


# ---------------------------------------------------------------- not there


def test_an_engine_that_is_not_there_is_unreachable(lab: Lab, tmp_path: Path) -> None:
    target = docker_place(lab, "dev").target
    gone = target.model_copy(update={"docker": DockerAccess(endpoint=f"unix://{tmp_path}/docker.sock")})
    with pytest.raises(TargetUnreachable) as unreachable:
        platform(gone)
    assert unreachable.value.retryable
    with pytest.raises(TargetUnreachable):
        platform(tls_target(lab, f"tcp://{ELSEWHERE}:1"))


def test_an_engine_that_dies_while_we_are_connected_is_unreachable(lab: Lab) -> None:
    target = docker_place(lab, "dev").target
    assert lab.rig is not None
    engine = lab.rig.engines["dev"]

    async def work(connector: DockerConnector) -> None:
        await connector.probe()
        engine.stop()
        with pytest.raises(TargetUnreachable):
            await connector.probe()

    try:
        using(target, work)
    finally:
        engine.start()
        engine.wait()
    assert platform(target) == image_platform()


# ---------------------------------------------------------------- pulling


def test_a_registry_that_is_down_is_told_from_a_missing_image(lab: Lab) -> None:
    place = docker_place(lab, "dev")
    nowhere = place.component("v1", repository="127.0.4.78:5999/shop/web")
    with pytest.raises(ImageUnavailable, match="refused"):
        using(place.target, lambda connector: connector.prepare(nowhere, effect(1)))


def test_a_pull_logs_in_with_what_it_is_given_and_with_nothing_else(lab: Lab, tmp_path: Path) -> None:
    place = docker_place(lab, "dev")
    with token_registry(tmp_path) as registry:
        push(registry.client(), PATH, "v1", place.images["v1"])
        component = place.component("v1", repository=f"{registry.host}/{PATH}")
        with pytest.raises(ImageUnavailable):
            using(place.target, lambda connector: connector.prepare(component, effect(1)))
        with pytest.raises(ImageUnavailable) as denied:
            using(place.target, lambda connector: connector.prepare(component, effect(1)), logins=lambda host: (USERNAME, Secret("wrong-pass")))
        assert "wrong-pass" not in str(denied.value)
        using(place.target, lambda connector: connector.prepare(component, effect(1)), logins=lambda host: (USERNAME, Secret(PASSWORD)))
        assert using(place.target, lambda connector: connector.has_image(component.platform_digest, component.repository))
