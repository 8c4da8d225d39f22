"""How long one exchange with a registry may take in all, whoever drips: connecting, headers, redirects, a token and the body together.

A socket's own timeout starts anew with every byte. Here an exchange has a fixed time, and gains more only for bytes that really moved, at the
slowest speed that is tolerated. So a large layer over a slow line arrives, and a byte now and then ends in time.
"""

from __future__ import annotations

import ssl
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import httpcore
import httpx

_PIECE_BYTES: Final = 64 * 1024
"""How much is written between two looks at the deadline."""


class Deadline:
    """The end of one exchange."""

    def __init__(self, timeout_s: float, bytes_per_s_min: float, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._bytes_per_s_min = bytes_per_s_min
        self._until = monotonic() + timeout_s

    def left_s(self) -> float:
        """What is left; zero or less when it is over."""
        return self._until - self._monotonic()

    def moved(self, size_bytes: int) -> None:
        """Bytes that moved buy the time that they may take."""
        self._until += size_bytes / self._bytes_per_s_min


_CURRENT: Final[ContextVar[Deadline | None]] = ContextVar("registry_deadline", default=None)
"""The deadline of the exchange that this thread is making. The library hands none down to its sockets, so they look here."""


@contextmanager
def until(deadline: Deadline) -> Iterator[Deadline]:
    """Every byte that is sent or received inside the block counts against `deadline`."""
    before = _CURRENT.set(deadline)
    try:
        yield deadline
    finally:
        _CURRENT.reset(before)


class PunctualTransport(httpx.HTTPTransport):
    """A transport whose connections know the deadline."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        # httpx has no door for a network backend; httpcore, which does the work, has one.
        self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=_PunctualNetwork())


class _PunctualNetwork(httpcore.NetworkBackend):
    """Opens connections within the deadline."""

    def __init__(self) -> None:
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return _PunctualStream(self._plain.connect_tcp(host, port, _shortened(timeout), local_address, socket_options))

    def sleep(self, seconds: float) -> None:
        self._plain.sleep(seconds)


class _PunctualStream(httpcore.NetworkStream):
    """A connection that may be read and written until the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        content = self._stream.read(max_bytes, _shortened(timeout))
        _moved(len(content))
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE_BYTES):
            piece = buffer[start : start + _PIECE_BYTES]
            self._stream.write(piece, _shortened(timeout))
            _moved(len(piece))

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None) -> httpcore.NetworkStream:
        return _PunctualStream(self._stream.start_tls(ssl_context, server_hostname, _shortened(timeout)))

    def get_extra_info(self, info: str) -> typing.Any:
        return self._stream.get_extra_info(info)


def _shortened(timeout_s: float | None) -> float | None:
    """How long the next wait may be."""
    deadline = _CURRENT.get()
    if deadline is None:
        return timeout_s
    left_s = deadline.left_s()
    if left_s <= 0:
        raise httpcore.TimeoutException("the exchange took too long")
    return left_s if timeout_s is None else min(timeout_s, left_s)


def _moved(size_bytes: int) -> None:
    deadline = _CURRENT.get()
    if deadline is not None:
        deadline.moved(size_bytes)
