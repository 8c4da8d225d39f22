"""The docker library's way over a unix socket, with one repair: a socket on which nobody listens is closed at once, and not left to the collector."""

from __future__ import annotations

import socket
from typing import Any

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool


class _Connection(UnixHTTPConnection):
    def connect(self) -> None:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.settimeout(self.timeout)
            opened.connect(self.unix_socket)
        except BaseException:
            opened.close()
            raise
        self.sock = opened


class _Pool(UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:
        timeout: Any = self.timeout  # Any: the library hands urllib3's Timeout on to where its stub wants seconds; the next request replaces it
        return _Connection(self.base_url, self.socket_path, timeout)


class UnixSocketAdapter(UnixHTTPAdapter):
    """What `EngineClient` mounts in place of the library's own."""

    def get_connection(self, url: Any, proxies: Any = None) -> _Pool:  # noqa: ARG002 - a unix socket has no proxy
        with self.pools.lock:
            pool = self.pools.get(url)
            if pool is None:
                pool = self.pools[url] = _Pool(url, self.socket_path, self.timeout, maxsize=self.max_pool_size)
        return pool
