"""Opening the way to an engine as the estate declares it: unix socket, TCP with mutual TLS, or a unix socket behind SSH."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

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
    with _private_folder() as folder:
        if access.ssh is not None:
            remote_path = access.endpoint.removeprefix("unix://")
            async with forwarded_socket(access.ssh, remote_path, folder, environ, target) as local:
                yield EngineAddress(f"unix://{local}")
        elif access.tls is not None:
            key = _written(folder / "key.pem", resolved(access.tls.key, environ, f"target {target}"))
            yield EngineAddress(access.endpoint, _mutual_tls(access.tls, key, target))


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A folder that only this account may enter. Kept short: a unix socket's path has about 100 characters."""
    with tempfile.TemporaryDirectory(prefix="stella-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _written(path: Path, secret: Secret) -> Path:
    """The key in a file, since TLS libraries read keys from files only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret.reveal() + "\n")
    return path


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
