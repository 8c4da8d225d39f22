"""Alembic's entry: runs the chain on the connection that the store hands over, inside the store's own transaction and lock.

There is no alembic.ini and no offline mode. The chain stands alone: it imports no tables, so that an old migration never changes its meaning.
"""

from __future__ import annotations

from alembic import context

from stella_pipelines.store.migration import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
