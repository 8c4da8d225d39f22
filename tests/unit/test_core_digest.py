"""Digests are validated wherever they enter, and compare by content."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from stella_pipelines.core.digest import Digest, InvalidDigest


@given(st.binary(max_size=200))
def test_a_digest_names_exactly_its_content(content: bytes) -> None:
    digest = Digest.of(content)
    assert digest == "sha256:" + hashlib.sha256(content).hexdigest()
    assert digest.matches(content)
    assert not digest.matches(content + b"x")


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:" + "A" * 64, "sha256:" + "0" * 63, "sha512:" + "0" * 64, " sha256:" + "0" * 64, "sha256:" + "0" * 64 + "\n"]
)
def test_what_is_not_a_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidDigest) as refused:
        Digest(text)
    assert refused.value.code == "VAL_DIGEST_INVALID"
    with pytest.raises(ValidationError):
        TypeAdapter(Digest).validate_python(text)


def test_a_digest_survives_json() -> None:
    adapter = TypeAdapter(Digest)
    digest = Digest.of(b"x")
    assert adapter.validate_json(adapter.dump_json(digest)) == digest
    assert (len(digest.short), digest.hex[:12]) == (12, digest.short)
