"""Opening the way to an engine as the estate declares it: unix socket, TCP with mutual TLS, or a unix socket behind SSH."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from docker.errors import TLSParameterError
from docker.tls import TLSConfig

from stella_pipelines.connectors.docker.ssh import forwarded_socket
from stella_pipelines.connectors.environment import resolved
from stella_pipelines.connectors.port import TargetRefused
from stella_pipelines.core.secrets import Secret
from stella_pipelines.environments.model import DockerAccess, TlsAccess


class EngineAddress(NamedTuple):
    """Where the docker library shall connect, and under which identity."""

    base_url: str
    tls: TLSConfig | None = None


@asynccontextmanager
async def opened(access: DockerAccess, environ: Mapping[str, str], target: str) -> AsyncIterator[EngineAddress]:
    """The engine's address, for as long as this is open."""
    if access.tls is None and access.ssh is None:
        yield EngineAddress(access.endpoint)
        return
    if access.tls is not None:
        with _readable(resolved(access.tls.key, environ, f"target {target}")) as key:
            yield EngineAddress(access.endpoint, _mutual_tls(access.tls, key, target))
        return
    assert access.ssh is not None
    with _private_folder() as folder:
        remote_path = access.endpoint.removeprefix("unix://")
        async with forwarded_socket(access.ssh, remote_path, folder, environ, target) as local:
            yield EngineAddress(f"unix://{local}")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder that only this account may enter. Kept short: a unix socket's path has about 100 characters."""
    with tempfile.TemporaryDirectory(prefix="stella-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def _readable(secret: Secret) -> Iterator[Path]:
    """The key under a path, since TLS libraries read keys from files only.

    On Linux the file has no name in any folder: it is gone with this process, however that ends.
    """
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("key"), "w") as file:
            os.fchmod(file.fileno(), 0o600)
            _write(file, secret)
            yield Path(f"/proc/self/fd/{file.fileno()}")
        return
    with _private_folder() as folder, (folder / "key.pem").open("x", opener=_private) as file:
        _write(file, secret)
        yield folder / "key.pem"


def _write(file: TextIO, secret: Secret) -> None:
    file.write(secret.reveal() + "\n")
    file.flush()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _mutual_tls(access: TlsAccess, key: Path, target: str) -> TLSConfig:
    if not Path(access.ca_file).is_file():
        raise TargetRefused(
            f"Target {target}: there is no file {access.ca_file}.", next_step="Point tls.ca_file at the CA that signed the engine's certificate."
        )
    try:
        return TLSConfig(client_cert=(access.certificate_file, str(key)), ca_cert=access.ca_file, verify=True)
    except TLSParameterError as error:
        raise TargetRefused(
            f"Target {target}: there is no file {access.certificate_file}.", next_step="Point tls.certificate_file at our certificate."
        ) from error
