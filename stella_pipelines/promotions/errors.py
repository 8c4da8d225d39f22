"""What can go wrong when somebody asks something of a promotion. Each leaf is one stable code."""

from __future__ import annotations

from stella_pipelines.core.errors import StellaError


class PromotionMissing(StellaError):
    """There is no promotion with this id."""

    code = "RES_PROMOTION_MISSING"


class EvaluationMissing(StellaError):
    """There is no evaluation with this id, or no attempt with this number."""

    code = "RES_EVALUATION_MISSING"


class OverrideMissing(StellaError):
    """There is no override with this id."""

    code = "RES_OVERRIDE_MISSING"


class NotOverridable(StellaError):
    """The estate does not let this person overrule this gate."""

    code = "PERM_NOT_OVERRIDABLE"


class OverrideRefused(StellaError):
    """An override was asked for, confirmed or reviewed where there is nothing to overrule, too late, or by the wrong person."""

    code = "PROM_OVERRIDE_REFUSED"


class EvaluationIncomplete(StellaError):
    """A decision was asked for before every gate was evaluated."""

    code = "PROM_EVALUATION_INCOMPLETE"


class IllegalCommand(StellaError):
    """The promotion's state does not accept this command."""

    code = "PROM_ILLEGAL_COMMAND"


class PromotionInProgress(StellaError):
    """Another promotion into this environment is still live."""

    code = "PROM_IN_PROGRESS"


class ReleaseNotPromotable(StellaError):
    """A release that is not finalized, or that is archived, cannot be promoted."""

    code = "PROM_RELEASE_NOT_FINALIZED"


class EnvironmentUnknown(StellaError):
    """The estate has no environment with this name."""

    code = "PROM_ENVIRONMENT_UNKNOWN"


def unknown_environment(name: str) -> EnvironmentUnknown:
    """The error for an environment that the estate does not declare."""
    return EnvironmentUnknown(f"The estate declares no environment {name[:80]!r}.", next_step="Declare it in estate.yaml and run 'stella apply'.")


class SelfApproval(StellaError):
    """Separation of duties: whoever requested the promotion, or wrote the commit where the gate says so, does not approve it."""

    code = "PROM_SELF_APPROVAL"


class NotEligible(StellaError):
    """This person is in no approval group of this promotion's gates."""

    code = "PROM_NOT_ELIGIBLE"


class AlreadyDecided(StellaError):
    """The promotion has its decision, so an approval or rejection would change nothing."""

    code = "PROM_ALREADY_DECIDED"


class RunsDied(StellaError):
    """One run of the promotion after the other died; it is tried seldom from now on."""

    code = "PROM_RUNS_DIED"
    retryable = True


class DecisionUnsealable(StellaError):
    """The gates have answered, and their decision is too large to be sealed as evidence."""

    code = "PROM_DECISION_UNSEALABLE"


class PlanUnknown(StellaError):
    """There is no plan yet that an approval could be bound to."""

    code = "PROM_PLAN_UNKNOWN"


class PlanDiffers(StellaError):
    """The plan that the approver looked at is not the plan that would be carried out."""

    code = "PROM_PLAN_CHANGED"
