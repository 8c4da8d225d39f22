"""The process connector's rules: which command an image becomes, which images are believed, when a check has failed."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.connectors.kinds import Surroundings
from stella_pipelines.connectors.port import ComponentSpec, DigestMismatch, Health, ImageUnavailable, StartFailed, TargetRefused
from stella_pipelines.connectors.process.command import command_of, healthcheck_of
from stella_pipelines.connectors.process.connector import ProcessConnector
from stella_pipelines.connectors.process.healthcheck import look, start_window_s
from stella_pipelines.connectors.process.images import Healthcheck, Images, RunSettings
from stella_pipelines.connectors.process.keeper import _copy_output
from stella_pipelines.connectors.process.processes import Command
from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import HealthCheck, Port, ProcessAccess, Target
from stella_pipelines.integrations.registries.layout import LayoutRegistry
from stella_pipelines.integrations.registries.port import OCI_MANIFEST, ImageNotFound, Manifest, RegistryUnreachable
from stella_pipelines.lab.images import File, Image, make_image
from tests.support.connector_places import effect

SECOND_NS = 1_000_000_000


def component(image: Image | None = None, **changes: Any) -> ComponentSpec:
    platform, config = (image.digest, image.config_digest) if image else (Digest.of(b"platform"), Digest.of(b"config"))
    spec = ComponentSpec(
        name="web",
        repository="registry.lab/shop/web",
        index_digest=Digest.of(b"index"),
        platform_digest=platform,
        config_digest=config,
        ports=(Port(container=8080, host=9001), Port(container=8081, host=9002, address="127.0.0.9")),
        health=HealthCheck(),
        stop_timeout_s=1,
    )
    return spec.model_copy(update=changes)


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A small root file system: /app/web, /bin/tool → /app/web, /app/data (not executable)."""
    for name, mode in (("app/web", 0o755), ("app/data", 0o644)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").symlink_to("../app/web")
    return tmp_path


def settings(**given: Any) -> RunSettings:
    return RunSettings.model_validate(given)


def command(rootfs: Path, variables: dict[str, str] | None = None, **given: Any) -> Command:
    return command_of(settings(**given), rootfs, component(), variables or {}, "127.0.0.8")


# ---------------------------------------------------------------- commands


def test_an_entrypoint_and_its_paths_are_found_inside_the_image(rootfs: Path) -> None:
    made = command(rootfs, Entrypoint=["/app/web", "--data"], Cmd=["/app/data", "/etc/hostname", "/", "plain"], WorkingDir="/app")
    assert made.file == str(rootfs / "app/web")
    assert made.argv == (str(rootfs / "app/web"), "--data", str(rootfs / "app/data"), "/etc/hostname", "/", "plain")
    assert made.working_directory == str(rootfs / "app")


@pytest.mark.parametrize(("word", "directory"), [("tool", "/"), ("./web", "/app"), ("../bin/tool", "/app"), ("/bin/tool", "/")])
def test_a_program_is_found_as_the_image_would_find_it(rootfs: Path, word: str, directory: str) -> None:
    assert command(rootfs, Cmd=[word], WorkingDir=directory).file == str(rootfs / "app/web")


@pytest.mark.parametrize("words", [[], ["/nowhere"], ["sh"], ["/app/data"], ["/app"], ["../../../../bin/sh"]])
def test_what_is_not_in_the_image_does_not_start(rootfs: Path, words: list[str]) -> None:
    with pytest.raises(StartFailed):
        command(rootfs, Cmd=words)


def test_a_component_is_told_where_to_listen(rootfs: Path) -> None:
    made = command(rootfs, {"PORT": "8080", "MODE": "component"}, Cmd=["/app/web"], Env=["MODE=image", "KEEP=a=b", "broken"]).environment
    assert {name: made[name] for name in ("MODE", "KEEP", "PORT", "HOST", "STELLA_PORT_8080", "STELLA_PORT_8081", "STELLA_ROOT")} == {
        "MODE": "component",
        "KEEP": "a=b",
        "PORT": "9001",
        "HOST": "127.0.0.8",
        "STELLA_PORT_8080": "9001",
        "STELLA_PORT_8081": "9002",
        "STELLA_ROOT": str(rootfs),
    }
    assert "broken" not in made


# ---------------------------------------------------------------- health


@pytest.mark.parametrize("test", [[], ["NONE"], ["CMD"], ["SOMETHING", "else"]])
def test_an_image_without_a_check_has_none(rootfs: Path, test: list[str]) -> None:
    assert healthcheck_of(settings(Healthcheck={"Test": test}), rootfs, component(), {}, "127.0.0.8") is None
    assert healthcheck_of(settings(), rootfs, component(), {}, "127.0.0.8") is None


def shell(words: str) -> Command:
    return Command(file="/bin/sh", argv=("sh", "-c", words), environment={"PATH": "/bin:/usr/bin"}, working_directory="/")


def test_a_failure_counts_when_an_engine_would_count_it(rootfs: Path) -> None:
    check = Healthcheck.model_validate({"Interval": SECOND_NS, "Retries": 2, "StartPeriod": 3 * SECOND_NS, "Timeout": SECOND_NS})
    passing, failing, hanging = (shell(words) for words in ("true", "false", "sleep 5"))
    assert start_window_s(check) == 5
    assert start_window_s(Healthcheck()) == 90
    assert look(passing, check, 0) is look(passing, check, 99) is Health.HEALTHY
    assert [look(failing, check, age_s) for age_s in (4.9, 5.0)] == [Health.STARTING, Health.UNHEALTHY]
    assert look(hanging, check.model_copy(update={"timeout_ns": SECOND_NS // 10}), 99) is Health.UNHEALTHY


# ---------------------------------------------------------------- images


def images_with(folder: Path, image: Image) -> Images:
    registry = LayoutRegistry(folder / "registry")
    for blob in (image.config, *image.layers):
        registry.push_blob("shop/web", blob)
    registry.push_manifest("shop/web", image.manifest, OCI_MANIFEST, "v1")
    return Images(folder / "target", lambda host: registry, "host-1")


def test_an_image_is_complete_or_not_there(tmp_path: Path) -> None:
    image = make_image("linux/amd64", [[File("app/web", b"1", 0o755)], [File("app/data", b"2")]], {"Cmd": ["/app/web"]})
    images = images_with(tmp_path, image)
    assert images.config_digest(image.digest) is None
    images.pull(component(image))
    images.pull(component(image))
    assert images.config_digest(image.digest) == image.config_digest
    assert (images.rootfs(image.config_digest) / "app/data").read_bytes() == b"2"
    assert images.config(image.config_digest).config.command == ("/app/web",)
    assert [path.name for path in (tmp_path / "target/images").iterdir()] == [image.config_digest.hex]


def test_a_manifest_that_was_changed_on_the_target_proves_nothing(tmp_path: Path) -> None:
    image = make_image("linux/amd64", [[File("a", b"1")]], {})
    images = images_with(tmp_path, image)
    images.pull(component(image))
    path = tmp_path / "target/manifests" / f"{image.digest.hex}.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")
    assert images.config_digest(image.digest) is None


def test_layers_that_are_not_the_configs_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    honest = make_image("linux/amd64", [[File("a", b"1")]], {})
    other = make_image("linux/amd64", [[File("a", b"2")]], {})
    forged = Image("linux/amd64", honest.manifest.replace(*(Digest.of(image.layers[0]).encode() for image in (honest, other))), honest.config, other.layers)
    images = images_with(tmp_path, forged)
    with pytest.raises(DigestMismatch):
        images.pull(component(forged))
    assert list((tmp_path / "target/images").iterdir()) == []
    assert images.config_digest(forged.digest) is None


@pytest.mark.parametrize("document", [{}, {"config": {}, "layers": []}, {"config": {"digest": "latest"}, "layers": []}, []])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, document: Any) -> None:
    registry = FixedRegistry(canonical_json(document))
    images = Images(tmp_path, lambda host: registry, "host-1")  # type: ignore[arg-type, return-value]  # a stand-in with the one method that is used
    with pytest.raises(ImageUnavailable):
        images.pull(component(platform_digest=Digest.of(canonical_json(document))))


class FixedRegistry:
    """Serves one manifest, whatever is asked for."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def manifest(self, path: str, reference: Digest) -> Any:
        return Manifest(media_type=OCI_MANIFEST, digest=Digest.of(self.content), content=self.content)


@pytest.mark.parametrize("error", [ImageNotFound, RegistryUnreachable])
def test_registry_errors_say_that_the_image_is_unavailable(tmp_path: Path, error: type[Exception]) -> None:
    def broken(host: str) -> Any:
        raise error("the registry said so", next_step="Wait.")

    with pytest.raises(ImageUnavailable, match="the registry said so"):
        Images(tmp_path, broken, "host-1").pull(component())


# ---------------------------------------------------------------- the rest


def test_names_that_would_leave_the_folder_are_refused(tmp_path: Path) -> None:
    target = Target(name="host-1", environment="dev", kind="process", process=ProcessAccess(directory=str(tmp_path / "host")))
    surroundings = Surroundings(lambda host: LayoutRegistry(tmp_path / "registry"), {})

    async def run() -> None:
        async with ProcessConnector.for_target(target, surroundings) as connector:
            with pytest.raises(TargetRefused):
                await connector.restore("../../etc", "dep_1", effect(1))

    asyncio.run(run())


def test_a_components_output_is_bounded_and_ends_with_its_end(tmp_path: Path) -> None:
    log, bytes_max = tmp_path / "output.log", 200_000
    script = "yes | head -c 1000000; echo; echo the end"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE) as process:
        _copy_output(process, str(log), bytes_max)
    kept = (tmp_path / "output.log.1").read_bytes() + log.read_bytes()
    assert kept.endswith(b"the end\n")
    assert 0 < len(kept) <= bytes_max + 65536
