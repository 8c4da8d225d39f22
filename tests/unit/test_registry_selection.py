"""From a declaration to an adapter: only declared hosts, only safe addresses, secrets by reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.secrets import Secret
from stella_pipelines.environments.model import Registry
from stella_pipelines.integrations.registries.authorization import Credentials
from stella_pipelines.integrations.registries.distribution import DistributionRegistry
from stella_pipelines.integrations.registries.endpoints import RegistryInsecure, RegistryMisconfigured, is_loopback
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.integrations.registries.selection import RegistryUnknown, registry_for
from stella_pipelines.integrations.secrets import SECRET_BYTES_MAX, SecretMissing, SecretReferenceInvalid, resolve


def test_the_estate_s_own_value_is_a_declaration(tmp_path: Path) -> None:
    declared = [Registry(host="127.0.0.1:5000", plain_http=True), Registry(host="air.gap:1", kind="layout", path=str(tmp_path))]
    assert isinstance(registry_for(declared, "127.0.0.1:5000", {}), DistributionRegistry)
    assert isinstance(registry_for(declared, "air.gap:1", {}), LayoutRegistry)


@dataclass
class Strange:
    """A declaration that the estate would not let through."""

    host: str = "registry.example"
    kind: str = "ftp"
    path: str | None = None
    plain_http: bool = False
    ca_file: str | None = None
    username: str | None = None
    password: str | None = None


@pytest.mark.parametrize(
    ("declared", "error"),
    [
        (Registry(host="other.example"), RegistryUnknown),
        (Registry(host="registry.example", plain_http=True), RegistryInsecure),
        (Registry(host="registry.example", kind="layout"), RegistryMisconfigured),
        (Registry(host="registry.example", username="robot"), RegistryMisconfigured),
        (Registry(host="registry.example", password="env://TOKEN"), RegistryMisconfigured),
        (Registry(host="registry.example", username="robot", password="env://TOKEN"), SecretMissing),
        (Registry(host="registry.example", ca_file="/nonexistent/ca.pem"), RegistryMisconfigured),
        (Strange(), RegistryMisconfigured),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(declared: Registry, error: type[StellaError]) -> None:
    with pytest.raises(error):
        registry_for([declared], "registry.example", {})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_password_is_in_no_representation() -> None:
    credentials = Credentials("robot", Secret("hunter2"))
    assert "hunter2" not in repr(credentials) + str(vars(credentials))
    assert credentials.basic() == "Basic cm9ib3Q6aHVudGVyMg=="


def test_a_secret_is_read_from_where_its_reference_points(tmp_path: Path) -> None:
    (tmp_path / "a b").write_text("s3cret\n")
    assert resolve("env://TOKEN", {"TOKEN": "s3cret"}) == resolve(f"file://{tmp_path}/a%20b", {}) == Secret("s3cret")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * (SECRET_BYTES_MAX + 1)], ids=["empty", "newline", "binary", "large"])
def test_a_file_without_a_usable_secret_is_missing_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(SecretMissing):
        resolve(f"file://{tmp_path}/secret", {})


@pytest.mark.parametrize("reference", ["env://TOKEN", "env://", "file:///nonexistent/secret"])
def test_a_reference_to_nothing_is_missing(reference: str) -> None:
    with pytest.raises(SecretMissing):
        resolve(reference, {"TOKEN": ""})


def test_a_text_that_is_no_reference_may_be_the_secret_and_is_not_repeated() -> None:
    with pytest.raises(SecretReferenceInvalid) as refused:
        resolve("hunter2", {})
    assert "hunter2" not in str(refused.value)
