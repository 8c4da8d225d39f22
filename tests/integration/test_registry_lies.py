"""A registry that lies, stalls or leads astray gets one clear error, and nothing of its content is used."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.limits import MANIFEST_BYTES_MAX
from stella_pipelines.core.references import ImageReference
from stella_pipelines.core.secrets import Secret
from stella_pipelines.integrations.registries.authorization import Credentials
from stella_pipelines.integrations.registries.distribution import DistributionRegistry
from stella_pipelines.integrations.registries.endpoints import RegistryInsecure
from stella_pipelines.integrations.registries.exchange import Pace
from stella_pipelines.integrations.registries.port import (
    OCI_MANIFEST,
    AnswerTooLarge,
    ImageUnsupported,
    RegistryDenied,
    RegistryLied,
    RegistryMisbehaved,
    RegistryUnreachable,
)
from stella_pipelines.integrations.registries.resolve import resolve_image
from tests.support.lying_registry import Behaviour, LyingRegistry, answering, in_pieces, in_turn, truncated
from tests.support.oci import image_manifest

GENUINE = image_manifest(b"{}", b"layer")
GENUINE_DIGEST = Digest.of(GENUINE)
OTHER = image_manifest(b"{}", b"another layer")
BLOB = b"the bytes of a layer" * 1000
BLOB_DIGEST = Digest.of(BLOB)
MANIFEST_AT = f"/v2/shop/web/manifests/{GENUINE_DIGEST}"
TAG_AT = "/v2/shop/web/manifests/1.0"
BLOB_AT = f"/v2/shop/web/blobs/{BLOB_DIGEST}"
QUICK = Pace(timeout_s=0.4, attempts_max=1)


@pytest.fixture
def lying() -> Iterator[LyingRegistry]:
    with LyingRegistry() as registry:
        yield registry


@pytest.fixture
def client(lying: LyingRegistry) -> Iterator[DistributionRegistry]:
    registry = DistributionRegistry(lying.host, plain_http=True, credentials=Credentials("robot", Secret("hunter2")), pace=QUICK)
    yield registry
    registry.close()


def test_the_genuine_answer_is_accepted(lying: LyingRegistry, client: DistributionRegistry) -> None:
    """The control: what the other tests refuse is refused for its lie alone."""
    lying.behaviours[MANIFEST_AT] = answering(GENUINE, content_type=OCI_MANIFEST, docker_content_digest=GENUINE_DIGEST)
    lying.behaviours[BLOB_AT] = answering(BLOB)
    assert client.manifest("shop/web", GENUINE_DIGEST).content == GENUINE
    assert client.blob("shop/web", BLOB_DIGEST, len(BLOB)) == BLOB


@pytest.mark.parametrize("reference", [GENUINE_DIGEST, "1.0"])
def test_a_body_that_is_not_what_the_header_claims(lying: LyingRegistry, client: DistributionRegistry, reference: str) -> None:
    lying.behaviours[f"/v2/shop/web/manifests/{reference}"] = answering(OTHER, content_type=OCI_MANIFEST, docker_content_digest=GENUINE_DIGEST)
    with pytest.raises(RegistryLied, match=GENUINE_DIGEST):
        client.manifest("shop/web", reference)


def test_a_body_that_is_not_what_was_asked_for_under_a_consistent_header(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[MANIFEST_AT] = answering(OTHER, content_type=OCI_MANIFEST, docker_content_digest=Digest.of(OTHER))
    with pytest.raises(RegistryLied):
        client.manifest("shop/web", GENUINE_DIGEST)


@pytest.mark.parametrize("claimed", ["sha512:" + "0" * 128, "nonsense", "sha256:short"])
def test_a_claim_that_cannot_be_checked(lying: LyingRegistry, client: DistributionRegistry, claimed: str) -> None:
    lying.behaviours[TAG_AT] = answering(GENUINE, content_type=OCI_MANIFEST, docker_content_digest=claimed)
    with pytest.raises(RegistryMisbehaved):
        client.manifest("shop/web", "1.0")


def test_a_blob_with_one_bit_changed(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[BLOB_AT] = answering(bytes([BLOB[0] ^ 1]) + BLOB[1:])
    with pytest.raises(RegistryLied):
        client.blob("shop/web", BLOB_DIGEST, len(BLOB))


def test_a_blob_that_ends_early_under_a_fitting_length(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[BLOB_AT] = answering(BLOB[:-1])
    with pytest.raises(RegistryLied):
        client.blob("shop/web", BLOB_DIGEST, len(BLOB))


@pytest.mark.parametrize(
    ("at", "ask"), [(MANIFEST_AT, lambda c: c.manifest("shop/web", GENUINE_DIGEST)), (BLOB_AT, lambda c: c.blob("shop/web", BLOB_DIGEST, 10**6))]
)
def test_a_truncated_body_is_unreachable_not_content(
    lying: LyingRegistry, client: DistributionRegistry, at: str, ask: Callable[[DistributionRegistry], object]
) -> None:
    lying.behaviours[at] = truncated(GENUINE if at == MANIFEST_AT else BLOB)
    with pytest.raises(RegistryUnreachable):
        ask(client)


def test_an_endless_manifest_stops_at_the_limit(lying: LyingRegistry) -> None:
    registry = DistributionRegistry(lying.host, plain_http=True, pace=Pace(timeout_s=20, attempts_max=3))
    lying.behaviours[MANIFEST_AT] = lying.endless
    with pytest.raises(AnswerTooLarge, match=str(MANIFEST_BYTES_MAX)):
        registry.manifest("shop/web", GENUINE_DIGEST)
    assert len(lying.seen) == 1


def test_an_endless_blob_stops_at_the_limit(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[BLOB_AT] = lying.endless
    file = io.BytesIO()
    with pytest.raises(AnswerTooLarge):
        client.blob_to("shop/web", BLOB_DIGEST, file, 1_000_000)
    assert len(file.getvalue()) <= 1_000_000


def test_silence_is_unreachable_in_time(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[MANIFEST_AT] = lying.silence
    before = time.monotonic()
    with pytest.raises(RegistryUnreachable):
        client.manifest("shop/web", GENUINE_DIGEST)
    assert time.monotonic() - before < 5


@pytest.mark.parametrize("drip", [LyingRegistry.dripping, LyingRegistry.dripping_head])
@pytest.mark.parametrize(
    ("at", "ask"), [(MANIFEST_AT, lambda c: c.manifest("shop/web", GENUINE_DIGEST)), (BLOB_AT, lambda c: c.blob("shop/web", BLOB_DIGEST, 10**9))]
)
def test_a_dripping_answer_is_unreachable_in_time(
    lying: LyingRegistry, client: DistributionRegistry, drip: Callable[..., None], at: str, ask: Callable[[DistributionRegistry], object]
) -> None:
    lying.behaviours[at] = partial(drip, lying)
    before = time.monotonic()
    with pytest.raises(RegistryUnreachable, match="longer than"):
        ask(client)
    assert time.monotonic() - before < 3


@pytest.mark.parametrize("drip", [LyingRegistry.dripping, LyingRegistry.dripping_head])
def test_a_dripping_token_is_unreachable_in_time(lying: LyingRegistry, drip: Callable[..., None]) -> None:
    registry = DistributionRegistry(lying.host, plain_http=True, pace=Pace(timeout_s=20, token_timeout_s=0.4, attempts_max=1))
    lying.behaviours[MANIFEST_AT] = answering(status=401, www_authenticate=f'Bearer realm="http://{lying.host}/token"')
    lying.behaviours["/token"] = partial(drip, lying)
    before = time.monotonic()
    with pytest.raises(RegistryUnreachable, match="token service took longer than"):
        registry.manifest("shop/web", GENUINE_DIGEST)
    assert time.monotonic() - before < 3


def test_a_large_blob_may_take_longer_than_one_request(lying: LyingRegistry) -> None:
    """Bytes that move buy time: it is slowness that ends an exchange, not size."""
    registry = DistributionRegistry(lying.host, plain_http=True, pace=Pace(timeout_s=0.4, bytes_per_s_min=1000, attempts_max=1))
    lying.behaviours[BLOB_AT] = in_pieces(BLOB, pieces=10, pause_s=0.1)
    before = time.monotonic()
    assert registry.blob("shop/web", BLOB_DIGEST, len(BLOB)) == BLOB
    assert time.monotonic() - before > 0.8


def test_a_redirect_loop_ends(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[BLOB_AT] = answering(status=307, location=BLOB_AT)
    with pytest.raises(RegistryMisbehaved, match="redirected"):
        client.blob("shop/web", BLOB_DIGEST, len(BLOB))
    assert len(lying.seen) == 6


def test_a_manifest_is_never_followed_elsewhere(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[MANIFEST_AT] = answering(status=307, location="/elsewhere")
    with pytest.raises(RegistryMisbehaved, match="307"):
        client.manifest("shop/web", GENUINE_DIGEST)
    assert [seen.path for seen in lying.seen] == [MANIFEST_AT]


@pytest.mark.parametrize("location", ["http://storage.example/blob", "ftp://127.0.0.1/blob", ""])
def test_a_redirect_to_plain_http_elsewhere_is_refused(lying: LyingRegistry, client: DistributionRegistry, location: str) -> None:
    lying.behaviours[BLOB_AT] = answering(status=302, location=location)
    with pytest.raises((RegistryInsecure, RegistryMisbehaved)):
        client.blob("shop/web", BLOB_DIGEST, len(BLOB))


def test_credentials_stay_with_the_registry_when_a_blob_lives_elsewhere(lying: LyingRegistry, client: DistributionRegistry) -> None:
    with LyingRegistry() as storage:
        storage.behaviours["/bucket/blob"] = answering(BLOB)
        redirect = answering(status=307, location=f"http://{storage.host}/bucket/blob?signature=abc")
        lying.behaviours[BLOB_AT] = in_turn(answering(status=401, www_authenticate='Basic realm="r"'), redirect)
        assert client.blob("shop/web", BLOB_DIGEST, len(BLOB)) == BLOB
        assert [seen.authorization for seen in storage.seen] == [None]
    assert [seen.authorization is None for seen in lying.seen] == [True, False]


def test_an_upload_is_not_sent_to_another_host(lying: LyingRegistry, client: DistributionRegistry) -> None:
    with LyingRegistry() as elsewhere:
        lying.behaviours["/v2/shop/web/blobs/uploads/"] = answering(status=202, location=f"http://{elsewhere.host}/upload")
        with pytest.raises(RegistryMisbehaved, match="not itself"):
            client.push_blob("shop/web", b"content")
        assert elsewhere.seen == []


def test_a_pushed_manifest_that_the_registry_stored_as_another(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[TAG_AT] = answering(status=201, docker_content_digest=Digest.of(OTHER))
    with pytest.raises(RegistryLied):
        client.push_manifest("shop/web", GENUINE, OCI_MANIFEST, "1.0")


@pytest.mark.parametrize("challenge", ["", "Negotiate", 'Bearer realm="ftp://127.0.0.1/token"', "Bearer", 'Bearer realm="http://tokens.example/"'])
def test_a_challenge_that_cannot_be_met(lying: LyingRegistry, client: DistributionRegistry, challenge: str) -> None:
    lying.behaviours[MANIFEST_AT] = answering(status=401, www_authenticate=challenge)
    with pytest.raises((RegistryDenied, RegistryMisbehaved, RegistryInsecure)) as refused:
        client.manifest("shop/web", GENUINE_DIGEST)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("given", [b"", b"[]", b'{"token": 7}', b'{"token": "a\\r\\nX: y"}', b'{"expires_in": "soon", "token": "t"}', b"[" * 100_000])
def test_a_token_service_that_gives_no_token(lying: LyingRegistry, client: DistributionRegistry, given: bytes) -> None:
    lying.behaviours[MANIFEST_AT] = answering(status=401, www_authenticate=f'Bearer realm="http://{lying.host}/token",service="s"')
    lying.behaviours["/token"] = answering(given)
    with pytest.raises(RegistryMisbehaved):
        client.manifest("shop/web", GENUINE_DIGEST)


def test_an_endless_token_stops_at_the_limit(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[MANIFEST_AT] = answering(status=401, www_authenticate=f'Bearer realm="http://{lying.host}/token"')
    lying.behaviours["/token"] = lying.endless
    with pytest.raises(AnswerTooLarge):
        client.manifest("shop/web", GENUINE_DIGEST)


@pytest.mark.parametrize("page", [b"", b"{}", b'{"tags": [1]}', b'{"tags": ["../x"]}', b'{"tags": "abc/"}'])
def test_a_tag_list_that_is_none(lying: LyingRegistry, client: DistributionRegistry, page: bytes) -> None:
    lying.behaviours["/v2/shop/web/tags/list"] = answering(page)
    with pytest.raises(RegistryMisbehaved):
        client.tags("shop/web")


def test_a_tag_list_is_followed_page_by_page_and_never_in_circles(lying: LyingRegistry, client: DistributionRegistry) -> None:
    first = answering(b'{"tags": ["b"]}', link='</v2/shop/web/tags/list?last=b>; rel="next"')
    lying.behaviours["/v2/shop/web/tags/list"] = in_turn(first, answering(b'{"tags": ["a"]}'))
    assert client.tags("shop/web") == ["a", "b"]
    for elsewhere in ("http://127.0.0.1:1/x", "http://[", "http://127.0.0.1:99999/"):
        lying.behaviours["/v2/shop/web/tags/list"] = answering(b'{"tags": ["b"]}', link=f'<{elsewhere}>; rel="next"')
        with pytest.raises(RegistryMisbehaved):
            client.tags("shop/web")


def _failing(status: int) -> Behaviour:
    return answering(status=status)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again(lying: LyingRegistry, status: int) -> None:
    pauses: list[float] = []
    registry = DistributionRegistry(lying.host, plain_http=True, pace=Pace(timeout_s=2, attempts_max=3, backoff_s=0.1, sleep=pauses.append))
    lying.behaviours[BLOB_AT] = in_turn(_failing(status), truncated(BLOB), answering(BLOB))
    assert registry.blob("shop/web", BLOB_DIGEST, len(BLOB)) == BLOB
    assert pauses == [0.1, 0.2]


def test_a_lasting_failure_is_reported_after_the_last_try(lying: LyingRegistry) -> None:
    registry = DistributionRegistry(lying.host, plain_http=True, pace=Pace(timeout_s=2, attempts_max=3, sleep=lambda _: None))
    lying.behaviours[BLOB_AT] = _failing(503)
    with pytest.raises(RegistryUnreachable, match="503") as failure:
        registry.blob("shop/web", BLOB_DIGEST, len(BLOB))
    assert (failure.value.retryable, len(lying.seen)) == (True, 3)


@pytest.mark.parametrize(("status", "error"), [(403, RegistryDenied), (418, RegistryMisbehaved), (204, RegistryMisbehaved)])
def test_what_a_try_cannot_mend_is_asked_once(lying: LyingRegistry, status: int, error: type[StellaError]) -> None:
    registry = DistributionRegistry(lying.host, plain_http=True, pace=Pace(timeout_s=2, attempts_max=3))
    lying.behaviours[MANIFEST_AT] = _failing(status)
    with pytest.raises(error):
        registry.manifest("shop/web", GENUINE_DIGEST)
    assert len(lying.seen) == 1


def test_nobody_listening_is_unreachable() -> None:
    with LyingRegistry() as gone:
        host = gone.host
    with pytest.raises(RegistryUnreachable):
        DistributionRegistry(host, plain_http=True, pace=QUICK).manifest("shop/web", "1.0")


def test_schema_1_is_named_and_not_called_a_lie(lying: LyingRegistry, client: DistributionRegistry) -> None:
    old = json.dumps({"schemaVersion": 1, "name": "shop/web", "signatures": []}).encode()
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    lying.behaviours[TAG_AT] = answering(old, content_type=kind, docker_content_digest=GENUINE_DIGEST)
    with pytest.raises(ImageUnsupported, match="schema 1"):
        resolve_image(client, ImageReference.parse(f"{lying.host}/shop/web:1.0"))
