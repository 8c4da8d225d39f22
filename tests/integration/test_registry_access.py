"""Credentials and certificates against real registries: who gets in, who does not, and what is never said aloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.endpoints import RegistryMisconfigured
from stella_pipelines.integrations.registries.port import RegistryDenied, RegistryPort, RegistryUntrusted
from stella_pipelines.integrations.registries.selection import registry_for
from tests.support.certificates import make_certificates
from tests.support.oci import push_image
from tests.support.registries import PASSWORD, USERNAME, RunningRegistry, password_registry, token_registry


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with password_registry(tmp_path_factory.mktemp("guarded")) as running:
        yield running


@pytest.fixture(scope="module")
def tokened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with token_registry(tmp_path_factory.mktemp("tokened")) as running:
        yield running


@pytest.fixture(params=["guarded", "tokened"])
def running(request: pytest.FixtureRequest) -> RunningRegistry:
    found: RunningRegistry = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("password", ["wrong horse battery", None])
def test_who_does_not_know_the_password_is_denied(running: RunningRegistry, password: str | None) -> None:
    registry = running.client(password=password)
    for ask in (lambda: registry.manifest("shop/web", "1.0"), lambda: registry.push_blob("shop/web", b"content"), lambda: registry.tags("shop/web")):
        with pytest.raises(RegistryDenied) as denied:
            ask()
        assert "horse" not in str(denied.value)


def test_another_ca_is_not_trusted(guarded: RunningRegistry, tmp_path: Path) -> None:
    with pytest.raises(RegistryUntrusted, match="ca_file"):
        guarded.client(ca_file=make_certificates(tmp_path).ca).manifest("shop/web", "1.0")


def test_the_environment_does_not_add_trust_or_detours(guarded: RunningRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A declared CA is the only one: variables that other clients obey change nothing in either direction."""
    assert guarded.ca_file is not None
    wrong = make_certificates(tmp_path).ca
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(guarded.ca_file))
    with pytest.raises(RegistryUntrusted):
        guarded.client(ca_file=wrong).manifest("shop/web", "1.0")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(wrong))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert isinstance(push_image(guarded.client(), "shop/web", "trusted"), Digest)


def test_a_ca_file_that_is_none(guarded: RunningRegistry, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("not a certificate")
    for file in (tmp_path / "empty.pem", tmp_path / "absent.pem"):
        with pytest.raises(RegistryMisconfigured):
            guarded.client(ca_file=file)


def test_a_token_is_asked_for_once_per_scope(tokened: RunningRegistry) -> None:
    assert tokened.token_service is not None
    registry = tokened.client()
    before = len(tokened.token_service.asked)
    push_image(registry, "shop/tokens", "1.0")
    for _ in range(3):
        registry.manifest("shop/tokens", "1.0")
    actions = [sorted(scope.removeprefix("repository:shop/tokens:").split(",")) for scope in tokened.token_service.asked[before:]]
    assert sorted(actions) == [["pull"], ["pull", "push"]]


class _Declared:
    """A declaration as the estate makes it."""

    kind, path, plain_http = "distribution", None, False
    username, password = USERNAME, "env://REGISTRY_PASSWORD"

    def __init__(self, running: RunningRegistry) -> None:
        self.host, self.ca_file = running.host, str(running.ca_file)


def test_a_declared_registry_is_reached_with_the_secret_behind_its_reference(guarded: RunningRegistry) -> None:
    registry: RegistryPort = registry_for([_Declared(guarded)], guarded.host, {"REGISTRY_PASSWORD": PASSWORD})
    digest = push_image(registry, "shop/declared", "1.0")
    assert registry.manifest("shop/declared", "1.0").digest == digest
