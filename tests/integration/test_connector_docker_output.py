"""A container that wrote lines without an end, or an engine that sends without one: what is read stays bounded, and its end arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from stella_pipelines.connectors.docker.client import EngineClient
from stella_pipelines.connectors.docker.engine import Engine
from stella_pipelines.connectors.docker.errors import ContainerMissing
from stella_pipelines.connectors.docker.output import LOG_READ_BYTES_MAX, unframed
from stella_pipelines.connectors.threads import Threads
from tests.support.lying_registry import LyingRegistry, answering

AT = "/v1.41/containers/abc/logs"


@pytest.fixture
def server() -> Iterator[LyingRegistry]:
    with LyingRegistry() as running:
        yield running


def frame(content: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(content).to_bytes(4, "big") + content


def logs(server: LyingRegistry, bytes_max: int) -> bytes:
    async def work() -> bytes:
        threads = Threads("test")
        try:
            return await Engine(client, "host-1", threads).logs("abc", bytes_max)
        finally:
            await threads.close()

    client = EngineClient(f"http://{server.host}", "1.41")
    try:
        return asyncio.run(work())
    finally:
        client.close()


def test_both_streams_arrive_in_order_and_end_with_the_end(server: LyingRegistry) -> None:
    server.behaviours[AT] = answering(frame(b"one\n") + frame(b"two\n", 2) + frame(b"") + frame(b"three\n"))
    assert logs(server, 1000) == b"one\ntwo\nthree\n"
    assert logs(server, 7) == b"\nthree\n"


def test_an_output_without_an_end_is_read_up_to_the_limit(server: LyingRegistry) -> None:
    server.behaviours[AT] = server.endless
    before = time.monotonic()
    assert logs(server, 1000) == b"x" * 1000
    assert time.monotonic() - before < 20


def test_one_line_larger_than_the_limit_is_cut_off(server: LyingRegistry) -> None:
    server.behaviours[AT] = answering(frame(b"y" * (LOG_READ_BYTES_MAX + 1_000_000)))
    assert logs(server, 2 * LOG_READ_BYTES_MAX).strip(b"y") == b""
    assert 0 < len(logs(server, 2 * LOG_READ_BYTES_MAX)) <= LOG_READ_BYTES_MAX + 16 * 1024


def test_a_container_that_is_gone_has_no_output(server: LyingRegistry) -> None:
    server.behaviours[AT] = answering(b'{"message": "No such container: abc"}', status=404, content_type="application/json")
    with pytest.raises(ContainerMissing, match="No such container"):
        logs(server, 1000)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", b""),
        (b"a terminal's output", b"a terminal's output"),
        (frame(b"whole") + frame(b"cut off")[:-3], b"wholecut "),
        (frame(b"whole") + b"\x01\x00", b"whole"),
        (frame(b"whole") + b"nonsense", b"whole"),
    ],
)
def test_frames(content: bytes, expected: bytes) -> None:
    assert unframed(content) == expected
