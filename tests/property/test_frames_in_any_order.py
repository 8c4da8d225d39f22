"""Frames say the same in whatever order the packets come, and however often one comes twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.frames.decisions import decisions, gates
from stella_pipelines.evidence.frames.deployments import deployments
from stella_pipelines.evidence.frames.lineage import lineage
from stella_pipelines.evidence.frames.reading import ReadBlob
from stella_pipelines.evidence.frames.runs import runs, where
from stella_pipelines.evidence.frames.source import stored
from stella_pipelines.evidence.verify import VerifiedPacket
from stella_pipelines.promotions.affected import affected
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store
from stella_pipelines.store.tables import blobs as blobs_table
from tests.simulation.installation import image
from tests.support.analysed_shop import CVE, analysed_shop
from tests.support.databases import Databases

Frame = Callable[[Iterable[VerifiedPacket], ReadBlob], pd.DataFrame]
FRAMES: dict[str, Frame] = {
    "decisions": lambda source, read_blob: decisions(source),
    "gates": lambda source, read_blob: gates(source),
    "deployments": lambda source, read_blob: deployments(source),
    "runs": lambda source, read_blob: runs(source),
    "where": lambda source, read_blob: where(source, image("web", "1.2.0").digest),
    "lineage": lambda source, read_blob: lineage(source, image("worker", "1.0.0").digest, read_blob),
    "affected": lambda source, read_blob: affected(source, CVE, read_blob),
}


@cache
def history(databases: Databases) -> tuple[tuple[VerifiedPacket, ...], dict[Digest, bytes]]:
    """Every packet of a small installation, and everything that they refer to."""
    with databases.fresh("sqlite") as url:
        store = Store.open(url)
        shop = analysed_shop(store)
        packets = tuple(stored(store, shop.installation.evidence))
        with store.reading() as tx:
            content = {Digest(digest): blobs.get(tx, Digest(digest)) for digest in tx.connection.execute(blobs_table.select()).scalars()}
        store.close()
    return packets, content


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_order_of_the_packets_says_nothing(databases: Databases, data: st.DataObject) -> None:
    packets, content = history(databases)
    order = data.draw(st.permutations(range(len(packets))))
    twice = data.draw(st.lists(st.sampled_from(range(len(packets))), max_size=3))
    name = data.draw(st.sampled_from(sorted(FRAMES)))
    shuffled = [packets[number] for number in (*order, *twice)]
    make = FRAMES[name]
    pd.testing.assert_frame_equal(make(shuffled, content.__getitem__), make(packets, content.__getitem__))


def test_every_frame_has_rows_to_compare(databases: Databases) -> None:
    packets, content = history(databases)
    assert {name: len(make(packets, content.__getitem__)) > 0 for name, make in FRAMES.items()} == dict.fromkeys(FRAMES, True)
