"""The one shared metadata. Every room's `tables.py` adds its `sa.Table` objects to it; nothing here knows which rooms exist.

Column conventions: times are Text in `format_instant` form (text order is time order), digests are Text, documents are Text holding
canonical JSON, flags are Boolean, and every mutable aggregate row has an integer `revision`.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint has the same name on both databases, so that a migration can name it."""

metadata = sa.MetaData(naming_convention=NAMING)
