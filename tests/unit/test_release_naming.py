"""The ways to name a release, and that no way is mistaken for another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.core.digest import Digest
from stella_pipelines.releases.errors import ReleaseMissing
from stella_pipelines.releases.naming import ReleaseLabel, parse_release_name

NAMES = st.from_regex(r"\A[a-z][a-z0-9_]{0,62}\Z")
VERSIONS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")


@given(name=NAMES, version=VERSIONS, separator=st.sampled_from("-:"))
def test_every_name_and_version_is_found_again(name: str, version: str, separator: str) -> None:
    assert parse_release_name(f"{name}{separator}{version}") == ReleaseLabel(name=name, version=version)


@given(name=NAMES, version=VERSIONS, content=st.binary())
def test_a_partition_key_carries_the_beginning_of_the_identity(name: str, version: str, content: bytes) -> None:
    short = Digest.of(content).short
    assert parse_release_name(f"{name}-{version}@{short}") == ReleaseLabel(name=name, version=version, short=short)


def test_an_identity_is_an_identity() -> None:
    assert parse_release_name(Digest.of(b"x")) == Digest.of(b"x")


@pytest.mark.parametrize("text", ["", "shop", "shop-", "-1.0", "Shop-1.0", "shop-1.0@abc", "shop-1.0@" + "g" * 12, "shop 1.0", "shop-1.0\n"])
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(ReleaseMissing):
        parse_release_name(text)
