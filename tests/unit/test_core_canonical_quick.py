"""The quick way to canonical JSON gives what `rfc8785` gives, or nothing; and the vectors that RFC 8785 publishes."""

from __future__ import annotations

import json
import math
import struct

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stella_pipelines.core.canonical import NotCanonical, canonical_json, parse_canonical

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # with lone surrogates, controls, and what is beyond the BMP
NASTY_TEXT = st.sampled_from(
    ["\u007f", "\u2028", "\ud800", "\udfff\ud800", "\ufeff", "\uffff", "\U00010000", "é", "é", '"', "\\", "/", "\x00", "1.5", ':1.5,"']
)
ANY_INTEGER = st.integers() | st.sampled_from([2**53 - 1, 2**53, -(2**53) + 1, -(2**53), 2**63, 2**64, -(2**63) - 1, 10**400])
ANY_FLOAT = st.floats() | st.sampled_from([-0.0, 1.0, 1e16, 1e21, 5e-324, 2.0**53])
SCALARS = st.none() | st.booleans() | ANY_INTEGER | ANY_FLOAT | ANY_TEXT | NASTY_TEXT
ANYTHING = st.recursive(
    SCALARS | st.binary(max_size=3) | st.dates() | st.uuids(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(ANY_TEXT | NASTY_TEXT, inner, max_size=4)
        | st.dictionaries(st.integers(0, 3) | st.booleans() | st.none() | ANY_TEXT, inner, max_size=3)
    ),
    max_leaves=20,
)
Outcome = bytes | None


def reference(value: object) -> Outcome:
    """What the library says, or None for what it refuses."""
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, ValueError):  # UnicodeEncodeError is a ValueError
        return None


def ours(value: object) -> Outcome:
    try:
        return canonical_json(value)
    except NotCanonical:
        return None


@settings(deadline=None, max_examples=1500)
@given(ANYTHING)
@example({"\U00010000": 1, "\uffff": 2})
@example({"": {1: 2}})
@example([math.nan])
@example([True, 1, 1.0, (1,)])
def test_it_is_what_the_library_says(value: object) -> None:
    assert ours(value) == reference(value)


@settings(deadline=None, max_examples=600)
@given(ANYTHING)
def test_what_was_written_is_read_as_the_same_bytes(value: object) -> None:
    content = ours(value)
    if content is None:
        return
    assert canonical_json(parse_canonical(content)) == content


@settings(deadline=None, max_examples=600)
@given(ANYTHING, st.integers(0, 200), st.binary(max_size=3))
def test_only_canonical_bytes_are_read(value: object, place: int, put: bytes) -> None:
    content = ours(value) or b"[]"
    changed = content[:place] + put + content[place:]
    try:
        read = parse_canonical(changed)
    except NotCanonical:
        return
    assert rfc8785.dumps(read) == changed


def test_an_integer_of_more_digits_than_python_writes_is_refused() -> None:
    with pytest.raises(NotCanonical):
        canonical_json({"a": [10**5000]})


def test_every_character_alone_is_written_as_the_library_does() -> None:
    for number in (*range(0x3000), *range(0xD700, 0x10100), *range(0x10100, 0x110000, 0xFFF)):
        value = {chr(number): chr(number)}
        assert ours(value) == reference(value), hex(number)


def test_the_order_around_the_surrogates_is_that_of_utf16_units() -> None:
    keys = ["\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff", "a"]
    assert list(json.loads(canonical_json(dict.fromkeys(keys, 0)))) == ["a", "\ud7ff", "\U00010000", "\U0010ffff", "\ue000", "\uffff"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b'{"a": 1}',
        b' {"a":1}',
        b'{"a":1}\n',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":-0}',
        b'{"a":9007199254740993}',
        b'{"a":1000000000000000000000}',
        b'{"a":-999999999999999900001}',
        b'{"a":NaN}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\/"}',
        b'{"a":"\x7f\\u007f"}',
        '{"\uffff":1,"\U00010000":1}'.encode(),
        '{"a":1}'.encode("utf-16"),
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"1" * 10_000,
    ],
)
def test_another_spelling_is_refused(content: bytes) -> None:
    with pytest.raises(NotCanonical):
        parse_canonical(content)


NUMBERS = {  # RFC 8785, appendix B
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_the_published_numbers(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_json([number]) == f"[{text}]".encode()
    assert parse_canonical(f"[{text}]".encode()) == [number], "what was written is read"


def test_the_published_object_of_section_3_2_2() -> None:
    given_text = (
        r'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
        r'"string":"\u20ac$\u000F\u000aA' + "'" + r'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}'
    )
    expected = r'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"' + "€" + r"$\u000f\nA'B" + r'\"\\\\\"/"}'
    assert canonical_json(json.loads(given_text)) == expected.encode()
