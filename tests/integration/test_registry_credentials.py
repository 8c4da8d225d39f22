"""A registry's credentials are for the registry and its token service: no host that it leads us to gets them, or anything else that is secret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.secrets import Secret
from stella_pipelines.integrations.registries.authorization import Credentials
from stella_pipelines.integrations.registries.distribution import DistributionRegistry
from stella_pipelines.integrations.registries.endpoints import RegistryInsecure
from stella_pipelines.integrations.registries.exchange import Pace
from stella_pipelines.integrations.registries.port import RegistryDenied, RegistryMisbehaved
from tests.support.certificates import make_certificates
from tests.support.lying_registry import LyingRegistry, answering, in_turn

BLOB = b"the bytes of a layer"
BLOB_DIGEST = Digest.of(BLOB)
BLOB_AT = f"/v2/shop/web/blobs/{BLOB_DIGEST}"
CREDENTIALS = Credentials("robot", Secret("hunter2"))
QUICK = Pace(timeout_s=5, attempts_max=1)


@pytest.fixture
def lying() -> Iterator[LyingRegistry]:
    with LyingRegistry() as registry:
        yield registry


@pytest.fixture
def storage() -> Iterator[LyingRegistry]:
    """Another host than the registry: another port is another origin."""
    with LyingRegistry() as elsewhere:
        yield elsewhere


@pytest.fixture
def client(lying: LyingRegistry) -> Iterator[DistributionRegistry]:
    registry = DistributionRegistry(lying.host, plain_http=True, credentials=CREDENTIALS, pace=QUICK)
    yield registry
    registry.close()


@pytest.mark.parametrize("challenge", ['Basic realm="storage"', 'Bearer realm="http://{storage}/token",service="storage"'])
def test_a_host_that_was_redirected_to_cannot_ask_who_we_are(
    lying: LyingRegistry, storage: LyingRegistry, client: DistributionRegistry, challenge: str
) -> None:
    storage.behaviours["/bucket/blob"] = answering(status=401, www_authenticate=challenge.format(storage=storage.host))
    storage.behaviours["/token"] = answering(b'{"token": "given"}')
    lying.behaviours[BLOB_AT] = answering(status=307, location=f"http://{storage.host}/bucket/blob")
    with pytest.raises(RegistryDenied):
        client.blob("shop/web", BLOB_DIGEST, len(BLOB))
    assert [(seen.path, seen.authorization) for seen in storage.seen] == [("/bucket/blob", None)]
    assert [seen.authorization for seen in lying.seen] == [None]


def test_a_way_that_left_the_registry_comes_back_without_credentials(lying: LyingRegistry, storage: LyingRegistry, client: DistributionRegistry) -> None:
    storage.behaviours["/bucket/blob"] = answering(status=307, location=f"http://{lying.host}/chosen/elsewhere")
    redirect = answering(status=307, location=f"http://{storage.host}/bucket/blob")
    lying.behaviours[BLOB_AT] = in_turn(answering(status=401, www_authenticate='Basic realm="r"'), redirect)
    lying.behaviours["/chosen/elsewhere"] = answering(BLOB)
    assert client.blob("shop/web", BLOB_DIGEST, len(BLOB)) == BLOB
    assert [(seen.path, seen.authorization is None) for seen in lying.seen] == [(BLOB_AT, True), (BLOB_AT, False), ("/chosen/elsewhere", True)]


def test_a_token_service_in_the_clear_belongs_to_a_registry_in_the_clear(lying: LyingRegistry, client: DistributionRegistry, tmp_path: Path) -> None:
    with LyingRegistry() as local_process, LyingRegistry(certificates=make_certificates(tmp_path)) as remote:
        challenge = answering(status=401, www_authenticate=f'Bearer realm="http://{local_process.host}/token"')
        local_process.behaviours["/token"] = answering(b'{"token": "given"}')
        remote.behaviours[BLOB_AT] = challenge
        assert remote.certificates is not None
        registry = DistributionRegistry(remote.host, ca_file=remote.certificates.ca, credentials=CREDENTIALS, pace=QUICK)
        with pytest.raises(RegistryInsecure, match="token service"):
            registry.blob("shop/web", BLOB_DIGEST, len(BLOB))
        registry.close()
        assert (len(remote.seen), local_process.seen) == (1, [])
        lying.behaviours[BLOB_AT] = in_turn(challenge, answering(BLOB))
        assert client.blob("shop/web", BLOB_DIGEST, len(BLOB)) == BLOB  # the control: a plain registry of this machine may name it
        assert len(local_process.seen) == 1


def test_a_registrys_cookie_is_shown_to_nobody(lying: LyingRegistry, storage: LyingRegistry, client: DistributionRegistry) -> None:
    """Cookies know no ports, and may be for a whole domain."""
    storage.behaviours["/bucket/blob"] = answering(BLOB)
    lying.behaviours[BLOB_AT] = answering(status=307, location=f"http://{storage.host}/bucket/blob", set_cookie="session=secret; Path=/")
    assert client.blob("shop/web", BLOB_DIGEST, len(BLOB)) == BLOB
    assert [seen.cookie for seen in storage.seen] == [None]


def test_an_address_with_a_password_in_it_is_asked_without(lying: LyingRegistry, storage: LyingRegistry, client: DistributionRegistry) -> None:
    storage.behaviours["/bucket/blob"] = answering(BLOB)
    lying.behaviours[BLOB_AT] = answering(status=307, location=f"http://someone:secret@{storage.host}/bucket/blob")
    assert client.blob("shop/web", BLOB_DIGEST, len(BLOB)) == BLOB
    assert [seen.authorization for seen in storage.seen] == [None]


def test_an_uploads_session_is_not_in_an_error(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours["/v2/shop/web/blobs/uploads/"] = answering(status=202, location="/upload?_state=secret")
    lying.behaviours["/upload"] = answering(status=418)
    with pytest.raises(RegistryMisbehaved, match="418") as failure:
        client.push_blob("shop/web", b"content")
    assert "secret" not in str(failure.value)
