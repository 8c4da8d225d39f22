"""What the estate's use cases refuse."""

from __future__ import annotations

from collections.abc import Mapping

from stella_pipelines.core.errors import StellaError


class EstateInUse(StellaError):
    """An environment or target that the new estate no longer has is in use: something is being promoted, deployed or still runs there."""

    code = "ENV_IN_USE"

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        listed = " ".join(f"{subject} is in use: {reason.rstrip('.')}." for subject, reason in sorted(reasons.items()))
        super().__init__(listed, next_step="Finish or cancel what uses it first, or keep it in the estate.")


class EstateRevisionMissing(StellaError):
    """There is no estate revision with this number."""

    code = "RES_ESTATE_REVISION_MISSING"
