"""Identifiers sort by time, carry their kind, and are checked at the door."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.core.identifiers import ENTROPY_BYTES, PREFIXES, InvalidIdentifier, SystemIdentifiers, check_identifier, identifier

moments = st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
entropies = st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES)


@given(moments, entropies, entropies)
def test_a_later_identifier_sorts_later(moment: datetime, first: bytes, second: bytes) -> None:
    assert identifier("prm", moment, first) < identifier("prm", moment + timedelta(milliseconds=2), second)


@given(moments, entropies, st.sampled_from(sorted(PREFIXES)))
def test_an_identifier_is_accepted_as_its_own_kind_only(moment: datetime, entropy: bytes, prefix: str) -> None:
    text = identifier(prefix, moment, entropy)
    assert check_identifier(text, prefix) == text
    other = next(candidate for candidate in PREFIXES if candidate != prefix)
    with pytest.raises(InvalidIdentifier):
        check_identifier(text, other)


def test_two_identifiers_of_one_moment_differ() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert SystemIdentifiers().new("dep", now) != SystemIdentifiers().new("dep", now)


@pytest.mark.parametrize(("prefix", "entropy"), [("xyz", b"0" * ENTROPY_BYTES), ("prm", b"short")])
def test_a_programming_mistake_is_loud(prefix: str, entropy: bytes) -> None:
    with pytest.raises(ValueError, match=prefix):
        identifier(prefix, datetime(2026, 1, 1, tzinfo=UTC), entropy)
