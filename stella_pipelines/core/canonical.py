"""Canonical JSON (RFC 8785): the only form in which anything is hashed, signed or compared.

`rfc8785` says what the form is. For most values `orjson` writes the same bytes twenty times sooner. It is believed only where that can be shown,
and never guessed: without floats, with integers that JSON can say exactly, and in the Basic Multilingual Plane.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, cast

import orjson
import rfc8785

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError

Scalar = str | int | float | bool | None
Json = Scalar | Sequence["Json"] | Mapping[str, "Json"]
_BMP_LAST: Final = "\uffff"
"""Up to here the order of code points, which is that of UTF-8 bytes, is that of UTF-16 units, which is RFC 8785's."""
_INTEGER_MAX: Final = 2**53 - 1
_DIGITS_MAX: Final = len(str(_INTEGER_MAX))
_WHOLE_CHARS_MAX: Final = len("-999999999999999900000")
"""The longest number without a point or an exponent in RFC 8785: from 1e21 on, it writes an exponent."""


class NotCanonical(StellaError):
    """A value has no canonical JSON form (NaN, an integer beyond 2**53, a key that is not text)."""

    code = "VAL_NOT_CANONICAL"


def canonical_json(value: object) -> bytes:
    """The RFC 8785 bytes of a JSON value. Raises `NotCanonical` for what JSON cannot say exactly."""
    quick = _quickly(value)
    if quick is not None:
        return quick
    try:
        return rfc8785.dumps(cast("dict[str, str]", value))
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeEncodeError, ValueError) as error:
        # UnicodeEncodeError: half of a surrogate pair in a key. ValueError: an integer with more digits than Python writes.
        raise NotCanonical(f"This value has no canonical JSON form: {error}.", next_step="Use finite numbers below 2**53 and text keys.") from error


def canonical_digest(value: object) -> Digest:
    """The digest of a JSON value's canonical form."""
    return Digest.of(canonical_json(value))


def parse_canonical(content: bytes) -> Json:
    """The JSON value of which these are the canonical bytes; `NotCanonical` for all other bytes, such as those with a key twice."""
    quick, value = _parsed_quickly(content)
    if quick:
        return value
    try:
        value = cast("Json", json.loads(content.decode(), parse_constant=_refuse, parse_int=_whole))
    except (ValueError, RecursionError) as error:
        raise NotCanonical("These bytes are not JSON.", next_step="Use the bytes as they were written.") from error
    if canonical_json(value) != content:
        raise NotCanonical("These bytes are JSON in another spelling than the canonical one.", next_step="Use the bytes as they were written.")
    return value


def _quickly(value: object) -> bytes | None:
    """The canonical bytes, where they are shown to be those; None says nothing. What was written must read back as the same value."""
    try:
        content = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        text = content.decode()
        return content if _in_bmp(text) and _PLAIN.decode(text) == value else None
    except (TypeError, ValueError, RecursionError):
        return None


def _parsed_quickly(content: bytes) -> tuple[bool, Json]:
    """Whether these are shown to be canonical bytes, and of what. A key that stands twice, or a blank, is not written again."""
    try:
        text = content.decode()
        value = _PLAIN.decode(text)
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == content and _in_bmp(text), value
    except (TypeError, ValueError, RecursionError):
        return False, None


def _in_bmp(text: str) -> bool:
    return text.isascii() or max(text) <= _BMP_LAST


def _exact(digits: str) -> int:
    if len(digits) > _DIGITS_MAX or abs(int(digits)) > _INTEGER_MAX:
        raise ValueError("an integer that doubles may not hold")
    return int(digits)


def _whole(digits: str) -> int | float:
    """RFC 8785 writes a double such as 1e16 without a point: beyond the integers that are exact, digits are those of a double."""
    if len(digits) > _WHOLE_CHARS_MAX:
        raise ValueError("a number that RFC 8785 writes with an exponent")
    return int(digits) if abs(int(digits)) <= _INTEGER_MAX else float(digits)


def _refuse(what: str) -> NoReturn:
    raise ValueError(f"{what} is not read here")


_PLAIN: Final = json.JSONDecoder(parse_float=_refuse, parse_int=_exact, parse_constant=_refuse)
"""Reads JSON without the numbers of which libraries have different views."""
