"""Whether an installation's database is there, found out without making one. Opening a SQLite file or a schema would create it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from stella_pipelines.store.engines import create_engine
from stella_pipelines.store.errors import translated
from stella_pipelines.store.migration import VERSION_TABLE


def is_there(url: str) -> bool:
    """Whether the database holds our tables, of whatever version. Unreachable is an error and not an absence."""
    address = sa.engine.make_url(url)
    if address.get_backend_name() == "sqlite":
        file = Path(address.database or "")
        return file.is_file() and file.stat().st_size > 0
    engine = create_engine(url)
    try:
        return sa.inspect(engine).has_table(VERSION_TABLE)
    except sa.exc.SQLAlchemyError as error:
        ours = translated(error, address.render_as_string(hide_password=True), committing=False)
        if ours is None:
            raise
        raise ours from error
    finally:
        engine.dispose()
