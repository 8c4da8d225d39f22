"""A release's life as one closed table: draft → finalized → deprecated → archived, and only forward. Pure.

Drafts become finalized by getting an identity (`Releases.finalize`); the steps after that are here. A deprecated release may still be promoted, since
its environments may need it; an archived one may not. Neither changes what runs, and neither can be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stella_pipelines.releases.errors import LifecycleRefused
from stella_pipelines.releases.model import ReleaseRecord, ReleaseState

FORWARD: Final[Mapping[ReleaseState, tuple[ReleaseState, ...]]] = {
    ReleaseState.DRAFT: (),
    ReleaseState.FINALIZED: (ReleaseState.DEPRECATED, ReleaseState.ARCHIVED),
    ReleaseState.DEPRECATED: (ReleaseState.ARCHIVED,),
    ReleaseState.ARCHIVED: (),
}
"""What each state may become by a person's word."""


def require_forward(record: ReleaseRecord, to: ReleaseState) -> None:
    """Nothing, when the release may become `to`."""
    if to not in FORWARD[record.state]:
        raise LifecycleRefused(f"{record.label} is {record.state.value}, and cannot become {to.value}.", next_step=_ADVICE[record.state])


_ADVICE: Final[Mapping[ReleaseState, str]] = {
    ReleaseState.DRAFT: "Finalize the draft first, or discard it with 'stella release discard'.",
    ReleaseState.FINALIZED: "Deprecate or archive it.",
    ReleaseState.DEPRECATED: "Archive it, or leave it as it is.",
    ReleaseState.ARCHIVED: "An archived release stays archived; create another version of it.",
}
