"""A target whose disk is really full: an engine on a small file system of its own, filled to the last block."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from stella_pipelines.connectors.port import TargetDiskFull
from stella_pipelines.environments.model import DockerAccess
from stella_pipelines.lab.engines import Engine, EngineSettings
from stella_pipelines.lab.lab import Lab
from stella_pipelines.lab.rig import KEY_FILE_BEFORE, engine_release
from tests.support.connector_places import Place, docker_place, effect

pytest_plugins = ("tests.support.lab",)
pytestmark = pytest.mark.engines
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
DISK_BYTES: Final = 64 * 1024 * 1024
ROOM_LEFT_BYTES: Final = 256 * 1024
"""Enough for the engine to keep its books, and less than the image."""


@pytest.fixture
def small_disk(lab: Lab) -> Iterator[Path]:
    """A file system of its own. Beside the lab, since an engine's socket has to fit into a path."""
    folder = lab.folder / "small-disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture
def place(lab: Lab, small_disk: Path) -> Iterator[Place]:
    """An engine whose images are on that disk."""
    assert lab.rig is not None
    like = lab.rig.engines["dev"].settings
    settings = replace(like, name="small", folder=small_disk, bridge="none", storage_driver="vfs", tls=None)
    assert isinstance(settings, EngineSettings)
    engine = Engine(settings, has_key_file=engine_release() < KEY_FILE_BEFORE)
    engine.start()
    try:
        engine.wait()
        usual = docker_place(lab, "dev")
        yield replace(usual, target=usual.target.model_copy(update={"docker": DockerAccess(endpoint=f"unix://{settings.socket}")}))
    finally:
        engine.stop()


def test_a_pull_onto_a_full_disk_is_told_and_goes_through_once_there_is_room(place: Place, small_disk: Path) -> None:
    async def work() -> None:
        async with place.connector() as connector:
            fill(small_disk / "somebody-elses-data")
            with pytest.raises(TargetDiskFull) as refused:
                await connector.prepare(place.component("v1"), effect(1))
            assert "no space left" in refused.value.what
            assert (await connector.observe(NOW)).components == ()
            assert not await connector.has_image(place.image("v1").digest, place.component("v1").repository)
            (small_disk / "somebody-elses-data").unlink()
            await connector.prepare(place.component("v1"), effect(1))
            assert await connector.has_image(place.image("v1").digest, place.component("v1").repository)

    asyncio.run(work())


def fill(file: Path) -> None:
    """Leave as good as nothing free."""
    free = os.statvfs(file.parent)
    with file.open("wb") as content:
        os.posix_fallocate(content.fileno(), 0, free.f_bavail * free.f_frsize - ROOM_LEFT_BYTES)
