"""The demo's outside world: an auditor who takes a copy of a packet away, and somebody who changes a character of it."""

from __future__ import annotations

from pathlib import Path

from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.evidence.service import SealedPacket


class Auditor:
    """Reads the store once for a packet; everything after that is only the file."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.public_key = settings.public_key_path

    def newest_decision(self) -> str:
        """The id of the newest decision packet about prod."""
        return self._newest().id

    def write_newest_decision(self, path: Path) -> None:
        """Write that packet to a file."""
        path.write_bytes(self._newest().envelope)

    def tamper(self, packet: Path, copy: Path) -> None:
        """Change one character in the middle of a copy: inside the sealed statement, not in its frame."""
        content = bytearray(packet.read_bytes())
        middle = len(content) // 3
        content[middle] = ord("A") if content[middle] != ord("A") else ord("B")
        copy.write_bytes(content)

    def _newest(self) -> SealedPacket:
        with open_control_plane(self._settings) as plane, plane.store.reading() as transaction:
            return plane.evidence.list(transaction, environment="prod", kind="decision", limit=1)[0]
