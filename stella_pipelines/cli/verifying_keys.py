"""The keys that a person gives to a verification: public keys, a key history, or both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from stella_pipelines.cli.evidence_files import read_evidence_file
from stella_pipelines.core.errors import StellaError
from stella_pipelines.evidence.errors import KeyInvalid
from stella_pipelines.evidence.keys.history import HISTORY_BYTES_MAX, KeyHistory, read_history
from stella_pipelines.evidence.keys.public import PUBLIC_PEM_BYTES_MAX, load_public_key
from stella_pipelines.evidence.keys.ring import KeyRing

KeyOption = Annotated[list[Path] | None, typer.Option("--key", metavar="PUB", help="A public key that you trust; repeat for several.")]
HistoryOption = Annotated[
    Path | None,
    typer.Option("--keys", metavar="KEYS", help="A key history, as `key export` wrote it. With --key, only what those keys vouch for counts."),
]


class NoKeyGiven(StellaError):
    """A verification was asked for without any key to go by."""

    code = "VAL_NO_KEY_GIVEN"


def trust_in(public_key: Path, key_id: str) -> str:
    """The option for a packet by this key: the public key's file if it is that one, else the key history, which has the keys of all times."""
    try:
        is_it = load_public_key(public_key.read_bytes()).key_id == key_id
    except (OSError, KeyInvalid):
        is_it = False
    return f"--key {public_key}" if is_it else "--keys keys.json (of 'stella key export keys.json')"


def ring_of(keys: Sequence[Path] | None, history: Path | None) -> KeyRing:
    """The keys to go by."""
    given = KeyRing.of(read_evidence_file(path, PUBLIC_PEM_BYTES_MAX) for path in keys or ())
    if history is None:
        if not given.keys:
            raise NoKeyGiven("No key was given to verify with.", next_step="Give --key with a public key, or --keys with a key history, that you trust.")
        return given
    return _followed(read_history(read_evidence_file(history, HISTORY_BYTES_MAX)), given)


def own_ring(keys: Sequence[Path] | None, history: KeyHistory, own: KeyRing) -> KeyRing:
    """The keys of an installation that somebody looks at from inside: all of them, or of those only what the given ones vouch for."""
    given = KeyRing.of(read_evidence_file(path, PUBLIC_PEM_BYTES_MAX) for path in keys or ())
    return _followed(history, given) if given.keys else own


def _followed(history: KeyHistory, given: KeyRing) -> KeyRing:
    found = history.ring(given.keys.keys() or None)
    return KeyRing({**found.keys, **given.keys}, found.revoked)
