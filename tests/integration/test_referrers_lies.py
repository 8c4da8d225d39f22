"""A registry that lies about what is attached: every list, push and artifact that must not be believed, and an end in bounded time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError
from stella_pipelines.integrations.registries.artifact import ArtifactInvalid, Layer, artifact_manifest, referrer_of
from stella_pipelines.integrations.registries.distribution import DistributionRegistry
from stella_pipelines.integrations.registries.distribution_referrers import PAGES_MAX
from stella_pipelines.integrations.registries.exchange import Pace
from stella_pipelines.integrations.registries.port import OCI_INDEX, OCI_MANIFEST, AnswerTooLarge, Manifest, RegistryLied, RegistryMisbehaved
from stella_pipelines.integrations.registries.referrers import REFERRERS_MAX, ReferrersFull, ReferrersUnreadable, fallback_tag
from stella_pipelines.integrations.registries.referring import push_artifact, referrers_of
from stella_pipelines.releases.attached import pull_packet
from stella_pipelines.releases.packet_forms import ENVELOPE_TYPE
from tests.support.attachments import KEYS, envelope_about
from tests.support.lying_registry import Behaviour, LyingRegistry, answering, in_turn

PATH = "shop"
SUBJECT = Manifest(media_type=OCI_MANIFEST, digest=Digest.of(b"subject"), content=b"subject")
LIST = f"/v2/{PATH}/referrers/{SUBJECT.digest}"
ENVELOPE = envelope_about(SUBJECT.digest)
ARTIFACT = artifact_manifest(Layer(media_type=ENVELOPE_TYPE, content=ENVELOPE, title="a.json"), SUBJECT, {})
LISTED = referrer_of(ARTIFACT)
BLOB = f"/v2/{PATH}/blobs/{Digest.of(ENVELOPE)}"
MANIFEST = f"/v2/{PATH}/manifests/{LISTED.digest}"


@pytest.fixture
def lying() -> Iterator[LyingRegistry]:
    with LyingRegistry() as registry:
        yield registry


@pytest.fixture
def client(lying: LyingRegistry) -> Iterator[DistributionRegistry]:
    made = DistributionRegistry(lying.host, plain_http=True, pace=Pace(timeout_s=5, attempts_max=1))
    yield made
    made.close()


def entry(number: int = 0) -> dict[str, Any]:
    return {"mediaType": OCI_MANIFEST, "digest": Digest.of(b"%d" % number), "size": 1, "artifactType": "application/a"}


def index(*entries: Any, **headers: str) -> Behaviour:
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}).encode()
    return answering(body, 200, content_type=OCI_INDEX, **headers)


def refusal(client: DistributionRegistry, kind: type[StellaError]) -> str:
    with pytest.raises(kind) as refused:
        referrers_of(client, PATH, SUBJECT.digest)
    return refused.value.what


def test_a_list_that_is_not_served_as_an_index_is_not_read(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[LIST] = answering(b"<html>please log in</html>", content_type="text/html")
    assert "text/html" in refusal(client, RegistryMisbehaved)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'{"schemaVersion":2,"manifests":[{}]}', b"[" * 100_000])
def test_a_list_that_is_none_is_refused(lying: LyingRegistry, client: DistributionRegistry, body: bytes) -> None:
    lying.behaviours[LIST] = answering(body, content_type=OCI_INDEX)
    refusal(client, ReferrersUnreadable)


def test_a_list_without_an_end_is_not_read_to_its_end(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[LIST] = lying.endless
    refusal(client, AnswerTooLarge)


def test_pages_that_lead_in_a_circle_end(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[LIST] = index(entry(), link=f'<{LIST}?last=1>; rel="next"')
    refusal(client, ReferrersFull)
    assert len(lying.seen) == PAGES_MAX


def test_pages_with_too_many_entries_end(lying: LyingRegistry, client: DistributionRegistry) -> None:
    half = [index(*(entry(number) for number in range(start, start + REFERRERS_MAX // 2 + 1)), link=f'<{LIST}?last=1>; rel="next"') for start in (0, 10**6)]
    lying.behaviours[LIST] = in_turn(*half)
    refusal(client, ReferrersFull)
    assert len(lying.seen) == 2


def test_pages_of_megabytes_end(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[LIST] = index({**entry(), "annotations": {"a": "x" * 4_000_000}}, link=f'<{LIST}?last=1>; rel="next"')
    refusal(client, AnswerTooLarge)
    assert len(lying.seen) < 12


def test_a_page_elsewhere_is_not_asked_for(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[LIST] = index(entry(), link='<http://127.0.0.2:9/next>; rel="next"')
    assert "127.0.0.2" in refusal(client, RegistryMisbehaved)


def test_a_list_that_is_gone_on_its_second_page_is_not_a_shorter_list(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[LIST] = in_turn(index(entry(), link=f'<{LIST}?last=1>; rel="next"'), answering(status=404))
    assert "lost a list" in refusal(client, RegistryMisbehaved)


@pytest.mark.parametrize("link", ['<x>; rel="prev"', 'rel="next"', "<>", "<" * 100_000 + ";" * 9_000, '<http://[>; rel="next"x'])
def test_a_link_that_says_nothing_of_a_next_page_ends_the_list(lying: LyingRegistry, client: DistributionRegistry, link: str) -> None:
    lying.behaviours[LIST] = index(entry(), link=link[:60_000])
    assert len(referrers_of(client, PATH, SUBJECT.digest)) == 1


@pytest.mark.parametrize("link", ['</next>; rel="next"', "</next>;rel=next", '</before>; rel="prev", </next>; title="a"; rel="next"'])
def test_a_link_is_read_as_the_rfc_allows_it(lying: LyingRegistry, client: DistributionRegistry, link: str) -> None:
    lying.behaviours |= {LIST: index(entry(1), link=link), "/next": index(entry(2))}
    assert [one.digest for one in referrers_of(client, PATH, SUBJECT.digest)] == [entry(1)["digest"], entry(2)["digest"]]


def test_the_same_entry_on_two_pages_is_one(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours |= {LIST: index(entry(1), entry(1), link='</next>; rel="next"'), "/next": index(entry(1), entry(2))}
    assert len(referrers_of(client, PATH, SUBJECT.digest)) == 2


def test_a_push_that_is_taken_for_another_subject_is_refused(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[MANIFEST] = answering(status=201, oci_subject=Digest.of(b"another"))
    with pytest.raises(RegistryMisbehaved, match="took a manifest about"):
        push_artifact(client, PATH, ARTIFACT, SUBJECT.digest)


@pytest.mark.parametrize(("headers", "listed"), [({}, False), ({"oci_subject": SUBJECT.digest}, True)])
def test_a_push_says_whether_the_registry_lists_it(lying: LyingRegistry, client: DistributionRegistry, headers: dict[str, str], listed: bool) -> None:
    lying.behaviours[MANIFEST] = answering(b"", 201, **headers)
    assert push_artifact(client, PATH, ARTIFACT, SUBJECT.digest) is listed


@pytest.mark.parametrize("mark", ['W/"weak"', "bare", '"', ""])
def test_a_mark_that_no_condition_may_use_is_none(lying: LyingRegistry, client: DistributionRegistry, mark: str) -> None:
    tag = fallback_tag(SUBJECT.digest)
    body = b'{"schemaVersion":2,"manifests":[]}'
    lying.behaviours[f"/v2/{PATH}/manifests/{tag}"] = answering(body, content_type=OCI_INDEX, etag=mark)
    tagged = client.tagged(PATH, tag)
    assert tagged is not None
    assert tagged.version is None


def test_what_was_attached_is_pulled_and_verified(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours |= {MANIFEST: answering(ARTIFACT, content_type=OCI_MANIFEST), BLOB: answering(ENVELOPE)}
    pulled = pull_packet(client, PATH, SUBJECT.digest, LISTED, KEYS)
    assert (pulled.envelope, pulled.artifact) == (ENVELOPE, LISTED.digest)


def test_a_manifest_with_another_digest_is_refused(lying: LyingRegistry, client: DistributionRegistry) -> None:
    lying.behaviours[MANIFEST] = answering(ARTIFACT + b" ", content_type=OCI_MANIFEST)
    with pytest.raises(RegistryLied):
        pull_packet(client, PATH, SUBJECT.digest, LISTED, KEYS)


@pytest.mark.parametrize(("body", "kind"), [(b"x" * len(ENVELOPE), RegistryLied), (ENVELOPE + b" ", AnswerTooLarge), (ENVELOPE[:-1], RegistryLied)])
def test_a_layer_with_another_digest_or_size_is_refused(lying: LyingRegistry, client: DistributionRegistry, body: bytes, kind: type[StellaError]) -> None:
    lying.behaviours |= {MANIFEST: answering(ARTIFACT, content_type=OCI_MANIFEST), BLOB: answering(body)}
    with pytest.raises(kind):
        pull_packet(client, PATH, SUBJECT.digest, LISTED, KEYS)


@pytest.mark.parametrize("size", [len(ENVELOPE) + 1, 2**40])
def test_a_layer_that_promises_more_than_it_has_is_refused(lying: LyingRegistry, client: DistributionRegistry, size: int) -> None:
    document = json.loads(ARTIFACT)
    document["layers"][0]["size"] = size
    content = json.dumps(document).encode()
    listed = referrer_of(content)
    lying.behaviours |= {f"/v2/{PATH}/manifests/{listed.digest}": answering(content, content_type=OCI_MANIFEST), BLOB: answering(ENVELOPE)}
    with pytest.raises(ArtifactInvalid, match="promises"):
        pull_packet(client, PATH, SUBJECT.digest, listed, KEYS)
    assert len([seen for seen in lying.seen if seen.path == BLOB]) == (size < 2**40)


def test_an_artifact_of_another_type_is_not_fetched(lying: LyingRegistry, client: DistributionRegistry) -> None:
    content = artifact_manifest(Layer(media_type="application/spdx+json", content=ENVELOPE, title="a.json"), SUBJECT, {})
    listed = referrer_of(content)
    lying.behaviours[f"/v2/{PATH}/manifests/{listed.digest}"] = answering(content, content_type=OCI_MANIFEST)
    with pytest.raises(ArtifactInvalid, match="in which no packet is read"):
        pull_packet(client, PATH, SUBJECT.digest, listed, KEYS)
    assert len(lying.seen) == 1
