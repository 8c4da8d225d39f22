"""Packets attached to a release in a real registry: what the registry has then, what other tools see, what the audit trail says."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stella_pipelines.core.clock import SystemClock
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence import audit
from stella_pipelines.evidence.bundle import TRUSTED_ROOT
from stella_pipelines.evidence.errors import EvidenceMissing, KeyUnknown, SignatureInvalid
from stella_pipelines.integrations.registries.artifact import EMPTY_CONFIG
from stella_pipelines.integrations.registries.distribution import DistributionRegistry
from stella_pipelines.integrations.registries.port import Manifest, RegistryUnreachable
from stella_pipelines.integrations.registries.referrers import fallback_tag
from stella_pipelines.integrations.registries.referring import Patience, ReferrersContended, enter, referrers_of
from stella_pipelines.releases.attached import PulledPacket, pull_or_refusal, pull_packet
from stella_pipelines.releases.attaching import PACKETS_MAX, Place, packets_about
from stella_pipelines.releases.errors import AttachRefused, PacketNotAboutSubject
from stella_pipelines.releases.packet_forms import BUNDLE_TYPE, ENVELOPE_TYPE
from stella_pipelines.store import leases
from stella_pipelines.store.database import Store
from tests.support.attachments import (
    ALICE,
    KEYS,
    SBOM,
    attaching,
    envelope_about,
    place_of,
    push_artifact_about,
    pushed_release,
    quickly,
    seal_about,
)
from tests.support.evidence import signing_key
from tests.support.referring_registry import ReferringRegistry
from tests.support.registries import plain_registry, require_program


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that keeps no list of referrers."""
    with plain_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running.host


@pytest.fixture(params=["fallback", "listing"])
def host(request: pytest.FixtureRequest) -> Iterator[str]:
    """A registry of either sort."""
    if request.param == "fallback":
        yield request.getfixturevalue("packaged")
        return
    with ReferringRegistry() as running:
        yield running.host


@pytest.fixture
def registry(host: str) -> Iterator[DistributionRegistry]:
    client = DistributionRegistry(host, plain_http=True)
    yield client
    client.close()


@pytest.fixture
def place(store: Store, registry: DistributionRegistry, host: str) -> Place:
    return place_of(pushed_release(store, registry, host), host)


def digests(registry: DistributionRegistry, place: Place) -> set[Digest]:
    return {one.digest for one in referrers_of(registry, place.path, place.digest)}


def trail(store: Store, place: Place) -> list[audit.AuditEntry]:
    """What the audit trail says about attaching, oldest first."""
    with store.reading() as tx:
        entries = audit.list_entries(tx, limit=100)
    return [entry for entry in reversed(entries) if entry.subject.startswith(f"{place.label}/attachment/")]


def test_a_packet_is_attached_listed_pulled_and_verified(store: Store, registry: DistributionRegistry, place: Place) -> None:
    packets = [seal_about(store, place.digest, number) for number in (1, 2)]
    done = attaching(store).attach(ALICE, registry, place, [packet.id for packet in packets])
    assert [(one.packet_id, one.packet, one.new) for one in done] == [(packet.id, packet.digest, True) for packet in packets]
    found = referrers_of(registry, place.path, place.digest, BUNDLE_TYPE)
    assert [one.digest for one in found] == [one.artifact for one in done]
    for listed, packet in zip(found, packets, strict=True):
        pulled = pull_packet(registry, place.path, place.digest, listed, KEYS)
        assert (pulled.envelope, pulled.packet.packet_digest) == (packet.envelope, packet.digest)
        assert listed.annotations["dev.stella-pipelines.packet"] == packet.id


def test_attaching_twice_is_attaching_once(store: Store, registry: DistributionRegistry, place: Place) -> None:
    packet = seal_about(store, place.digest)
    first = attaching(store).attach(ALICE, registry, place, [packet.id, packet.id])
    before, told = digests(registry, place), trail(store, place)
    again = attaching(store).attach(ALICE, registry, place, [packet.id])
    assert (len(first), again[0].artifact, again[0].new) == (1, first[0].artifact, False)
    assert digests(registry, place) == before
    assert trail(store, place) == told


