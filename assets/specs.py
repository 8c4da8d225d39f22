"""The asset graph of an estate: image → release → dev → staging → prod, and evidence beside each environment.

External specs only. An asset with a compute function would get a button that deploys without a promotion.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import dagster as dg

from assets.catalogue import Catalogue
from assets.keys import RELEASES, environment_key, evidence_key, image_key, release_key
from stella_pipelines.environments.model import Environment, Estate

REVISION_ENTRY: Final = "estate revision"
"""Metadata of every environment: how somebody outside sees which revision is loaded."""


def asset_specs(catalogue: Catalogue) -> list[dg.AssetSpec]:
    """Every asset of the catalogue."""
    estate = catalogue.estate
    return [
        *(_image(estate, component) for component in catalogue.components()),
        *(_release(name, components) for name, components in sorted(catalogue.releases.items())),
        *(_environment(environment, catalogue) for environment in estate.environments),
        *(_evidence(environment) for environment in estate.environments),
    ]


def _image(estate: Estate, name: str) -> dg.AssetSpec:
    declared = estate.component(name)
    return dg.AssetSpec(
        image_key(name),
        description=f"The container image of component `{name}`, by digest. Reported for every release that contains it.",
        metadata={"repository": declared.repository} if declared else {},
        group_name="images",
        partitions_def=RELEASES,
        kinds={"oci", "docker"},
    )


def _release(name: str, components: Iterable[str]) -> dg.AssetSpec:
    return dg.AssetSpec(
        release_key(name),
        deps=[image_key(component) for component in components],
        description=f"Finalized releases of `{name}`. A release is an immutable set of image digests; its data version is its own digest.",
        group_name="releases",
        partitions_def=RELEASES,
        kinds={"oci"},
    )


def _environment(environment: Environment, catalogue: Catalogue) -> dg.AssetSpec:
    gates = "none" if environment.gates == "none" else ", ".join(gate.name for gate in environment.gates)
    return dg.AssetSpec(
        environment_key(environment.name),
        deps=[*(release_key(name) for name in sorted(catalogue.releases)), *(environment_key(upstream) for upstream in environment.promotes_from)],
        description=f"What was deployed into {environment.display_name or environment.name}. The data version is the release's digest, proven by the targets.",
        metadata={"gates": gates, "strategy": environment.strategy.kind, "production": environment.is_production, REVISION_ENTRY: catalogue.revision},
        group_name="environments",
        partitions_def=RELEASES,
        # Dagster draws a whale for it: only where a Docker Engine is.
        kinds={"docker"} if any(target.kind == "docker" for target in catalogue.estate.targets_of(environment.name)) else None,
    )


def _evidence(environment: Environment) -> dg.AssetSpec:
    return dg.AssetSpec(
        evidence_key(environment.name),
        deps=[environment_key(environment.name)],
        description=f"Sealed packets about {environment.display_name or environment.name}: decisions (allow and deny), deployments and rollbacks. "
        "The packet itself is in the store; its digest is the data version here.",
        group_name="evidence",
        partitions_def=RELEASES,
        kinds={"in-toto"},
    )
