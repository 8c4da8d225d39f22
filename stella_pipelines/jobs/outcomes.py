"""What a run came to, as tags in the list of runs: a run that succeeded in rejecting must not look like one that brought a release.

Never with the tag `stella/environment`: runs that carry it queue one behind the other.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import dagster as dg

from stella_pipelines.deployments.model import DeploymentRecord, DeploymentState
from stella_pipelines.promotions.promotion import Promotion

OUTCOME_TAG: Final = "stella/outcome"
PROMOTION_TAG: Final = "stella/promotion"
DEPLOYMENT_TAG: Final = "stella/deployment"
RELEASE_TAG: Final = "stella/release"
INTO_TAG: Final = "stella/promotes_to"


def tag_outcome(context: dg.OpExecutionContext, outcome: str) -> None:
    """Say in one word what the run came to."""
    context.instance.add_run_tags(context.run_id, {OUTCOME_TAG: outcome})


def tag_promotion(context: dg.OpExecutionContext, outcome: str, promotion: Promotion) -> None:
    """The same for a run that an operator launched, with the promotion that it was about: the list of runs filters by it."""
    about = {PROMOTION_TAG: promotion.id, RELEASE_TAG: promotion.release_label, INTO_TAG: promotion.environment}
    context.instance.add_run_tags(context.run_id, {OUTCOME_TAG: outcome, **about})


def tag_deployment(context: dg.OpExecutionContext, record: DeploymentRecord) -> None:
    """The same for a run that carried out a deployment, a retry or a rollback."""
    context.instance.add_run_tags(context.run_id, {OUTCOME_TAG: outcome_of(record), DEPLOYMENT_TAG: record.id})


def outcome_of(record: DeploymentRecord) -> str:
    """One word for how a deployment ended. Pure."""
    if record.state is DeploymentState.SUCCEEDED:
        return "rolled_back" if record.kind == "rollback" else "deployed"
    return record.state.value


def runs_of(promotion_id: str) -> dg.MetadataValue:
    """A link to the list of runs, with this promotion's only."""
    return dg.MetadataValue.url(f"/runs?q[0]={quote(f'tag:{PROMOTION_TAG}={promotion_id}', safe='')}")
