"""Foreign words are mended where they become ours: an error, a trail or an outbox row that quotes them can always be stored and shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.connectors.port import TargetRefused
from stella_pipelines.core.actor import SYSTEM
from stella_pipelines.core.words import WORDS_CHARS_MAX, as_words
from stella_pipelines.deployments.failure import Failure
from stella_pipelines.evidence import audit
from stella_pipelines.store import outbox
from stella_pipelines.store.database import Store

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ("plain\n\twords – größer 🚢", "plain\n\twords – größer 🚢"),
        ("half a pair \ud800.", "half a pair ?."),
        ("a\udcff leads nowhere", "a? leads nowhere"),
        ("nul \x00, escape \x1b[2J, return \r, delete \x7f, csi \x9b", "nul \ufffd, escape \ufffd[2J, return \ufffd, delete \ufffd, csi \ufffd"),
        ("", ""),
    ],
)
def test_what_becomes_of_foreign_words(foreign: str, ours: str) -> None:
    assert as_words(foreign) == ours


def test_long_words_end_in_an_ellipsis() -> None:
    assert as_words("x" * WORDS_CHARS_MAX) == "x" * WORDS_CHARS_MAX
    assert as_words("x" * (WORDS_CHARS_MAX + 1)) == "x" * (WORDS_CHARS_MAX - 1) + "…"


@given(st.text(st.characters(exclude_categories=())))
def test_mended_words_can_be_written_and_stay_as_they_are(foreign: str) -> None:
    ours = as_words(foreign)
    assert ours.encode().decode() == ours
    assert "\x00" not in ours
    assert as_words(ours) == ours


def test_an_error_quotes_nothing_that_its_record_could_not_keep() -> None:
    error = TargetRefused("the engine says \ud800", unchanged="\x00", next_step="see \x1b[31m" + "x" * WORDS_CHARS_MAX)
    failure = Failure.of(error, "host-1")
    assert Failure.model_validate_json(failure.canonical()) == failure
    assert (failure.what, failure.unchanged) == ("the engine says ?", "\ufffd")
    assert len(failure.next_step) == WORDS_CHARS_MAX
    assert str(error).encode()


def test_the_trail_and_the_outbox_keep_any_reason(store: Store) -> None:
    with store.writing() as tx:
        audit.record(tx, entry_id="aud_1", at=NOW, actor=SYSTEM, action="deployment.failed", subject="dep_1", reason="engine: \x00\ud800")
        for number in (1, 2):
            outbox.enqueue(tx, "promotion", f"prm_{number}", 1, {}, f"out_{number}", NOW)
        outbox.note_failure(tx, "out_1", "Dagster: \x00\ud800", NOW, NOW)
        outbox.abandon(tx, "out_2", "gone: \x00\ud800", NOW)
    with store.reading() as tx:
        assert [entry.reason for entry in audit.list_entries(tx)] == ["engine: \ufffd?"]
        reasons = [row.reason for row in (outbox.latest(tx, "promotion", "prm_1"), outbox.latest(tx, "promotion", "prm_2")) if row is not None]
    assert reasons == ["Dagster: \ufffd?", "gone: \ufffd?"]
