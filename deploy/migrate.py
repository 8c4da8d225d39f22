"""Bring both schemas of the database to this version, and write Dagster's configuration into the home. Each under its lock; again does nothing.

`stella up` does the same at every start. This is for the split form, and for an upgrade that shall be seen to succeed before anything starts.
With STELLA_DATABASE_OWNER_URL, our tables are migrated by the role that owns them, and the application is given its rights; nothing else needs that variable.
"""

import os
import sys

from stella_pipelines.control_plane import open_store, ready_home
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.settings import Settings
from stella_pipelines.evidence.every_table import RIGHTS
from stella_pipelines.jobs.storage.instance_storage import prepare_instance
from stella_pipelines.store.owner import migrate_as_owner
from stella_pipelines.supervisor.home import instance_configuration


def migrate(settings: Settings) -> None:
    """Ours first: a database that is newer than this version is refused before anything is changed."""
    folder = settings.home / "dagster"
    ready_home(settings.home)
    folder.mkdir(mode=0o700, exist_ok=True)
    if settings.database_owner_url is not None:
        migrate_as_owner(settings.database_owner_url, settings.database_url, RIGHTS)
    open_store(settings).close()
    (folder / "dagster.yaml").write_text(instance_configuration(settings))
    os.environ["DAGSTER_HOME"] = str(folder)
    prepare_instance()


if __name__ == "__main__":
    try:
        migrate(Settings.from_environ(os.environ))
    except StellaError as error:
        sys.exit(str(error))
    print("the database and the home are those of this version")
