"""Every kind of packet in a few words, as the list and `evidence verify` say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import pytest

from stella_pipelines.cli.packets import in_words, outcome_of
from stella_pipelines.evidence.service import SealedPacket
from stella_pipelines.evidence.statement import Kind
from stella_pipelines.store.database import Store
from tests.support.example_packets import example_packets, opened

WORDS: dict[Kind, tuple[str, str | None, tuple[str, ...]]] = {
    "release": ("finalized", "shop-1.0.0", ("alice",)),
    "decision": ("deny", "shop-1.1.0", ("alice",)),
    "summary": ("failed", "shop-1.1.0", ()),
    "deployment": ("succeeded", "shop-1.0.0", ("alice",)),
    "rollback": ("rolled_back", "shop-1.0.1", ("alice",)),
    "override": ("overridden", "shop-1.1.0", ("bob", "carol")),
    "drift": ("found", "shop-1.0.0", ()),
    "audit-export": ("exported", None, ("alice",)),
    "purge": ("purged", None, ("alice",)),
}


@pytest.fixture(scope="module")
def packets(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Kind, SealedPacket]:
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('worded') / 'stella.db'}")
    found = example_packets(store)
    store.close()
    return found


@pytest.mark.parametrize("kind", get_args(Kind))
def test_how_it_ended_about_which_release_and_by_whom(packets: Mapping[Kind, SealedPacket], kind: Kind) -> None:
    words = in_words(opened(packets[kind]))
    assert (words.outcome, words.release, words.actors) == WORDS[kind]
    assert outcome_of(packets[kind]) == words.outcome
    assert (words.kind, words.stream, words.sequence) == (kind, packets[kind].stream, packets[kind].sequence)