def test_an_envelope_and_a_bundle_of_one_packet_are_two_artifacts(store: Store, registry: DistributionRegistry, place: Place) -> None:
    packet = seal_about(store, place.digest)
    for as_bundles in (True, False):
        attaching(store, as_bundles=as_bundles).attach(ALICE, registry, place, [packet.id])
    found = {one.artifact_type: one for one in referrers_of(registry, place.path, place.digest)}
    assert set(found) == {BUNDLE_TYPE, ENVELOPE_TYPE}
    pulled = {kind: pull_packet(registry, place.path, place.digest, one, KEYS) for kind, one in found.items()}
    assert pulled[BUNDLE_TYPE].envelope == pulled[ENVELOPE_TYPE].envelope == pulled[ENVELOPE_TYPE].layer == packet.envelope


def test_the_trail_has_the_intent_and_the_outcome(store: Store, registry: DistributionRegistry, place: Place) -> None:
    packet = seal_about(store, place.digest)
    (done,) = attaching(store).attach(ALICE, registry, place, [packet.id])
    intent, outcome = trail(store, place)
    assert (intent.action, intent.subject, intent.after, intent.reason) == (
        "release.attach",
        f"release/shop-1.0/attachment/{place.location}",
        None,
        "1 packet(s)",
    )
    assert (outcome.action, outcome.subject, outcome.after, outcome.reason) == (
        "release.attached",
        f"release/shop-1.0/attachment/{done.location}",
        done.artifact,
        packet.id,
    )
    assert intent.actor == outcome.actor == ALICE


def test_a_registry_that_goes_away_leaves_a_trail_and_nothing_that_the_next_try_cannot_finish(store: Store) -> None:
    with ReferringRegistry(lists=False) as server:
        client = server.client()
        place = place_of(pushed_release(store, client, server.host), server.host)
        packet = seal_about(store, place.digest)

        def unplug(reference: str) -> None:
            if reference.startswith("sha256-"):
                raise ConnectionResetError

        server.before_put = unplug
        with pytest.raises(RegistryUnreachable):
            attaching(store).attach(ALICE, client, place, [packet.id])
        assert [entry.action for entry in trail(store, place)] == ["release.attach", "release.attach_failed"]
        assert trail(store, place)[1].reason == "INT_REGISTRY_UNREACHABLE"
        assert referrers_of(client, place.path, place.digest) == ()
        server.before_put = lambda _: None
        (done,) = attaching(store).attach(ALICE, client, place, [packet.id])
        assert [one.digest for one in referrers_of(client, place.path, place.digest)] == [done.artifact]
        client.close()


def test_what_cannot_be_attached_is_refused_before_anything_is_sent(store: Store, registry: DistributionRegistry, place: Place) -> None:
    good, wrong = seal_about(store, place.digest, 1), seal_about(store, Digest.of(b"another release"), 2)
    service = attaching(store)
    with pytest.raises(PacketNotAboutSubject):
        service.attach(ALICE, registry, place, [good.id, wrong.id])
    with pytest.raises(EvidenceMissing):
        service.attach(ALICE, registry, place, [good.id, "evd_nobody"])
    with pytest.raises(AttachRefused, match="is not there"):
        service.attach(ALICE, registry, place.model_copy(update={"path": "releases/elsewhere"}), [good.id])
    with pytest.raises(AttachRefused, match="packets were given"):
        service.attach(ALICE, registry, place, [good.id] * (PACKETS_MAX + 1))
    assert digests(registry, place) == set()
    assert trail(store, place) == []


def test_packets_are_found_by_what_they_are_about_oldest_first(store: Store, registry: DistributionRegistry, place: Place) -> None:
    with store.reading() as tx:
        before = packets_about(tx, place.digest)
    packets = [seal_about(store, place.digest, number, environment=name).id for number, name in ((1, "prod"), (2, "dev"), (3, "prod"))]
    seal_about(store, Digest.of(b"another release"), 4)
    with store.reading() as tx:
        found = [packet for packet in packets_about(tx, place.digest) if packet not in before]
    assert found == packets


