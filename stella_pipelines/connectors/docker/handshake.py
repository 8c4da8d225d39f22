"""Asking an engine what it has against us, when a TLS connection fails. Used only after a failure.

An engine that does not accept our certificate says so in an alert and hangs up. A client that has begun to send its request by then
may see only the hang-up, which looks like a broken network. So the handshake is done once more, and nothing is sent after it.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from docker.tls import TLSConfig

from stella_pipelines.core.limits import CONNECT_TIMEOUT_S

_PATIENCE_S: Final = 1.0
"""How long to listen for an alert. An engine that is content says nothing, and waits for a request."""


def require_handshake(base_url: str, tls: TLSConfig) -> None:
    """Raise the `ssl.SSLError` that tells the reason, or an `OSError` when nobody answers; return when the handshake is accepted."""
    address = urlsplit(base_url)
    context = ssl.create_default_context(cafile=tls.ca_cert)
    if tls.cert:
        certificate_file, key_file = tls.cert
        context.load_cert_chain(certificate_file, key_file)
    host = address.hostname or ""
    with (
        socket.create_connection((host, address.port or 0), CONNECT_TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
        suppress(TimeoutError),
    ):
        connection.settimeout(_PATIENCE_S)
        connection.recv(1)
