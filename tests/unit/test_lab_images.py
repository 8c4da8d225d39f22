"""Images are deterministic, complete in any registry, and hold what they say."""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.limits import LAYER_BYTES_MAX
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.lab.errors import LabUnsupported
from stella_pipelines.lab.images import File, Image, Link, make_image, push
from stella_pipelines.lab.ports import free_port
from stella_pipelines.lab.webapp.container import container_image, static_busybox
from stella_pipelines.lab.webapp.pages import NEEDED_SETTING, VERSIONS
from stella_pipelines.lab.webapp.script import script_image

FILES = [[File("b/two", b"2", 0o755), File("a", b"1"), Link("b/link", "two")]]


def test_the_same_files_give_the_same_bytes_in_any_order() -> None:
    one, other = make_image("linux/amd64", FILES, {"Cmd": ["/a"]}), make_image("linux/amd64", [FILES[0][::-1]], {"Cmd": ["/a"]})
    assert (one.manifest, one.config, one.layers) == (other.manifest, other.config, other.layers)


@pytest.mark.parametrize(
    ("platform", "files", "settings"),
    [
        ("linux/arm64", FILES, {"Cmd": ["/a"]}),
        ("linux/amd64", [[File("a", b"1")]], {"Cmd": ["/a"]}),
        ("linux/amd64", FILES, {"Cmd": ["/b"]}),
    ],
)
def test_any_difference_gives_another_digest(platform: str, files: list[list[File | Link]], settings: dict[str, object]) -> None:
    assert make_image(platform, files, settings).digest != make_image("linux/amd64", FILES, {"Cmd": ["/a"]}).digest


def test_a_layer_has_its_folders_first_and_nothing_of_the_builder() -> None:
    entries = members(make_image("linux/amd64", FILES, {}))
    assert [entry.name for entry in entries] == ["b", "a", "b/link", "b/two"]
    assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) for entry in entries} == {(0, 0, "", "", 0)}


def test_the_config_names_the_unzipped_layers() -> None:
    image = make_image("linux/amd64", FILES, {})
    assert json.loads(image.config)["rootfs"]["diff_ids"] == [Digest.of(gzip.decompress(layer)) for layer in image.layers]


def test_a_pushed_image_is_complete_and_its_tag_leads_to_the_index(tmp_path: Path) -> None:
    registry, multi = LayoutRegistry(tmp_path / "images"), script_image(VERSIONS[0])
    assert push(registry, "shop/web", "v1", multi) == multi.digest
    assert registry.manifest("shop/web", "v1").content == multi.index
    named = [entry["digest"] for entry in json.loads(multi.index)["manifests"]]
    assert named == [image.digest for image in multi.images]
    for image in multi.images:
        document = json.loads(registry.manifest("shop/web", image.digest).content)
        for part in (document["config"], *document["layers"]):
            assert len(registry.blob("shop/web", Digest(part["digest"]), LAYER_BYTES_MAX)) == part["size"]


def test_the_versions_are_different_images() -> None:
    assert len({script_image(version).digest for version in VERSIONS}) == len(VERSIONS)
    assert len({container_image(version, b"busybox", "linux/amd64").digest for version in VERSIONS}) == len(VERSIONS)


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64", "linux/riscv64"])
def test_the_container_image_has_the_machines_platform_and_a_second_one(platform: str) -> None:
    multi = container_image(VERSIONS[0], b"busybox", platform)
    assert len(multi.images) == 2
    assert json.loads(multi.image(platform).config)["config"]["Entrypoint"] == ["/start.sh"]
    assert "/health" in json.loads(multi.image(platform).config)["config"]["Healthcheck"]["Test"][-1]


def test_a_dynamic_busybox_is_refused(tmp_path: Path) -> None:
    (tmp_path / "busybox").write_bytes(b"\x7fELF" + bytes(700) + b"/lib64/ld-linux-x86-64.so.2\0")
    with pytest.raises(LabUnsupported, match="not a static program"):
        static_busybox(tmp_path / "busybox")


def test_the_script_serves_its_version(tmp_path: Path) -> None:
    with serving(tmp_path, "v2", {}) as address:
        assert [get(f"{address}{page}") for page in ("/version", "/health", "/nothing")] == [(200, "v2\n"), (200, "ok\n"), (404, "not found\n")]
        assert "The shop, v2" in get(f"{address}/")[1]


@pytest.mark.parametrize(("setting", "status"), [({}, 404), ({NEEDED_SETTING: "http://catalogue.example"}, 200)])
def test_v3_is_only_healthy_with_its_setting(tmp_path: Path, setting: dict[str, str], status: int) -> None:
    with serving(tmp_path, "v3", setting) as address:
        assert get(f"{address}/version") == (200, "v3\n")
        assert get(f"{address}/health")[0] == status


def members(image: Image) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(image.layers[0]))) as tar:
        return tar.getmembers()


@contextmanager
def serving(folder: Path, name: str, setting: dict[str, str]) -> Iterator[str]:
    """Unpack a version's only layer and run its entrypoint, as a process target would."""
    image = script_image(next(version for version in VERSIONS if version.name == name)).images[0]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(image.layers[0]))) as tar:
        tar.extractall(folder, filter="data")
    port = free_port(["127.0.0.1"], 18080 + os.getpid() % 1000)
    environ = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PORT": str(port), "HOST": "127.0.0.1", **setting}
    process = subprocess.Popen([str(folder / "app" / "server.py")], env=environ, stderr=subprocess.DEVNULL)
    try:
        yield wait_for(f"http://127.0.0.1:{port}")
        process.terminate()
        assert process.wait(timeout=5) == 0
    finally:
        process.kill()
        process.wait()


def wait_for(address: str) -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            get(f"{address}/version")
        except urllib.error.URLError:
            time.sleep(0.02)
        else:
            return address
    raise AssertionError(f"{address} does not answer")


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
