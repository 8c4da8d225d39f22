"""`runs`: which image ran where, from when until when; and `where`: the same for one digest, an image's, a release's or a packet's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pandas as pd

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.columns import Cell, Column, Table
from stella_pipelines.evidence.frames.endings import Drift, Ending, Memory, drift_of, ending_of
from stella_pipelines.evidence.frames.meaning import Meaning, Meanings
from stella_pipelines.evidence.frames.reading import ReadBlob, packets_of
from stella_pipelines.evidence.frames.running import Span, spans
from stella_pipelines.evidence.verify import VerifiedPacket

RUNS: Final = (
    Column("environment", "category", "The environment"),
    Column("target", "text", "The target in it"),
    Column("component", "category", "The component; unknown where the image is only possible"),
    Column("digest", "text", "The image that ran, of the target's own platform"),
    Column("release", "text", "The release that brought it; unknown for an image that was there before the first packet of the source"),
    Column("release_digest", "text", "That release's identity"),
    Column(
        "proof",
        "category",
        "`shown`: the target showed it at the end of a deployment. `drift`: it was seen between two deployments, and was not deployed. "
        "`possible`: it was to run, the deployment went wrong there, and nothing says whether it did for a while",
    ),
    Column("since", "time", "The earliest that it can have run: the start of the deployment that brought it. Of a drift: the look that saw it first"),
    Column("shown_at", "time", "When it was shown first: the end of that deployment, or that look"),
    Column(
        "until",
        "time",
        "The latest that it can have run: the end of the deployment, or the look, that shows something else. Unknown: nothing shows that it stopped",
    ),
    Column(
        "ended",
        "category",
        "`replaced` by another image; `gone`, when the component shows none; `left`, when the target is no longer part of the environment; "
        "`settled`, when what was only possible ended with an answer",
    ),
    Column("begun_by", "text", "The packet that shows its beginning"),
    Column("ended_by", "text", "The packet that shows its end"),
)
_ORDER: Final = ("environment", "target", "since", "component", "digest", "begun_by")


class Runs:
    """Gathers what `runs` needs: a few words per target and deployment."""

    def __init__(self, read_blob: ReadBlob | None = None) -> None:
        self._read_blob = read_blob
        self._memory = Memory()
        self._looks: list[Ending | Drift] = []

    def take(self, packet: VerifiedPacket) -> None:
        """Add the packet, if it tells what runs on targets."""
        look = ending_of(packet, self._read_blob, self._memory) or drift_of(packet, self._read_blob, self._memory)
        if look is not None:
            self._looks.append(look)

    def spans(self) -> list[Span]:
        """What ran where."""
        return spans(self._looks)

    def frame(self) -> pd.DataFrame:
        """By environment, target and time."""
        return runs_frame(self.spans())


def runs(source: Iterable[VerifiedPacket], read_blob: ReadBlob | None = None) -> pd.DataFrame:
    """Every image on every target. The columns are those of `RUNS`.

    `read_blob` is only needed where an environment is so large that its packets refer to the lines of its targets.
    """
    found = Runs(read_blob)
    for packet in packets_of(source):
        found.take(packet)
    return found.frame()


def where(source: Iterable[VerifiedPacket], digest: str, read_blob: ReadBlob | None = None) -> pd.DataFrame:
    """Where a digest runs and ran: an image's of one platform, an index's, a config's (with `read_blob`), a release's, or that of a packet's file.

    The columns are those of `RUNS`. `DigestUnknown` when nothing names it; no rows when it is known and ran nowhere.
    """
    found, meanings = Runs(read_blob), Meanings()
    for packet in packets_of(source):
        found.take(packet)
        meanings.take(packet)
    meaning = meanings.of(Digest(digest), read_blob)
    return runs_frame(span for span in found.spans() if is_meant(span, meaning))


def is_meant(span: Span, meaning: Meaning) -> bool:
    """Whether a span is of what a digest stands for."""
    of_release = meaning.any_release or span.release_digest is None or span.release_digest in meaning.releases
    if meaning.images is None:
        return span.release_digest in meaning.releases
    return span.digest in meaning.images and of_release


def runs_frame(found: Iterable[Span]) -> pd.DataFrame:
    """Spans as a frame."""
    table = Table(RUNS)
    for span in found:
        table.add(_row(span))
    return table.frame(_ORDER)


def _row(span: Span) -> dict[str, Cell]:
    return {column.name: getattr(span, column.name) for column in RUNS}
