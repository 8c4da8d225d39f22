"""A pushed release in a real registry, read by an independent OCI client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.clock import SystemClock
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.identifiers import SystemIdentifiers
from stella_pipelines.core.references import ImageReference
from stella_pipelines.evidence.service import Evidence
from stella_pipelines.integrations.registries.copy import copy_image
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.releases.manifest import ARTIFACT_TYPE
from stella_pipelines.releases.service import Releases
from stella_pipelines.releases.transfer import read_release
from stella_pipelines.store.database import Store
from tests.support.evidence import signing_key
from tests.support.oci import push_image, push_index
from tests.support.registries import RunningRegistry, plain_registry, require_program

ALICE = Actor(name="alice", via="test")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with plain_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


def skopeo(*words: str) -> bytes:
    """Run skopeo and return what it prints."""
    program = require_program("skopeo", "skopeo")
    done = subprocess.run([program, *words], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_skopeo_reads_the_identity_of_a_pushed_release(running: RunningRegistry, store: Store) -> None:
    registry = running.client()
    path = f"releases/at_{datetime.now(UTC):%H%M%S%f}"
    push_image(registry, "shop/web", "1.0")
    releases = Releases(store, Evidence(signing_key()), SystemClock(), SystemIdentifiers())
    images = {"web": ImageReference.parse(f"{running.host}/shop/web:1.0")}
    record = releases.create(ALICE, name="shop", version="1.0", images=images, registries=lambda _: registry, finalize=True)
    assert record.digest is not None
    pushed = releases.push(ALICE, record.digest, registry, path, running.host)
    by_digest = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{pushed}")
    by_tag = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{running.host}/{path}:1.0")
    assert Digest.of(by_digest) == Digest.of(by_tag) == record.digest
    assert json.loads(by_digest)["artifactType"] == ARTIFACT_TYPE
    assert read_release(registry, path, record.digest) == record.release


def test_skopeo_copies_between_our_layout_folder_and_a_registry(running: RunningRegistry, tmp_path: Path) -> None:
    """The folder that we write is one that others read, and the other way round."""
    registry, folder = running.client(), LayoutRegistry(tmp_path / "ours")
    images = {name: push_image(registry, "shop/multi", None, text=name, platform=name) for name in ("linux/amd64", "linux/arm64")}
    index = push_index(registry, "shop/multi", "1.0", images)
    copy_image(registry, "shop/multi", index, folder, "shop/multi", tag="1.0")
    copy_image(registry, "shop/multi", index, folder, "shop/second", tag="1.0")
    skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{tmp_path}/ours:shop/multi:1.0", f"docker://{running.host}/shop/back:1.0")
    assert registry.manifest("shop/back", "1.0").digest == index
    skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{running.host}/shop/multi:1.0", f"oci:{tmp_path}/theirs:shop/multi:1.0")
    assert LayoutRegistry(tmp_path / "theirs").manifest("shop/multi", "1.0").digest == index
