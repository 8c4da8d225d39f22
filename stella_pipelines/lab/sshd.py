"""An SSH server that makes one loopback address a host of its own: own host key, one authorised key, root's account, no passwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stella_pipelines.lab.certificates import write_private, write_ssh_key
from stella_pipelines.lab.daemons import Daemon
from stella_pipelines.lab.ports import free_port, listens

_SEPARATION_FOLDER: Final = Path("/run/sshd")
"""Compiled into Debian's and Ubuntu's sshd, which refuses to start without it. The ssh service makes it as well; we leave it."""
_CONFIGURATION: Final = """\
Port {port}
ListenAddress {address}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {authorized_keys}
StrictModes no
UsePAM {use_pam}
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
X11Forwarding no
UseDNS no
SetEnv DOCKER_HOST=unix://{socket}
MaxStartups 100:30:200
LogLevel VERBOSE
"""


class SshServer:
    """One sshd process on one address."""

    def __init__(self, program: str, folder: Path, address: str, authorized_keys: Path, docker_socket: Path) -> None:
        self._program, self._folder, self.address = program, folder, address
        self._authorized_keys, self._docker_socket = authorized_keys, docker_socket
        self.port = free_port([address], 2222)
        self.host_key = ""
        self._daemon: Daemon | None = None

    def start(self) -> None:
        """Start with the host key of the last start, or a new one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        _SEPARATION_FOLDER.mkdir(mode=0o755, exist_ok=True)
        if not self.host_key:
            self.host_key = write_ssh_key(self._folder / "host_key")
        configuration = self._folder / "sshd_config"
        configuration.write_text(
            _CONFIGURATION.format(
                port=self.port,
                address=self.address,
                folder=self._folder,
                authorized_keys=self._authorized_keys,
                use_pam="yes" if root_is_locked(Path("/etc/shadow")) else "no",
                socket=self._docker_socket,
            )
        )
        self._daemon = Daemon("SSH server", [self._program, "-D", "-e", "-f", str(configuration)], self._folder / "sshd.log")

    def wait(self) -> None:
        """Return when the server accepts connections."""
        if self._daemon is not None:
            self._daemon.wait_until(lambda: listens(self.address, self.port))

    def stop(self) -> None:
        """Kill the server. Sessions that are open go on."""
        if self._daemon is not None:
            self._daemon.kill()

    @contextmanager
    def impostor(self) -> Iterator[None]:
        """Answer under another host key for the length of the block, as somebody in the middle would."""
        key_file, genuine = self._folder / "host_key", self.host_key
        content = key_file.read_bytes()
        self.stop()
        self.host_key = ""
        self._restart()
        try:
            yield
        finally:
            self.stop()
            write_private(key_file, content)
            self.host_key = genuine
            self._restart()

    def _restart(self) -> None:
        self.start()
        self.wait()


def root_is_locked(shadow: Path) -> bool:
    """Whether root's password is locked with `!`: sshd then refuses even keys, unless PAM decides."""
    try:
        lines = shadow.read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("root:!") for line in lines)
