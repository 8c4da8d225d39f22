"""A remote engine's unix socket, brought to a private local path over SSH. The host key is pinned; there is no trust on first use.

Nothing of the user's own SSH set-up is read: no config file, no known_hosts, no agent, no default keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncssh

from stella_pipelines.connectors.environment import resolved
from stella_pipelines.connectors.port import ConnectorError, TargetIdentityChanged, TargetRefused, TargetUnreachable
from stella_pipelines.core.limits import CONNECT_TIMEOUT_S
from stella_pipelines.environments.model import SshAccess

KEEP_ALIVE_S: Final = 10.0
KEEP_ALIVE_MISSES_MAX: Final = 3
"""A connection that misses so many keep-alives is given up: a host that vanished is noticed after half a minute."""

_HOST_KEY_KINDS: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256")


@asynccontextmanager
async def forwarded_socket(access: SshAccess, remote_path: str, folder: Path, environ: Mapping[str, str], target: str) -> AsyncIterator[Path]:
    """While this is open, the returned path in `folder` (which nobody else may enter) leads to `remote_path` on the host."""
    local = folder / "docker.sock"
    connection = await _connected(access, environ, target)
    try:
        listener = await connection.forward_local_path(str(local), remote_path)
        try:
            yield local
        finally:
            listener.close()
            await listener.wait_closed()
    finally:
        connection.close()
        await connection.wait_closed()


async def _connected(access: SshAccess, environ: Mapping[str, str], target: str) -> asyncssh.SSHClientConnection:
    pinned, private_key = _host_key(access, target), _private_key(access, environ, target)
    try:
        return await asyncssh.connect(
            access.host,
            access.port,
            username=access.username,
            known_hosts=([pinned], [], []),
            server_host_key_algs=_pinned_first(pinned),
            client_keys=[private_key],
            preferred_auth="publickey",
            agent_path=None,
            gss_host=None,
            config=None,
            connect_timeout=CONNECT_TIMEOUT_S,
            login_timeout=CONNECT_TIMEOUT_S,
            keepalive_interval=KEEP_ALIVE_S,
            keepalive_count_max=KEEP_ALIVE_MISSES_MAX,
        )
    except (asyncssh.Error, OSError) as error:
        raise ssh_error(error, access, target) from error


def ssh_error(error: Exception, access: SshAccess, target: str) -> ConnectorError:
    """What a failed connection means. Pure."""
    where, words = f"{access.host}:{access.port}", str(error).rstrip(".")
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return TargetIdentityChanged(
            f"Target {target} ({where}) shows another SSH host key than the pinned one: {words}.",
            next_step="Find out why before anything else. If the host was rebuilt on purpose, pin its new key as ssh.host_key in the estate.",
        )
    if isinstance(error, asyncssh.PermissionDenied):
        return TargetRefused(f"Target {target} ({where}) refuses {access.username}: {words}.", next_step="Check ssh.username and ssh.private_key.")
    return TargetUnreachable(
        f"Target {target} ({where}) does not answer over SSH: {words or type(error).__name__}.",
        unchanged="What it runs is unknown until it answers.",
        next_step="Check that the host is up and that its SSH server can be reached from here.",
    )


def _pinned_first(pinned: asyncssh.SSHKey) -> list[str]:
    """Ask for the pinned kind of key, and accept to be shown any other: asked for one kind only, a host without it hangs up and says nothing."""
    return [*(name.decode() for name in pinned.sig_algorithms), *_HOST_KEY_KINDS]


def _host_key(access: SshAccess, target: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_public_key(access.host_key)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise TargetRefused(f"Target {target}: ssh.host_key is no public key: {error}.", next_step="Write it as in a .pub file: ssh-ed25519 AAAA….") from error


def _private_key(access: SshAccess, environ: Mapping[str, str], target: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(resolved(access.private_key, environ, f"target {target}").reveal())
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
        # The library's words are left out: they could repeat a part of the key.
        raise TargetRefused(
            f"Target {target}: {access.private_key} holds no private key that can be used.",
            next_step="Give an OpenSSH or PEM private key without a passphrase.",
        ) from error
