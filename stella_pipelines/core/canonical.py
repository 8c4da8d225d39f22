"""Canonical JSON (RFC 8785): the only form in which anything is hashed, signed or compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import rfc8785

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.errors import StellaError

Scalar = str | int | float | bool | None
Json = Scalar | Sequence["Json"] | Mapping[str, "Json"]


class NotCanonical(StellaError):
    """A value has no canonical JSON form (NaN, an integer beyond 2**53, a key that is not text)."""

    code = "VAL_NOT_CANONICAL"


def canonical_json(value: object) -> bytes:
    """The RFC 8785 bytes of a JSON value. Raises `NotCanonical` for what JSON cannot say exactly."""
    try:
        return rfc8785.dumps(cast("dict[str, str]", value))
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeEncodeError) as error:  # the last: half of a surrogate pair in a key
        raise NotCanonical(f"This value has no canonical JSON form: {error}.", next_step="Use finite numbers below 2**53 and text keys.") from error


def canonical_digest(value: object) -> Digest:
    """The digest of a JSON value's canonical form."""
    return Digest.of(canonical_json(value))
