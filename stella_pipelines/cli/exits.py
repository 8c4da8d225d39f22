"""Exit codes that scripts can use; `stella --help` prints this table."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """One number, one meaning, for every command."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    WAITING = 3
    REJECTED = 4
    FAILED = 5
    NOT_YET = 6
    TRY_AGAIN = 75


MEANINGS: dict[Exit, str] = {
    Exit.DONE: "done; a promotion is deployed",
    Exit.REFUSED: "refused with an error code; nothing was changed unless the message says so",
    Exit.USAGE: "the command line itself is wrong",
    Exit.WAITING: "a promotion waits, and `stella status` says for what; for `stella diff` and"
    " `stella evidence replay --policy`: there is a difference, or one cannot be ruled out",
    Exit.REJECTED: "a gate, a person or a deadline ended the promotion before anything was deployed",
    Exit.FAILED: "a deployment failed, and was rolled back where the environment says so; for"
    " `stella evidence replay` and `stella audit check`: a decision does not come out again, or something is damaged",
    Exit.NOT_YET: "--timeout is over, and the promotion goes on without being followed",
    Exit.TRY_AGAIN: "a passing fault (database busy, target or registry not reachable): the same command may work later",
}
