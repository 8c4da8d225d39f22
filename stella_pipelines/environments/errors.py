"""What the estate's use cases refuse."""

from __future__ import annotations

from collections.abc import Mapping

from stella_pipelines.core.errors import StellaError


class EstateInUse(StellaError):
    """An environment or target that the new estate no longer has is in use: something is being promoted or deployed there."""

    code = "ENV_IN_USE"

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        listed = " ".join(f"{subject} is in use: {reason.rstrip('.')}." for subject, reason in sorted(reasons.items()))
        super().__init__(listed, next_step="Finish or cancel what uses it first, or keep it in the estate.")


class TargetStillRuns(StellaError):
    """A target that the new estate no longer has still runs what was deployed to it, and nobody would look after it any more."""

    code = "ENV_TARGET_STILL_RUNS"

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        listed = " ".join(f"Target {target} still runs {reason.rstrip('.')}." for target, reason in sorted(reasons.items()))
        options = " ".join(f"--forget-target {target}" for target in sorted(reasons))
        super().__init__(
            listed, next_step=f"Keep it in the estate, or let go of it as it is (what runs there goes on running, unwatched): 'stella apply {options}'."
        )


class TargetNotLeaving(StellaError):
    """A target was to be forgotten that the new estate keeps, or that the applied one never had."""

    code = "ENV_TARGET_NOT_LEAVING"


class TargetUnknown(StellaError):
    """The estate has no target with this name, or none of the kind that was asked for."""

    code = "ENV_TARGET_UNKNOWN"


class EstateRevisionMissing(StellaError):
    """There is no estate revision with this number."""

    code = "RES_ESTATE_REVISION_MISSING"
