"""What can be refused when evidence is held or purged."""

from __future__ import annotations

from stella_pipelines.core.errors import StellaError


class HoldMissing(StellaError):
    """No legal hold with this id was ever placed."""

    code = "RES_HOLD_MISSING"


class HoldLiftRefused(StellaError):
    """A legal hold cannot be lifted: it is lifted already, or who asks placed it."""

    code = "PERM_HOLD_LIFT"


class HoldScopeInvalid(StellaError):
    """What a legal hold shall cover was not said in exactly one way, or the span does not begin before it ends."""

    code = "VAL_HOLD_SCOPE"


class ReasonMissing(StellaError):
    """Something that needs a reason was asked for without one."""

    code = "VAL_REASON_MISSING"


class RetentionForEver(StellaError):
    """The installation keeps evidence for ever, so there is nothing to purge."""

    code = "EVID_RETENTION_FOR_EVER"


class RetentionNotOver(StellaError):
    """A purge was asked to take what is within the retention."""

    code = "EVID_RETENTION_NOT_OVER"


class PurgeUnconfirmed(StellaError):
    """A purge was asked for without being confirmed."""

    code = "VAL_PURGE_UNCONFIRMED"


class PlanChanged(StellaError):
    """What would go now is not what the plan says that was agreed to."""

    code = "EVID_PURGE_PLAN_CHANGED"


class PurgeForbidden(StellaError):
    """The database's role may not delete evidence: on PostgreSQL only the owner of the tables may."""

    code = "PERM_PURGE_OWNER"


class PacketPurged(StellaError):
    """The packet was purged after its retention. Its entry in the log stays."""

    code = "EVID_PURGED"
