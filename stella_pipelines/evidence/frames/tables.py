"""Every frame of packets in one pass, for whoever writes them all: verifying the packets costs more than making the frames."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from stella_pipelines.evidence.frames.decisions import Decisions, Gates
from stella_pipelines.evidence.frames.deployments import Deployments
from stella_pipelines.evidence.frames.reading import ReadBlob, packets_of
from stella_pipelines.evidence.frames.runs import Runs
from stella_pipelines.evidence.verify import VerifiedPacket


def tables(source: Iterable[VerifiedPacket], read_blob: ReadBlob | None = None) -> dict[str, pd.DataFrame]:
    """By name: `decisions`, `gates`, `deployments` and `runs`."""
    gathering: dict[str, Decisions | Gates | Deployments | Runs] = {
        "decisions": Decisions(),
        "gates": Gates(),
        "deployments": Deployments(),
        "runs": Runs(read_blob),
    }
    for packet in packets_of(source):
        for one in gathering.values():
            one.take(packet)
    return {name: one.frame() for name, one in gathering.items()}
