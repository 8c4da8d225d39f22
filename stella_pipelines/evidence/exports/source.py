"""The packets of an export for the frames of `evidence/frames`: where there is a file and a public key, and no installation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.exports.chunks import read_chunks
from stella_pipelines.evidence.exports.opening import opened
from stella_pipelines.evidence.exports.reading import read_export
from stella_pipelines.evidence.exports.trust import Trust
from stella_pipelines.evidence.exports.verifying import BLOBS, verify_export
from stella_pipelines.evidence.verify import VerifiedPacket, verify_packet


class ExportedPackets:
    """The whole export is verified when this is made; every reading after that verifies what it reads, in case that the file has changed."""

    def __init__(self, path: Path, trust: Trust) -> None:
        self._path = path
        self._trust = trust
        self.report = verify_export(path, trust)

    def __iter__(self) -> Iterator[VerifiedPacket]:
        with opened(self._path) as file:
            export = read_export(file, self._trust)
            for page in read_chunks(export, "packets"):
                for line in page:
                    yield verify_packet(line.content, export.ring, log_index=line.entry.index)

    def blob(self, digest: Digest) -> bytes:
        """What a packet refers to; `MemberMissing` for an artifact that the export does not have."""
        with opened(self._path) as file:
            return read_export(file, self._trust).content(f"{BLOBS}{digest.hex}")