def subject_of(registry: DistributionRegistry, place: Place) -> Manifest:
    return registry.manifest(place.path, place.digest)


def list_by_hand(registry: DistributionRegistry, place: Place, content: bytes, media_type: str = ENVELOPE_TYPE, subject: Manifest | None = None) -> object:
    """What anybody with the right to push can put there, and what we make of it."""
    listed = push_artifact_about(registry, place.path, subject or subject_of(registry, place), content, media_type)
    if registry.referrers(place.path, place.digest, None) is None:
        enter(registry, place.path, place.digest, [listed], quickly())
        assert listed in referrers_of(registry, place.path, place.digest)
    return pull_or_refusal(registry, place.path, place.digest, listed, KEYS)


def test_a_packet_of_another_installation_or_a_changed_one_is_refused(registry: DistributionRegistry, place: Place) -> None:
    assert isinstance(list_by_hand(registry, place, envelope_about(place.digest)), PulledPacket)
    assert isinstance(list_by_hand(registry, place, envelope_about(place.digest, seed=2)), KeyUnknown)
    document = json.loads(envelope_about(place.digest))
    payload = base64.b64decode(document["payload"]).replace(b'"allow"', b'"denyy"')
    changed = envelope_about(place.digest).replace(document["payload"].encode(), base64.b64encode(payload))
    assert isinstance(list_by_hand(registry, place, changed), SignatureInvalid)


def test_a_genuine_packet_about_something_else_is_refused(registry: DistributionRegistry, place: Place) -> None:
    """Signed by us, and put beside a release that it says nothing of: the most dangerous thing that a registry can show."""
    assert isinstance(list_by_hand(registry, place, envelope_about(Digest.of(b"another release"))), PacketNotAboutSubject)


def test_a_retryable_fault_is_no_verdict_on_a_packet(store: Store, registry: DistributionRegistry, place: Place) -> None:
    packet = seal_about(store, place.digest)
    attaching(store).attach(ALICE, registry, place, [packet.id])
    (listed,) = referrers_of(registry, place.path, place.digest)
    nobody = DistributionRegistry("127.0.0.1:1", plain_http=True)
    with pytest.raises(RegistryUnreachable):
        pull_or_refusal(nobody, place.path, place.digest, listed, KEYS)
    nobody.close()


def test_what_others_attached_stays_as_it_was(store: Store, packaged: str) -> None:
    registry = DistributionRegistry(packaged, plain_http=True)
    place = place_of(pushed_release(store, registry, packaged), packaged)
    listed = push_artifact_about(registry, place.path, subject_of(registry, place), b'{"spdxVersion":"SPDX-2.3"}', SBOM)
    enter(registry, place.path, place.digest, [listed], quickly())
    before = json.loads(registry.manifest(place.path, fallback_tag(place.digest)).content)["manifests"]
    attaching(store).attach(ALICE, registry, place, [seal_about(store, place.digest).id])
    after = json.loads(registry.manifest(place.path, fallback_tag(place.digest)).content)["manifests"]
    assert after[: len(before)] == before
    assert len(after) == len(before) + 1
    registry.close()


def test_attachers_at_the_same_time_lose_nothing(store: Store, database_url: str, packaged: str) -> None:
    """Four of one installation, each with its own connections, on a registry that knows no conditions."""
    registry = DistributionRegistry(packaged, plain_http=True)
    place = place_of(pushed_release(store, registry, packaged), packaged)
    packets = [seal_about(store, place.digest, number).id for number in range(8)]

    def attach(chosen: list[str]) -> None:
        with contextlib.closing(Store.open(database_url)) as own, contextlib.closing(DistributionRegistry(packaged, plain_http=True)) as client:
            for packet in chosen:
                attaching(own, Patience(settle_s=0.02)).attach(ALICE, client, place, [packet])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(attach, [packets[number::4] for number in range(4)])) == [None] * 4
    found = referrers_of(registry, place.path, place.digest)
    assert sorted(one.annotations["dev.stella-pipelines.packet"] for one in found) == sorted(packets)
    registry.close()


