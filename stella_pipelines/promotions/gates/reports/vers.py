"""Ranges in the `vers` form (`vers:deb/1.2|>=1.3`), as far as they can be read without an ecosystem's own order of versions. Pure.

Which of two versions is the later one is another rule in every ecosystem, and a wrong guess would hide a vulnerability. So only listed
versions and "every version" are answered; anything that needs an order is unknown.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

_RANGE: Final = re.compile(r"vers:[a-z][a-z0-9.+-]*/(?P<constraints>[^\s]+)")
_ORDERED: Final = ("<", ">", "!", "=", "*")


def contains(vers_range: str, version: str) -> bool | None:
    """Whether a version is in the range; None when that cannot be said here."""
    match = _RANGE.fullmatch(vers_range.strip())
    if match is None:
        return None
    constraints = [unquote(one) for one in match["constraints"].split("|") if one]
    if constraints == ["*"] or version in constraints:
        return True
    return None if not constraints or any(one.startswith(_ORDERED) for one in constraints) else False
