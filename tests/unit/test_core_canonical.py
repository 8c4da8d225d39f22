"""Canonical JSON is RFC 8785, and says so when a value has no such form."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.core.canonical import NotCanonical, canonical_digest, canonical_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-(2.0**53) + 1, 2.0**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=6), children, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_the_canonical_form_is_a_fixed_point(value: object) -> None:
    first = canonical_json(value)
    assert canonical_json(json.loads(first)) == first


def test_the_published_vector_of_rfc_8785_section_3_2_3() -> None:
    """Keys are sorted by UTF-16 code units, not by code points."""
    value = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"): "Emoji",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    expected = ["Carriage Return", "One", "Control", "Latin Small Letter O With Diaeresis", "Euro Sign", "Emoji", "Hebrew Letter Dalet With Dagesh"]
    assert list(json.loads(canonical_json(value)).values()) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, {1: 2}, {"a": {1, 2}}, b"bytes"])
def test_a_value_without_a_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(NotCanonical):
        canonical_json(value)


def test_the_order_of_keys_does_not_change_the_digest() -> None:
    assert canonical_digest({"a": 1, "b": [1, 2]}) == canonical_digest({"b": [1, 2], "a": 1})
