"""The end of a container's output. What is read from the engine is bounded in bytes and in time, whatever the container wrote.

The library reads whole lines into memory, and waits without a limit when it streams; so the request is made here.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import quote

import requests
from docker.errors import create_api_error_from_http_exception

from stella_pipelines.connectors.docker.client import EngineClient
from stella_pipelines.core.limits import ENGINE_TIMEOUT_S

LOG_LINES_MAX: Final = 500
"""How many of a container's last lines are asked for."""
LOG_READ_BYTES_MAX: Final = 9 * 1024 * 1024
"""How much is read of them. Engines keep lines in pieces of 16 KiB and count the pieces, so what they answer fits; of what does not, the rest is not read."""
_CHUNK_BYTES: Final = 16 * 1024
_FRAME_HEADER_BYTES: Final = 8


def last_output(client: EngineClient, container_id: str, bytes_max: int) -> bytes:
    """The last `bytes_max` bytes of a container's output, both streams in order."""
    asked = {"stdout": 1, "stderr": 1, "tail": LOG_LINES_MAX}
    url = f"{client.base_url}/v{client.api_version}/containers/{quote(container_id, safe='')}/logs"
    with client.get(url, params=asked, stream=True, timeout=ENGINE_TIMEOUT_S) as response:
        try:
            response.raise_for_status()
        except requests.HTTPError as error:
            create_api_error_from_http_exception(error)
        return unframed(_read(response, time.monotonic() + ENGINE_TIMEOUT_S))[-bytes_max:]


def unframed(content: bytes) -> bytes:
    """The bytes of both streams without the engine's frames, the last of which may be cut off. A terminal's output has no frames. Pure."""
    parts: list[bytes] = []
    position = 0
    while position < len(content):
        header = content[position : position + _FRAME_HEADER_BYTES]
        if header[0] > 2 or any(header[1:4]):
            return content if position == 0 else b"".join(parts)
        start, position = position + _FRAME_HEADER_BYTES, position + _FRAME_HEADER_BYTES + int.from_bytes(header[4:8], "big")
        parts.append(content[start:position])
    return b"".join(parts)


def _read(response: requests.Response, deadline: float) -> bytes:
    content = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        content += chunk
        if len(content) >= LOG_READ_BYTES_MAX or time.monotonic() > deadline:
            break
    return bytes(content)
