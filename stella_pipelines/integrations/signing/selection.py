"""From `STELLA_SIGNING_KEY` to a key that signs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from stella_pipelines.core.settings import Settings
from stella_pipelines.evidence.errors import KeyInvalid
from stella_pipelines.evidence.keys.files import FileKey, take_place
from stella_pipelines.evidence.keys.signing import HeldKey, KeyWhenNeeded, SigningKey, read_private_key
from stella_pipelines.integrations.secrets import resolve
from stella_pipelines.integrations.signing.references import (
    FileReference,
    KmsReference,
    SigningReference,
    VariableReference,
    VaultReference,
    parse_reference,
)


def installed_key(settings: Settings, environ: Mapping[str, str], ready_home: Callable[[Path], None], *, create: bool) -> KeyWhenNeeded:
    """The installation's key. In the home it is made if `create` says so; where none is yet, whoever only looks must not leave one behind."""
    reference = None if settings.signing_key is None else parse_reference(settings.signing_key)

    def load(wanted: str | None) -> SigningKey:
        path = reference.path if isinstance(reference, FileReference) else settings.signing_key_path
        if reference is None:
            ready_home(settings.home)
        if wanted is not None and isinstance(reference, FileReference | None):
            take_place(path, wanted)
        return FileKey.load_or_create(path) if reference is None else open_key(reference, environ)

    key = KeyWhenNeeded(load)
    if reference is None and (create or os.path.lexists(settings.signing_key_path)):
        key.load()
    return key


def open_key(reference: SigningReference, environ: Mapping[str, str]) -> SigningKey:
    """The key at this place. It must be there: only the file in the home is made by itself."""
    if isinstance(reference, FileReference):
        return FileKey.load(reference.path)
    if isinstance(reference, VariableReference):
        return _from_variable(reference, environ)
    if isinstance(reference, VaultReference):
        from stella_pipelines.integrations.signing.vault_transit import vault_key

        return vault_key(reference, environ)
    assert isinstance(reference, KmsReference)
    from stella_pipelines.integrations.signing.aws_kms import kms_key  # boto3 takes a quarter of a second to import

    return kms_key(reference)


def _from_variable(reference: VariableReference, environ: Mapping[str, str]) -> SigningKey:
    text = resolve(f"env://{reference.name}", environ).reveal()
    private = read_private_key(text.encode("utf-8", "replace"))  # bytes that are no text are no key either
    if private is None:
        raise KeyInvalid(
            f"The variable {reference.name} does not hold an unencrypted Ed25519 or ECDSA P-256 private key in PEM form.",
            next_step="'stella key create FILE' makes one; put the file's text into the variable.",
        )
    return HeldKey(private)
