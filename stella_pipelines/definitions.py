"""The one list of everything that Dagster loads: assets, checks, jobs, sensors and resources.

Assets and checks are built from the store's estate and releases at the moment of loading; `stella up` loads again when those change. A store
that is empty or cannot be read gives a location that loads and says so on its page.
"""

from __future__ import annotations

import logging
import os

import dagster as dg

from assets.catalogue import Catalogue, read_catalogue
from assets.checks import environment_check
from assets.specs import asset_specs
from sensors.approvals import approvals_sensor
from sensors.deployments import deployments_sensor
from sensors.observations import observations_sensor
from sensors.promotions import promotions_sensor
from sensors.releases import releases_sensor
from sensors.retention import retention_schedule
from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.settings import Settings
from stella_pipelines.jobs.catalogue import all_jobs, all_resources


def definitions(catalogue: Catalogue) -> dg.Definitions:
    """Everything, for one catalogue."""
    return dg.Definitions(
        assets=asset_specs(catalogue),
        asset_checks=[environment_check(environment.name) for environment in catalogue.estate.environments],
        jobs=all_jobs(),
        sensors=[promotions_sensor, approvals_sensor, deployments_sensor, observations_sensor, releases_sensor],
        schedules=[retention_schedule],
        resources=all_resources(),
        # For the runs that Dagster makes up itself, such as a check's: steps hand each other what is in memory (`all_resources`).
        executor=dg.in_process_executor,
        metadata={"stella": dg.MetadataValue.text(catalogue.says())},
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the installation that the environment names; called by Dagster when it loads the location."""
    try:
        with open_control_plane(Settings.from_environ(os.environ)) as plane:
            catalogue = read_catalogue(plane)
    except (StellaError, OSError) as error:
        # The location must load: it is where an operator looks when something is wrong. What is wrong is shown on its page.
        catalogue = Catalogue(unavailable=str(error))
    logging.getLogger("stella.definitions").info(catalogue.says())
    return definitions(catalogue)
