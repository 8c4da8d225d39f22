"""Signed notes as C2SP writes them down (c2sp.org/signed-note): a text, an empty line, and a line for each signature.

This file knows the form alone: which bytes are a note, and how a note becomes bytes. Whose signatures they are is `note_keys.py`'s, what the
text means `checkpoints.py`'s. The form is read strictly, so that a note has one spelling: what is read and written again is the same bytes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stella_pipelines.evidence.errors import CheckpointInvalid

NOTE_BYTES_MAX: Final = 64 * 1024
SIGNATURES_MAX: Final = 64
KEY_HASH_BYTES: Final = 4
_DASH: Final = "— "
_NEXT: Final = "Ask for a fresh copy; an editor or a mail program may have changed this one."


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line. The name and the key's hash only say which key to try; they prove nothing."""

    name: str
    key_hash: bytes
    signature: bytes

    @property
    def by(self) -> tuple[str, bytes]:
        """Which key it says it is by."""
        return self.name, self.key_hash

    def line(self) -> str:
        """The line as it stands in a note, with its end."""
        return f"{_DASH}{self.name} {write_base64(self.key_hash + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text and the signatures that came with it, none of which was checked yet."""

    text: str
    """With its last newline: these are the bytes that are signed."""
    signatures: tuple[NoteSignature, ...]


def read_note(content: bytes) -> Note:
    """The note that these bytes are; `CheckpointInvalid` if they are none in its exact form."""
    if len(content) > NOTE_BYTES_MAX:
        raise invalid(f"A checkpoint has at most {NOTE_BYTES_MAX} bytes; this has {len(content)}.")
    try:
        whole = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid("The checkpoint is not text in UTF-8.") from error
    if not is_plain(whole):
        raise invalid("The checkpoint contains a control character.")
    text, separator, lines = whole.rpartition("\n\n")
    if not separator or not text:
        raise invalid("The checkpoint has no empty line between its text and its signatures.")
    return Note(text + "\n", read_signature_lines(lines))


def write_note(text: str, signatures: Sequence[NoteSignature]) -> bytes:
    """The bytes of a note; only what `read_note` takes is written."""
    whole = f"{text}\n{''.join(signature.line() for signature in signatures)}"
    if not is_plain(whole) or read_note(whole.encode()) != Note(text, tuple(signatures)):
        raise invalid("This text cannot be signed as a note.")
    return whole.encode()


def read_signature_lines(lines: str) -> tuple[NoteSignature, ...]:
    """Signature lines alone, as a note ends with them and a witness answers with them."""
    if not lines.endswith("\n"):
        raise invalid("The checkpoint's signature lines are missing or cut off.")
    split = lines[:-1].split("\n")
    if len(split) > SIGNATURES_MAX:
        raise invalid(f"A checkpoint has at most {SIGNATURES_MAX} signatures; this has {len(split)}.")
    return tuple(_read_line(line) for line in split)


def is_key_name(name: str) -> bool:
    """Whether a key may have this name: not empty, without any kind of space, without a plus."""
    return name != "" and is_plain(name) and "+" not in name and not any(character.isspace() for character in name)


def is_plain(text: str) -> bool:
    """Whether a note may have these characters: UTF-8 can say them, and none is a control character but the newline."""
    return not any((character < " " and character != "\n") or "\ud800" <= character <= "\udfff" for character in text)


def write_base64(content: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(content).decode("ascii")


def read_base64(text: str) -> bytes | None:
    """What `text` encodes, or None if it is not exactly what `write_base64` writes."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: a character outside ASCII
        return None
    return content if write_base64(content) == text else None


def invalid(what: str) -> CheckpointInvalid:
    """The one refusal of everything that has not the form."""
    return CheckpointInvalid(what, next_step=_NEXT)


def _read_line(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    content = read_base64(encoded)
    if not (line.startswith(_DASH) and space and is_key_name(name) and content and len(content) > KEY_HASH_BYTES):
        raise invalid("A signature line of the checkpoint is malformed.")
    return NoteSignature(name, content[:KEY_HASH_BYTES], content[KEY_HASH_BYTES:])
