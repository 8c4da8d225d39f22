"""What the estate's use cases refuse."""

from __future__ import annotations

from collections.abc import Mapping

from stella_pipelines.core.errors import StellaError
from stella_pipelines.environments.leaving import Moved


class EstateInUse(StellaError):
    """An environment or target that the new estate no longer has, or has in another place, is in use: something is being promoted or deployed there."""

    code = "ENV_IN_USE"

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        listed = " ".join(f"{subject} is in use: {reason.rstrip('.')}." for subject, reason in sorted(reasons.items()))
        super().__init__(listed, next_step="Finish or cancel what uses it first, or keep it in the estate as it is.")


class TargetStillRuns(StellaError):
    """A target that the new estate no longer has, or has in another place, still runs what was deployed to it; nobody would look after it any more."""

    code = "ENV_TARGET_STILL_RUNS"

    def __init__(self, reasons: Mapping[str, str], moved: Mapping[str, Moved] | None = None) -> None:
        moved = moved or {}
        self.reasons = dict(reasons)
        self.moved = dict(moved)
        listed = " ".join(_still_runs(target, reason.rstrip("."), moved.get(target)) for target, reason in sorted(reasons.items()))
        options = " ".join(f"--forget-target {target}" for target in sorted(reasons))
        next_step = f"Keep it in the estate, or let go of it as it is (what runs there goes on running, unwatched): 'stella apply {options}'."
        if moved:
            next_step += " Where the same host only got another address, that command is right too: its containers are found again at the new one."
        super().__init__(listed, next_step=next_step)


def _still_runs(target: str, reason: str, moved: Moved | None) -> str:
    if moved is None:
        return f"Target {target} still runs {reason}."
    return f"Target {target} would be in another place ({moved.to}), while its old one ({moved.origin}) still runs {reason}."


class TargetNotLeaving(StellaError):
    """A target was to be forgotten that the new estate keeps where it is, or that the applied one never had."""

    code = "ENV_TARGET_NOT_LEAVING"


class TargetUnknown(StellaError):
    """The estate has no target with this name, or none of the kind that was asked for."""

    code = "ENV_TARGET_UNKNOWN"


class EstateRevisionMissing(StellaError):
    """There is no estate revision with this number."""

    code = "RES_ESTATE_REVISION_MISSING"
