"""What the packets of an export refer to: the blobs of every digest that they name and that the store has, each once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.exports.draft import Draft
from stella_pipelines.evidence.exports.errors import ExportTooLarge
from stella_pipelines.store import blobs
from stella_pipelines.store.database import Store
from stella_pipelines.store.tables import blobs as blob_rows

BLOBS_MAX: Final = 200_000
_HEX: Final = re.compile(rb"[0-9a-f]{64}")
_DIGESTS_A_STATEMENT: Final = 500


def named_in(draft: Draft, store: Store) -> list[str]:
    """The digests, in hex and in order, of the stored blobs that the draft's packets name."""
    found: set[str] = set()
    for name in draft.names("packets"):
        here = {digest.decode() for line in draft.content(name).splitlines() for digest in _HEX.findall(read_envelope(line).payload)}
        found |= set(_stored(store, sorted(here - found)))  # those that no blob has are asked for again: remembering them costs memory
        if len(found) > BLOBS_MAX:
            raise ExportTooLarge(f"The packets refer to more than {BLOBS_MAX} artifacts.", next_step="Ask for a shorter span, or --without-artifacts.")
    return sorted(found)


def add_blobs(draft: Draft, store: Store, digests: list[str]) -> Iterator[int]:
    """Add each; yields how many are there so far."""
    for number, one in enumerate(digests, start=1):
        draft.add(f"blobs/sha256-{one}", lambda wanted=one: _content(store, wanted))  # type: ignore[misc]  # bound now, called now
        yield number


def _content(store: Store, digest: str) -> bytes:
    with store.reading() as tx:
        return blobs.get(tx, Digest(f"sha256:{digest}"))


def _stored(store: Store, wanted: list[str]) -> Iterator[str]:
    for start in range(0, len(wanted), _DIGESTS_A_STATEMENT):
        page = [f"sha256:{one}" for one in wanted[start : start + _DIGESTS_A_STATEMENT]]
        with store.reading() as tx:
            yield from (Digest(one).hex for one in tx.connection.execute(sa.select(blob_rows.c.digest).where(blob_rows.c.digest.in_(page))).scalars())
