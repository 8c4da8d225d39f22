"""The Docker connector's pure parts: versions, words of the engine, proofs, labels, stickers."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from docker.errors import APIError

from stella_pipelines.connectors.docker import labels
from stella_pipelines.connectors.docker.client import agreed_version
from stella_pipelines.connectors.docker.errors import WORDS_MAX, ContainerMissing, connector_error, image_unavailable
from stella_pipelines.connectors.docker.instance import Instance, newest_first, read_instance
from stella_pipelines.connectors.docker.observation import newest_running, observed, platform_of, uses_containerd_store
from stella_pipelines.connectors.docker.pulling import Image, require_proof, require_success
from stella_pipelines.connectors.docker.sticker import STICKER_NAME, packed, unpacked
from stella_pipelines.connectors.port import (
    ComponentSpec,
    ConnectorError,
    DigestMismatch,
    Health,
    ImageUnavailable,
    TargetDiskFull,
    TargetIdentityChanged,
    TargetRefused,
    TargetUnreachable,
)
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import STICKER_BYTES_MAX
from stella_pipelines.environments.model import HealthCheck

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLATFORM, CONFIG, INDEX, OTHER = (Digest.of(name) for name in (b"platform", b"config", b"index", b"other"))
REPOSITORY = "registry.example:5000/shop/web"


def component(repository: str = REPOSITORY) -> ComponentSpec:
    return ComponentSpec(
        name="web", repository=repository, index_digest=INDEX, platform_digest=PLATFORM, config_digest=CONFIG, health=HealthCheck(), stop_timeout_s=1
    )


def api_error(status: int, words: str) -> APIError:
    response = requests.Response()
    response.status_code = status
    return APIError("failed", response=response, explanation=words)


def instance(number: int = 1, *, status: str = "running", health: str | None = None, **other: str) -> Instance:
    named = {labels.COMPONENT: "web", labels.DEPLOYMENT: f"dep_{number}", labels.FENCE: str(number), labels.PLATFORM_DIGEST: PLATFORM, **other}
    return Instance(
        id=f"id-{number}",
        image_id=CONFIG,
        labels=named,
        created=f"2026-01-0{number}T00:00:00Z",
        status=status,
        was_started=True,
        exit_code=0,
        error="",
        health=health,
        restart_policy="no",
        stop_timeout_s=10,
    )


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize(
    ("newest", "oldest", "agreed"),
    [
        ("1.41", "1.12", (1, 41)),
        ("1.44", "1.24", (1, 44)),
        ("1.50", "1.24", (1, 44)),
        ("1.52", "1.44", (1, 44)),
        ("1.43", "", (1, 43)),
    ],
)
def test_engines_from_20_10_on_are_spoken_to(newest: str, oldest: str, agreed: tuple[int, int]) -> None:
    assert agreed_version(newest, oldest) == agreed


@pytest.mark.parametrize(("newest", "oldest"), [("1.40", "1.12"), ("1.60", "1.45"), ("", ""), ("two", "1.12"), ("1.", "1.2")])
def test_other_engines_are_refused(newest: str, oldest: str) -> None:
    with pytest.raises(TargetRefused):
        agreed_version(newest, oldest)


@pytest.mark.parametrize(
    ("version", "machine", "platform"),
    [
        ({"Os": "linux", "Arch": "amd64"}, "x86_64", "linux/amd64"),
        ({"Os": "linux", "Arch": "arm64"}, "aarch64", "linux/arm64"),
        ({"Os": "linux", "Arch": "arm"}, "armv7l", "linux/arm/v7"),
        ({"Os": "linux", "Arch": "arm"}, "unknown", "linux/arm"),
    ],
)
def test_the_platform_is_named_as_images_name_it(version: dict[str, str], machine: str, platform: str) -> None:
    assert platform_of(version, {"Architecture": machine}) == platform


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (api_error(500, "write /var/lib/docker/x: no space left on device"), TargetDiskFull),
        (api_error(404, "No such container: abc"), ContainerMissing),
        (api_error(403, "authorization denied by plugin"), TargetRefused),
        (requests.ConnectionError("Connection refused"), TargetUnreachable),
        (requests.ReadTimeout("timed out"), TargetUnreachable),
        (requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"), TargetIdentityChanged),
        (requests.exceptions.SSLError("tlsv13 alert certificate required"), TargetRefused),
        (requests.exceptions.SSLError("EOF occurred in violation of protocol"), TargetUnreachable),
        (ValueError("Expecting value: line 1"), TargetRefused),
        (FileNotFoundError(2, "No such file or directory"), TargetUnreachable),
    ],
)
def test_library_errors_become_ours(error: Exception, kind: type[ConnectorError]) -> None:
    translated = connector_error(error, "host-1", "looking")
    assert type(translated) is kind
    assert "host-1" in translated.what
    assert translated.retryable == (kind is TargetUnreachable)


def test_the_engines_words_are_bounded() -> None:
    assert len(connector_error(api_error(500, "x " * 10_000), "host-1", "looking").what) < WORDS_MAX + 100


def test_a_full_disk_is_told_from_a_missing_image() -> None:
    assert isinstance(image_unavailable("host-1", "web", "failed to register layer: No space left on device"), TargetDiskFull)
    assert isinstance(image_unavailable("host-1", "web", "manifest unknown"), ImageUnavailable)


# ---------------------------------------------------------------- pulling


def pull(*lines: dict[str, Any]) -> None:
    require_success(lines, "host-1", component().image(), PLATFORM)


def test_a_pull_that_ends_well_is_a_success() -> None:
    pull({"status": "Pulling from shop/web"}, {"status": f"Digest: {PLATFORM}"}, {"status": "Status: Downloaded newer image"})


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ({"error": "manifest unknown", "errorDetail": {"message": "manifest unknown"}}, ImageUnavailable),
        ({"errorDetail": {"message": "write: no space left on device"}}, TargetDiskFull),
        ({"error": "unauthorized"}, ImageUnavailable),
        ({"status": f"Digest: {OTHER}"}, DigestMismatch),
    ],
)
def test_a_failure_in_the_middle_of_the_progress_is_a_failure(line: dict[str, Any], kind: type[ConnectorError]) -> None:
    rest = iter([line, {"status": "Status: Downloaded newer image"}])
    with pytest.raises(kind):
        require_success(rest, "host-1", component().image(), PLATFORM)
    assert list(rest) == []  # read to the end, so that the connection is free again


def test_an_image_is_proven_by_its_digests_and_its_content() -> None:
    require_proof(Image(id=CONFIG, repo_digests=(f"{REPOSITORY}@{PLATFORM}",)), component(), "host-1", containerd_store=False)


@pytest.mark.parametrize("image_id", [PLATFORM, INDEX])
def test_a_containerd_store_names_images_by_their_manifest(image_id: Digest) -> None:
    image = Image(id=image_id, repo_digests=(f"{REPOSITORY}@{PLATFORM}",))
    require_proof(image, component(), "host-1", containerd_store=True)
    with pytest.raises(DigestMismatch):
        require_proof(image, component(), "host-1", containerd_store=False)


@pytest.mark.parametrize(
    "image",
    [
        Image(id=OTHER, repo_digests=(f"{REPOSITORY}@{PLATFORM}",)),
        Image(id=CONFIG, repo_digests=(f"{REPOSITORY}@{OTHER}",)),
        Image(id=CONFIG, repo_digests=(f"elsewhere.example/shop/web@{PLATFORM}",)),
        Image(id=CONFIG, repo_digests=()),
    ],
)
@pytest.mark.parametrize("containerd_store", [True, False])
def test_an_image_that_the_engine_cannot_vouch_for_is_refused(image: Image, containerd_store: bool) -> None:
    with pytest.raises(DigestMismatch):
        require_proof(image, component(), "host-1", containerd_store=containerd_store)


@pytest.mark.parametrize(("repository", "familiar"), [("docker.io/library/nginx", "nginx"), ("docker.io/grafana/loki", "grafana/loki")])
def test_images_of_docker_hub_are_known_under_their_short_names(repository: str, familiar: str) -> None:
    assert Image(id=CONFIG, repo_digests=(f"{familiar}@{PLATFORM}",)).proves(repository, PLATFORM)
    assert not Image(id=CONFIG, repo_digests=(f"evil/{familiar}@{PLATFORM}",)).proves(repository, PLATFORM)


def test_the_image_store_is_recognised() -> None:
    assert uses_containerd_store({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]})
    assert not uses_containerd_store({"DriverStatus": [["Backing Filesystem", "extfs"]]})
    assert not uses_containerd_store({})


# ---------------------------------------------------------------- observing


def test_a_label_alone_proves_nothing() -> None:
    proven = observed(
        "host-1", NOW, [instance()], {CONFIG: Image(id=CONFIG, repo_digests=(f"{REPOSITORY}@{PLATFORM}",))}, None, fence=0, containerd_store=False
    )
    claimed = observed("host-1", NOW, [instance()], {CONFIG: Image(id=CONFIG, repo_digests=(f"{REPOSITORY}@{OTHER}",))}, None, fence=0, containerd_store=False)
    image_gone = observed("host-1", NOW, [instance()], {CONFIG: None}, None, fence=0, containerd_store=False)
    assert [one.components[0].platform_digest for one in (proven, claimed, image_gone)] == [PLATFORM, None, None]


@pytest.mark.parametrize("label", ["", "sha256:short", "latest", "sha256:" + "Z" * 64])
def test_labels_that_are_no_digests_are_unknown(label: str) -> None:
    found = observed("host-1", NOW, [instance(**{labels.PLATFORM_DIGEST: label})], {CONFIG: None}, None, fence=0, containerd_store=False)
    assert found.components[0].platform_digest is None


@pytest.mark.parametrize(("label", "fence"), [("7", 7), ("", 0), ("-1", 0), ("x", 0), ("٣", 0)])
def test_fences_that_cannot_be_read_are_none(label: str, fence: int) -> None:
    assert labels.fence_of({labels.FENCE: label}) == fence


def test_what_runs_comes_first_and_the_latest_deployment_speaks() -> None:
    ones = [instance(1), instance(2, status="exited"), instance(3, status="created")]
    assert [one.id for one in newest_first(ones)] == ["id-1", "id-3", "id-2"]
    latest = newest_running([*ones, instance(4)])
    assert latest is not None
    assert latest.id == "id-4"
    assert newest_running(ones[1:]) is None


@pytest.mark.parametrize(
    ("status", "health", "seen"),
    [
        ("running", "healthy", Health.HEALTHY),
        ("running", "starting", Health.STARTING),
        ("running", "unhealthy", Health.UNHEALTHY),
        ("running", "something new", Health.UNKNOWN),
        ("running", None, None),
        ("created", None, Health.STARTING),
        ("exited", "healthy", Health.UNHEALTHY),
        ("restarting", None, Health.UNHEALTHY),
        ("paused", "healthy", Health.UNHEALTHY),
        ("dead", None, Health.UNHEALTHY),
    ],
)
def test_a_containers_health_is_read_with_its_state(status: str, health: str | None, seen: Health | None) -> None:
    assert instance(status=status, health=health).container_health() is seen


def test_an_engines_answer_is_read_with_its_gaps() -> None:
    answer = {
        "Id": "abc",
        "Image": CONFIG,
        "Created": "2026-01-01T00:00:00Z",
        "State": {"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"},
        "Config": {"Labels": None},
    }
    found = read_instance(answer)
    assert (found.labels, found.was_started, found.health, found.restart_policy, found.stop_timeout_s) == ({}, False, None, "no", 10)


# ---------------------------------------------------------------- stickers


def test_a_sticker_comes_out_as_it_went_in() -> None:
    archive = packed(b'{"release":"shop-1"}')
    assert unpacked([archive[:600], archive[600:]]) == b'{"release":"shop-1"}'
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert [(member.name, member.mode, member.mtime) for member in tar] == [(STICKER_NAME, 0o444, 0)]


def test_what_is_no_sticker_is_none() -> None:
    link = tarfile.TarInfo(STICKER_NAME)
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(link)
    assert unpacked([archive.getvalue()]) is None
    assert unpacked([b"no archive"]) is None
    assert unpacked([]) is None
    assert unpacked([packed(b"x" * (STICKER_BYTES_MAX + 1))]) is None
    assert unpacked(iter([b"\0" * STICKER_BYTES_MAX] * 1000)) is None


def test_container_names_differ_between_deployments() -> None:
    assert labels.container_name("host-1", "web", "dep_01jdz00000000000000000abcd") == "stella.host-1.web.0000abcd"
