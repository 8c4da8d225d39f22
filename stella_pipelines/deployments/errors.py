"""What can go wrong with a deployment. Each leaf is one stable code; what a target may answer stands in `connectors/port.py`."""

from __future__ import annotations

from stella_pipelines.core.errors import StellaError


class DeploymentMissing(StellaError):
    """There is no deployment with this id."""

    code = "RES_DEPLOYMENT_MISSING"


class PlanIncomplete(StellaError):
    """At least one target could not be asked, or cannot run the release, so there is no plan for the environment."""

    code = "DEPLOY_PLAN_INCOMPLETE"


class PlanDiffers(StellaError):
    """What would be carried out now is not what was approved: the estate or a target changed since."""

    code = "DEPLOY_PLAN_CHANGED"


class AllowStale(StellaError):
    """A gate that allowed the promotion does not allow it any more at the moment of acting: a freeze began, an approval expired, a report came."""

    code = "DEPLOY_ALLOW_STALE"


class StrategyInvalid(StellaError):
    """A batch size or failure budget is neither a count nor a percentage."""

    code = "DEPLOY_STRATEGY_INVALID"


class IllegalRolloutEvent(StellaError):
    """An event was given to a rollout that cannot happen in its state. It shows a fault in the engine or a damaged journal."""

    code = "DEPLOY_ILLEGAL_EVENT"


class WayBackMissing(StellaError):
    """The version that runs now could not be started again, so the target must not be touched."""

    code = "DEPLOY_WAY_BACK_MISSING"


class FenceAhead(StellaError):
    """A target remembers a higher fencing token than this installation gives out: its database is an old copy, or two installations share the target."""

    code = "DEPLOY_FENCE_AHEAD"


class RestoreNotProven(StellaError):
    """After a rollback the target does not run what it ran before."""

    code = "DEPLOY_RESTORE_NOT_PROVEN"


class StepTimedOut(StellaError):
    """One step on one target took longer than its limit."""

    code = "DEPLOY_STEP_TIMEOUT"


class DeploymentTimedOut(StellaError):
    """The deployment took longer than the environment's `deployment_timeout_s`."""

    code = "DEPLOY_TIMEOUT"


class DeploymentAborted(StellaError):
    """Somebody asked for a rollback while the deployment had not ended."""

    code = "DEPLOY_ABORTED"


class ConnectorBroke(StellaError):
    """A connector raised something that is not in its contract."""

    code = "DEPLOY_CONNECTOR_BROKE"


class JournalTaken(StellaError):
    """Another process has written to this deployment's journal: this one must stop."""

    code = "DEPLOY_JOURNAL_TAKEN"


class ArtifactsDamaged(StellaError):
    """The stored artifacts of a deployment do not have the form that was written."""

    code = "DEPLOY_ARTIFACTS_DAMAGED"


class DriftedAtTheEnd(StellaError):
    """Every target proved its digests, and the last look shows something else: somebody is acting on the target."""

    code = "DEPLOY_DRIFTED"


class NotProven(StellaError):
    """A rollback names a release that never ran proven in this environment, or there is no earlier one."""

    code = "DEPLOY_NOT_PROVEN"


class NothingToRetry(StellaError):
    """A retry was asked for a deployment without failed targets, or that is not its environment's newest."""

    code = "DEPLOY_NOTHING_TO_RETRY"


class DeploymentNotDue(StellaError):
    """The promotion is in a state in which nothing may be deployed for it."""

    code = "DEPLOY_NOT_DUE"


class DeploymentUnfinished(StellaError):
    """Another deployment into this environment has not ended."""

    code = "DEPLOY_UNFINISHED"
