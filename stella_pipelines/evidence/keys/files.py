"""A signing key in a file: created once, whoever comes first, and refused when others can reach it.

PEM of mode 0600 inside a folder of mode 0700. A file that others can read is refused: a signature by a key that others may have proves nothing.
Its public half is kept beside it as `.pub`, for auditors. A key that was replaced is kept in `retired/`: nothing here destroys a key.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stella_pipelines.evidence.errors import KeyExposed, KeyInvalid
from stella_pipelines.evidence.keys.signatures import Algorithm
from stella_pipelines.evidence.keys.signing import HeldKey, PrivateKey, new_private_key, private_pem, read_private_key

KEY_FILE_BYTES_MAX: Final = 16 * 1024
"""An Ed25519 key in PEM form has about 120 bytes."""
_KEY_ID: Final = re.compile(r"[0-9a-f]{64}")


class FileKey(HeldKey):
    """A key from a file."""

    @classmethod
    def load(cls, path: Path) -> FileKey:
        """The key in `path`; its public half is kept beside it."""
        key = cls(_load(path))
        _publish(_public_path(path), key.public_pem)
        return key

    @classmethod
    def load_or_create(cls, path: Path, algorithm: Algorithm = "ed25519") -> FileKey:
        """The key in `path`, created if there is none yet. Two processes that create at once end with the same key."""
        _public_path(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            if not os.path.lexists(path):
                place_new_key(path, new_private_key(algorithm))
        return cls.load(path)


def new_key_beside(path: Path, algorithm: Algorithm) -> FileKey:
    """A fresh key that waits in `next/` to take the place of the one in `path`. Until `take_place`, nothing uses it."""
    private = new_private_key(algorithm)
    key = FileKey(private)
    waiting = _waiting(path, key.key_id)
    waiting.parent.mkdir(mode=0o700, exist_ok=True)
    place_new_key(waiting, private)
    _sync(path.parent)
    return key


def take_place(path: Path, key_id: str) -> None:
    """Let the waiting key with this id take the place of the one in `path`, which goes to `retired/`. Nothing when none waits or it was done.

    Every step can be the last one before a crash: the next call goes on from there.
    """
    waiting = _waiting(path, key_id)
    if not waiting.is_file() or FileKey(_load(waiting)).key_id != key_id:
        return
    if path.is_file():
        retired = path.parent / "retired" / f"{FileKey(_load(path)).key_id}.pem"
        retired.parent.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.link(path, retired)
    with contextlib.suppress(FileNotFoundError):  # another process did it at the same moment
        waiting.replace(path)
    _sync(path.parent)


def forget_waiting(path: Path, key_id: str) -> None:
    """Remove a key that waits and never came into force."""
    _waiting(path, key_id).unlink(missing_ok=True)


def _waiting(path: Path, key_id: str) -> Path:
    if _KEY_ID.fullmatch(key_id) is None:  # it comes from the database, and must not lead to another folder
        raise KeyInvalid(f"{key_id[:80]!r} is no key's id.", next_step="Restore the database from a backup, and find out who changed its key history.")
    return path.parent / "next" / f"{key_id}.pem"


def place_new_key(path: Path, key: PrivateKey) -> None:
    """Write the key completely, then link it into place: `FileExistsError` if another process was quicker."""
    with _draft(path, private_pem(key), mode=0o600) as draft:
        os.link(draft, path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Keep what was linked in this folder also after a power cut: the database may say already that this key seals."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _public_path(path: Path) -> Path:
    public = path.with_suffix(".pub")
    if public == path:  # the public half would be written over the private one
        raise KeyInvalid(f"{path} is a name for a public key.", next_step="Give the private key's file another ending, such as .pem.")
    return public


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


def _load(path: Path) -> PrivateKey:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise KeyInvalid(f"The signing key {path} cannot be opened: {error.strerror}.", next_step="It must be a plain file that this account owns.") from error
    try:
        _refuse_exposed(path, os.fstat(descriptor), path.parent.stat())
        pem = os.read(descriptor, KEY_FILE_BYTES_MAX)
    finally:
        os.close(descriptor)
    key = read_private_key(pem)
    if key is None:
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
        f"{path} does not hold an unencrypted Ed25519 or ECDSA P-256 private key in PEM form.",
        next_step="Restore it from a backup, or move it away for a new one.",
    )
