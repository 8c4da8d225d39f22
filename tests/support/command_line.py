"""Running the `stella` command inside a test: its exit code and its JSON document, or what a person reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stella_pipelines.cli.exits import Exit
from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from tests.support.carrying_out import carry_out

Stella = Callable[..., tuple[Exit, Any]]
"""Runs words with `--json`."""


@dataclass(frozen=True)
class Said:
    """What a command said to a person."""

    code: Exit
    out: str
    err: str


Speaking = Callable[..., Said]
"""Runs words as a person does."""


def error_code(answer: tuple[Exit, Any]) -> str:
    """The code of a refusal, which must have all its parts."""
    code, document = answer
    assert code in (Exit.REFUSED, Exit.TRY_AGAIN)
    assert set(document["error"]) == {"code", "what", "unchanged", "next_step", "retryable"}
    return str(document["error"]["code"])


def carried_out(promotion_id: str) -> str:
    """Carry a promotion out in this process, without Dagster; the state that it ends in."""
    with open_control_plane(Settings.from_environ(os.environ)) as plane:
        return carry_out(plane, promotion_id).state.value
