"""Reading `WWW-Authenticate`: what registries really send, and what nobody should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.integrations.registries.challenge import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['Basic realm="Registry"'], [Challenge(scheme="basic", parameters={"realm": "Registry"})]),
        (["Basic"], [Challenge(scheme="basic")]),
        (
            ['Bearer realm="https://auth.example/token",service="registry.example",scope="repository:shop/web:pull,push"'],
            [
                Challenge(
                    scheme="bearer",
                    parameters={"realm": "https://auth.example/token", "service": "registry.example", "scope": "repository:shop/web:pull,push"},
                )
            ],
        ),
        (
            ["Bearer Realm=https://a.example/t, Basic realm=x"],
            [Challenge(scheme="bearer", parameters={"realm": "https://a.example/t"}), Challenge(scheme="basic", parameters={"realm": "x"})],
        ),
        (["Negotiate", 'Basic realm="a \\"b\\""'], [Challenge(scheme="negotiate"), Challenge(scheme="basic", parameters={"realm": 'a "b"'})]),
        ([""], []),
        ([], []),
        (['realm="lost"'], []),
    ],
)
def test_challenges_are_read(headers: list[str], expected: list[Challenge]) -> None:
    assert parse_challenges(headers) == expected


@given(st.lists(st.text(max_size=200), max_size=3))
def test_no_header_breaks_the_reader(headers: list[str]) -> None:
    assert all(challenge.scheme == challenge.scheme.lower() for challenge in parse_challenges(headers))
