"""Times in reasons: whole seconds and spans that people read, also of what lies on the edge of a unit."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stella_pipelines.promotions.wording import moment, span
from tests.support.promotions import NOW


def test_a_moment_has_no_fraction() -> None:
    assert moment(NOW + timedelta(microseconds=999_999)) == "2026-03-02T12:00:00Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (901, "15 min 1 s"),
        (7_500, "2 h 5 min"),
        (7_501, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (86_401, "1 d 1 s"),
    ],
)
def test_a_span_names_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text
