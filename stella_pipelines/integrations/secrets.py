"""From a secret's reference to its value, at the last moment. The value never appears in a message, a log or a stored document."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.secrets import Secret

SECRET_BYTES_MAX: Final = 64 * 1024
"""A secret in a file. The largest in real use is a private key with its certificate chain."""
_ENVIRON: Final = "env://"
_FILE: Final = "file:///"


class SecretMissing(StellaError):
    """A secret reference leads to nothing usable: no such variable or file, empty, unreadable or too large."""

    code = "INT_SECRET_MISSING"


class SecretReferenceInvalid(StellaError):
    """A text stands where a secret reference must, and is not one. It may be a secret, so it is not repeated."""

    code = "INT_SECRET_REFERENCE_INVALID"


def resolve(reference: str, environ: Mapping[str, str]) -> Secret:
    """The secret behind `env://NAME` or `file:///path`. Empty is missing: an empty password would be a silent anonymous login."""
    if reference.startswith(_ENVIRON):
        value = environ.get(reference.removeprefix(_ENVIRON), "")
        reason = "the variable is not set, or empty"
    elif reference.startswith(_FILE):
        value, reason = _read("/" + unquote(reference.removeprefix(_FILE)))
    else:
        raise SecretReferenceInvalid("A secret reference has an unknown form.", next_step="Write env://NAME or file:///absolute/path.")
    if not value:
        raise SecretMissing(f"The secret {reference} cannot be read: {reason}.", next_step="Provide it where the reference points, or correct the reference.")
    return Secret(value)


def _read(name: str) -> tuple[str, str]:
    """The file's text without its last line end, or an empty text and the reason."""
    try:
        with Path(name).open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1)
        text = content.decode()
    except OSError as error:
        return "", error.strerror or "it cannot be opened"
    except UnicodeDecodeError:
        return "", "it is not text"
    if len(content) > SECRET_BYTES_MAX:
        return "", f"it is larger than {SECRET_BYTES_MAX} bytes"
    return text.removesuffix("\n").removesuffix("\r"), "the file is empty"
