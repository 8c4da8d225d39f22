"""Where foreign words become ours: text from engines, images, libraries and people's terminals, made so that it can always be stored and shown.

A lone surrogate has no UTF-8 bytes, PostgreSQL keeps no NUL, and a control character can change what a terminal shows. A failure whose own
words cannot be written down would leave a deployment without an end, so words are mended and never refused.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

WORDS_CHARS_MAX: Final = 8_000
"""Characters of one text that are kept: the longest listing that somebody reads. What is beyond it is in the ledger, or in the file that it is about."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline
_REPLACEMENT: Final = "\ufffd"


def as_words(text: str) -> str:
    """`text` without what cannot be stored or shown, and not longer than `WORDS_CHARS_MAX`. Mending it again changes nothing."""
    kept = text if len(text) <= WORDS_CHARS_MAX else text[: WORDS_CHARS_MAX - 1] + "…"
    return _CONTROL.sub(_REPLACEMENT, kept.encode("utf-8", "replace").decode())


Words = Annotated[str, AfterValidator(as_words)]
"""The field of a value that holds foreign words."""
