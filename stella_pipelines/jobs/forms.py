"""The Launchpad's forms: the few fields that an operator fills in, flat, all of them there from the start and none of Dagster's own.

Dagster pre-fills only what has a default, so a field that must be filled in starts empty; `check_filled_in` refuses it when it is still empty.
"""

from typing import Any, Final

import dagster as dg
from pydantic import Field

from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.words import Words

_ACTOR: Final = "Who asks: your name as it stands in the approval groups. It is recorded, and not checked, as long as the UI has no login."
_PROMOTION: Final = "The promotion's id (prm_…), or the name of the environment whose live promotion is meant."


class FormIncomplete(StellaError):
    """A run was launched with a field empty that must be filled in."""

    code = "VAL_FORM_INCOMPLETE"


class PromotionRequest(dg.Config):
    """Ask for a release to go into an environment."""

    release: str = Field(description="name-version, name:version, sha256:… or the partition key of a finalized release.")
    environment: str = Field(description="The environment to promote into.")
    actor: str = Field(description=_ACTOR)
    reason: Words = Field(default="", description="Why; kept in the evidence.")


class PromotionWord(dg.Config):
    """Say something about a promotion."""

    promotion: str = Field(description=_PROMOTION)
    actor: str = Field(description=_ACTOR)
    reason: Words = Field(default="", description="Why; kept in the evidence.")


class Verdict(PromotionWord):
    """Approve or reject a promotion."""

    plan_digest: str = Field(default="", description="Only if the plan still has this digest; empty: the plan that is waiting now.")


class RollbackRequest(dg.Config):
    """Bring an environment back to an earlier proven release, now."""

    environment: str = Field(description="The environment to roll back.")
    actor: str = Field(description=_ACTOR)
    reason: Words = Field(description="Why; kept in the evidence.")
    to: str = Field(default="", description="An earlier proven release; empty: the one before.")


class PromotionName(dg.Config):
    """Name a promotion."""

    promotion: str = Field(description=_PROMOTION)
    actor: str = Field(description=_ACTOR)


class RetryRequest(dg.Config):
    """Try a deployment again on the targets on which it did not succeed."""

    deployment: str = Field(description="The deployment's id (dep_…), as its run and 'stella status' show it.")
    actor: str = Field(description=_ACTOR)
    reason: Words = Field(default="", description="Why; kept in the evidence.")


class TargetName(dg.Config):
    """Name a target."""

    target: str = Field(description="The target's name in the estate.")


def form(op: str, fields: type[dg.Config]) -> dg.ConfigMapping:
    """A job's whole configuration: the fields of its one op."""

    def fill_in(values: dict[str, Any]) -> dict[str, Any]:
        return {"ops": {op: {"config": values}}}

    schema = {name: dg.Field(str, default_value="", description=field.description) for name, field in fields.model_fields.items()}
    return dg.ConfigMapping(fill_in, config_schema=schema)


def check_filled_in(values: dg.Config) -> None:
    """Refuse a form in which something is empty that must not be."""
    empty = [name for name, field in type(values).model_fields.items() if field.is_required() and not str(getattr(values, name)).strip()]
    if empty:
        raise FormIncomplete(f"Not filled in: {', '.join(empty)}.", next_step="Launch it again with these fields in the Launchpad.")
