"""Where the next page of a list is: the `Link` header (RFC 8288) of an answer, which must lead to the registry itself."""

from __future__ import annotations

import re
from typing import Final

from stella_pipelines.integrations.registries.exchange import Answer, Exchange

_LINK_CHARS_MAX: Final = 8 * 1024
"""Of a header that somebody else wrote."""
_NEXT: Final = re.compile(r'<(?P<address>[^<>]*)>\s*;[^<]*?\brel="?next"?(?:[\s;,]|$)')


def next_page(exchange: Exchange, answer: Answer) -> str | None:
    """The address of the page that follows; None on the last one."""
    found = _NEXT.search(answer.headers.get("link", "")[:_LINK_CHARS_MAX])
    return exchange.same_origin(found["address"]) if found is not None else None
