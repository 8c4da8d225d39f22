"""The limits of a deployment, with their units and reasons."""

from __future__ import annotations

from typing import Final

from stella_pipelines.core.limits import LEASE_RENEW_S, LEASE_TTL_S

STEP_ATTEMPTS_MAX: Final = 3
"""Tries of one step whose error may pass by itself; every step is idempotent, so a lost answer is simply asked for again."""
STEP_BACKOFF_S: Final = 0.5
"""The wait before the second try; it doubles."""
ASK_TIMEOUT_S: Final = 60.0
"""Probing and observing one target for a plan or an observation."""
STEP_TIMEOUT_S: Final = 180.0
"""One step on one target, on top of what its components allow for pulling, stopping and health."""
OBSERVATION_GAP_S_MAX: Final = 900.0
"""A longer time between two looks at an environment is time in which nobody knows whether it was healthy: a soak begins again."""
LOOK_TIMEOUT_S: Final = 20.0
"""Looking at one target; one that takes longer has not answered. Shorter than a tick of the sensor that looks at everything."""
LOOK_AGAIN_S: Final = 60.0
"""How old the newest look at an environment may become before somebody looks again."""
HEALTH_LOOK_TIMEOUT_S: Final = 15.0
"""One look at a component's health; a look that hangs counts as unknown."""
DATABASE_PATIENCE_S: Final = LEASE_TTL_S - 2 * LEASE_RENEW_S
"""How long a write to the store is tried again. Shorter than a lease lives: after it the lease may be somebody else's."""
DATABASE_BACKOFF_S: Final = 0.2
"""The wait before the second try of a write; it doubles up to `DATABASE_BACKOFF_MAX_S`."""
DATABASE_BACKOFF_MAX_S: Final = 3.0
"""The longest wait between two tries of a write."""
DISK_FREE_BYTES_MIN: Final = 64 * 1024 * 1024
"""Less free room than this on a target is refused before any pull. What the images need in full is known to the target only."""
LOG_BYTES_MAX: Final = 64 * 1024
"""The last output of a failed component that is kept with the ledger."""
DEPLOYMENTS_LISTED_MAX: Final = 500
"""Deployments that one listing returns."""
FOLLOW_S: Final = 0.5
"""How often an engine that shares a deployment looks whether the others have written, while nothing of its own happens."""
CLAIM_AFTER_S: Final = 10.0
"""Nobody has written for so long: then targets on which everybody waits are taken over, if nobody has them. Longer than a worker takes to start."""
CLAIM_TARGETS_MIN: Final = 50
"""An engine takes over as many targets at once as it has, but no fewer than this: so several engines that wait share what a dead one leaves."""
SHARDS_MAX: Final = 64
"""Engines that share one deployment. Each follows all of its events, so more of them cost more than they bring."""
