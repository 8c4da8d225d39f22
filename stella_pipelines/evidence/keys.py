"""The key that seals. A `SigningKey` is a port, so that a key may live elsewhere than in a file; `FileKey` is the one that comes with the house.

The private key is Ed25519 in a PEM file of mode 0600 inside a folder of mode 0700. It is created once, whoever comes first, and a file that
others can read is refused: a signature by a key that others may have proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from stella_pipelines.evidence.errors import KeyExposed, KeyInvalid
from stella_pipelines.evidence.public_keys import key_id_of

KEY_FILE_BYTES_MAX: Final = 16 * 1024
"""An Ed25519 key in PEM form has about 120 bytes."""


class SigningKey(Protocol):
    """Something that signs bytes and says which public key verifies them."""

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key's DER form, as 64 hex digits."""
        ...

    @property
    def public_pem(self) -> bytes:
        """The public key, for verifiers."""
        ...

    def sign(self, content: bytes) -> bytes:
        """The Ed25519 signature of `content`."""
        ...


class FileKey:
    """An Ed25519 key from a file."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_pem: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.key_id: str = key_id_of(private.public_key())

    @classmethod
    def load_or_create(cls, path: Path) -> FileKey:
        """The key in `path`, created if there is none yet; its public half is kept beside it as `.pub`, for auditors.

        Two processes that create at once end with the same key.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            if not os.path.lexists(path):
                _create(path)
        key = cls(_load(path))
        _publish(path.with_suffix(".pub"), key.public_pem)
        return key

    def sign(self, content: bytes) -> bytes:
        """The Ed25519 signature of `content`."""
        return self._private.sign(content)


class KeyWhenNeeded:
    """A key that is loaded, or created, only when something is sealed or verified: whoever only looks leaves no key behind."""

    def __init__(self, load: Callable[[], SigningKey]) -> None:
        self._load = load

    @cached_property
    def _key(self) -> SigningKey:
        return self._load()

    @property
    def key_id(self) -> str:
        """SHA-256 of the public key's DER form, as 64 hex digits."""
        return self._key.key_id

    @property
    def public_pem(self) -> bytes:
        """The public key, for verifiers."""
        return self._key.public_pem

    def sign(self, content: bytes) -> bytes:
        """The Ed25519 signature of `content`."""
        return self._key.sign(content)


def _create(path: Path) -> None:
    """Write a new key completely, then link it into place: the link fails if another process was quicker."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with _draft(path, pem, mode=0o600) as draft:
        os.link(draft, path)


def _publish(path: Path, pem: bytes) -> None:
    """Keep the public key's file equal to the key."""
    if path.is_file() and path.read_bytes() == pem:
        return
    with _draft(path, pem, mode=0o644) as draft:
        draft.replace(path)


@contextlib.contextmanager
def _draft(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """A complete file beside `path`, which the block moves into place; what is left of it is removed."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise KeyInvalid(f"The signing key {path} cannot be opened: {error.strerror}.", next_step="It must be a plain file that this account owns.") from error
    try:
        _refuse_exposed(path, os.fstat(descriptor), path.parent.stat())
        pem = os.read(descriptor, KEY_FILE_BYTES_MAX)
    finally:
        os.close(descriptor)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:  # TypeError: the key is encrypted
        raise _not_a_key(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _not_a_key(path)
    return key


def _refuse_exposed(path: Path, file: os.stat_result, folder: os.stat_result) -> None:
    if not stat.S_ISREG(file.st_mode):
        raise _not_a_key(path)
    owners = {os.geteuid(), 0}
    if file.st_uid not in owners or folder.st_uid not in owners or stat.S_IMODE(file.st_mode) & 0o077 or stat.S_IMODE(folder.st_mode) & 0o022:
        raise KeyExposed(
            f"The signing key {path} may be read or replaced by other accounts (file {stat.S_IMODE(file.st_mode):04o}, "
            f"folder {stat.S_IMODE(folder.st_mode):04o}).",
            next_step=f"If nobody else had it: chmod 700 {path.parent} && chmod 600 {path}. Otherwise replace the key.",
        )


def _not_a_key(path: Path) -> KeyInvalid:
    return KeyInvalid(
        f"{path} does not hold an unencrypted Ed25519 private key in PEM form.", next_step="Restore it from a backup, or move it away for a new one."
    )
