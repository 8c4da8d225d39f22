"""The release manifest: one release, one identity, and nothing else is accepted as its manifest."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.artifact import EMPTY_CONFIG
from stella_pipelines.releases.errors import ReleaseManifestInvalid
from stella_pipelines.releases.manifest import ARTIFACT_TYPE, document_digest, read_manifest, release_digest, release_manifest
from stella_pipelines.releases.model import PlatformImage, Release, ReleaseComponent, ReleaseSource

IMAGE = PlatformImage(platform="linux/amd64", digest=Digest.of(b"platform"), config_digest=Digest.of(b"config"))
WEB = ReleaseComponent(
    name="web",
    repository="registry.example/shop/web",
    digest=Digest.of(b"index"),
    platforms=(IMAGE,),
    tag="1.4.0",
    resolved_at=datetime(2026, 1, 31, 9, 0, tzinfo=UTC),
)
RELEASE = Release(name="shop", version="1.4.0", components=(WEB,), source=ReleaseSource(commit="abc"), created_at=datetime(2026, 1, 31, 9, 1, tzinfo=UTC))


def test_the_identity_of_a_release_is_fixed_for_ever() -> None:
    """If this digest changes, every identity that was ever given out changes: that needs a new artifact type, not a new expectation."""
    assert release_digest(RELEASE) == "sha256:e765935d7d2508ab03439e5951959d19ba11a0a15a0fcf3ceea851a5d519a854"


def test_the_manifest_is_an_oci_artifact_with_the_empty_config() -> None:
    manifest, document = release_manifest(RELEASE)
    parsed = json.loads(manifest)
    assert (parsed["schemaVersion"], parsed["artifactType"]) == (2, ARTIFACT_TYPE)
    assert parsed["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert parsed["config"] == {"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest.of(EMPTY_CONFIG), "size": 2}
    assert parsed["layers"] == [{"mediaType": ARTIFACT_TYPE, "digest": Digest.of(document), "size": len(document)}]
    assert "subject" not in parsed


def test_a_manifest_reads_back_as_its_release() -> None:
    manifest, document = release_manifest(RELEASE)
    assert document_digest(manifest) == Digest.of(document)
    assert read_manifest(manifest, document) == RELEASE


@given(position=st.integers(min_value=0), flip=st.integers(min_value=1, max_value=255), in_document=st.booleans())
def test_no_byte_can_change(position: int, flip: int, in_document: bool) -> None:
    parts = list(release_manifest(RELEASE))
    content = bytearray(parts[in_document])
    content[position % len(content)] ^= flip
    parts[in_document] = bytes(content)
    with pytest.raises(ReleaseManifestInvalid):
        read_manifest(*parts)


def test_another_writing_of_the_same_release_is_refused() -> None:
    manifest, document = release_manifest(RELEASE)
    with pytest.raises(ReleaseManifestInvalid):
        read_manifest(json.dumps(json.loads(manifest)).encode(), document)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b'{"layers":[]}', b'{"layers":[{"digest":"x"}],"artifactType":"y"}', b"[" * 100_000])
def test_what_is_no_release_manifest_points_nowhere(content: bytes) -> None:
    with pytest.raises(ReleaseManifestInvalid):
        document_digest(content)