def test_a_list_that_another_process_holds_is_waited_for_and_then_refused(store: Store, packaged: str) -> None:
    registry = DistributionRegistry(packaged, plain_http=True)
    place = place_of(pushed_release(store, registry, packaged), packaged)
    packet = seal_about(store, place.digest)
    pauses: list[float] = []
    with store.writing() as tx:
        held = leases.acquire(tx, f"referrers/{place.location}", "somebody", SystemClock().now(), 60)
    with pytest.raises(ReferrersContended) as refused:
        attaching(store, quickly(pauses.append)).attach(ALICE, registry, place, [packet.id])
    assert refused.value.retryable
    assert 20 <= sum(pauses) <= 60
    with store.writing() as tx:
        leases.release(tx, held)
    attaching(store).attach(ALICE, registry, place, [packet.id])
    assert len(referrers_of(registry, place.path, place.digest)) == 1
    registry.close()


def run(*words: str, cwd: Path | None = None) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_skopeo_reads_the_list_and_the_artifacts_and_copies_them(store: Store, packaged: str, tmp_path: Path) -> None:
    skopeo = require_program("skopeo", "skopeo")
    registry = DistributionRegistry(packaged, plain_http=True)
    place = place_of(pushed_release(store, registry, packaged), packaged)
    packet = seal_about(store, place.digest)
    (done,) = attaching(store, as_bundles=False).attach(ALICE, registry, place, [packet.id])
    repository = f"docker://{packaged}/{place.path}"
    index = json.loads(run(skopeo, "inspect", "--raw", "--tls-verify=false", f"{repository}:{fallback_tag(place.digest)}"))
    manifest = run(skopeo, "inspect", "--raw", "--tls-verify=false", f"{repository}@{done.artifact}")
    (entry,) = index["manifests"]
    assert entry["digest"] == done.artifact == Digest.of(manifest.encode())
    document = json.loads(manifest)
    assert (entry["artifactType"], entry["annotations"]) == (document["artifactType"], document["annotations"])
    assert document["subject"]["digest"] == place.digest
    assert document["config"]["digest"] == Digest.of(EMPTY_CONFIG)
    run(skopeo, "copy", "--src-tls-verify=false", f"{repository}@{done.artifact}", f"dir:{tmp_path / 'copied'}")
    assert (tmp_path / "copied" / packet.digest.hex).read_bytes() == packet.envelope
    registry.close()


def test_cosign_verifies_what_is_attached_with_nothing_but_the_key(store: Store, registry: DistributionRegistry, place: Place, tmp_path: Path) -> None:
    """Found by cosign itself, on either sort of registry; without a network, and without a public log."""
    cosign = require_program("cosign", "cosign  # from Debian 13 on")
    attaching(store).attach(ALICE, registry, place, [seal_about(store, place.digest).id])
    (tmp_path / "ours.pub").write_bytes(KEYS[0])
    (tmp_path / "others.pub").write_bytes(signing_key(2).public_pem)
    (tmp_path / "root.json").write_bytes(TRUSTED_ROOT)
    predicate = "https://stella-pipelines.dev/predicates/decision/v1"
    words = [cosign, "verify-attestation", "--new-bundle-format", "--insecure-ignore-tlog", "--trusted-root", "root.json", "--type", predicate]
    answer = run(*words, "--key", "ours.pub", place.location, cwd=tmp_path)
    statement = json.loads(base64.b64decode(json.loads(answer)["payload"]))
    assert statement["subject"] == [{"name": "shop-1.0", "digest": {"sha256": place.digest.hex}}]
    refused = subprocess.run([*words, "--key", "others.pub", place.location], capture_output=True, timeout=60, check=False, cwd=tmp_path)
    assert refused.returncode != 0
