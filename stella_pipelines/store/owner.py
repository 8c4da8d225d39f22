"""Two roles on PostgreSQL: the owner of the tables migrates, and the application only reads, adds, and changes what is no evidence.

The owner's address is a setting of its own (`STELLA_DATABASE_OWNER_URL`), which no process but the one that migrates needs. `deploy/postgres-roles.sql`
makes the roles. Which rights the application has on which table is told by the caller; what is not told is taken away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa

from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.settings import DATABASE_VARIABLE, OWNER_VARIABLE, InvalidSetting
from stella_pipelines.store.engines import create_engine
from stella_pipelines.store.errors import translating
from stella_pipelines.store.migration import VERSION_TABLE, ensure_schema

ROLES_FILE = "deploy/postgres-roles.sql"
Rights = Mapping[str, Sequence[str]]
"""By table, what the application may do besides reading and adding rows."""


class RolesNotApart(StellaError):
    """The application's role on PostgreSQL is missing, or is one that could take the protection off the evidence."""

    code = "SYS_DATABASE_ROLES"


def migrate_as_owner(owner_url: str, application_url: str, rights: Rights) -> None:
    """Bring the schema to this version as its owner, and give the application its rights. Again changes nothing."""
    application = _application(sa.make_url(owner_url), sa.make_url(application_url))
    engine = create_engine(owner_url)
    where = engine.url.render_as_string(hide_password=True)
    try:
        with translating(where):
            ensure_schema(engine, migrate=True, where=where)
            with engine.begin() as connection:
                _require_apart(connection, application)
                for statement in grants(application, rights, _schema(connection)):
                    connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


def grants(application: str, rights: Rights, schema: str = "public") -> Iterator[str]:
    """The statements that give the application its rights on our tables, and take away every other one. Pure."""
    role, inside = _quoted(application), _quoted(schema)
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {inside} FROM {role}"
    yield f"GRANT SELECT ON {inside}.{VERSION_TABLE} TO {role}"
    for table, more in sorted(rights.items()):
        yield f"GRANT {', '.join(['SELECT', 'INSERT', *more])} ON {inside}.{_quoted(table)} TO {role}"
    yield f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {inside} TO {role}"


def _application(owner: sa.URL, application: sa.URL) -> str:
    if owner.get_backend_name() != "postgresql" or application.get_backend_name() != "postgresql":
        raise InvalidSetting(f"{OWNER_VARIABLE} is for PostgreSQL; SQLite knows no roles.", next_step=f"Leave {OWNER_VARIABLE} out.")
    if not application.username or application.username == owner.username:
        raise InvalidSetting(
            f"{OWNER_VARIABLE} and {DATABASE_VARIABLE} must name two different users.", next_step=f"Make them with {ROLES_FILE}, and write both into the URLs."
        )
    if owner.database != application.database:
        raise InvalidSetting(f"{OWNER_VARIABLE} and {DATABASE_VARIABLE} name two databases.", next_step="Write the same database into both.")
    return application.username


def _require_apart(connection: sa.Connection, application: str) -> None:
    found = connection.execute(sa.text("SELECT rolsuper FROM pg_roles WHERE rolname = :role"), {"role": application}).scalar()
    if found is None:
        raise RolesNotApart(f"The role {application} is not there.", next_step=f"Make the roles with {ROLES_FILE}.")
    becomes = sa.text("SELECT pg_has_role(:role, current_user, 'MEMBER')")
    if found or connection.execute(becomes, {"role": application}).scalar():
        raise RolesNotApart(
            f"The role {application} is a superuser or may become the owner, so it could change evidence. It was given no rights.",
            next_step=f"Run {ROLES_FILE} again; it takes both away.",
        )


def _schema(connection: sa.Connection) -> str:
    return str(connection.execute(sa.text("SELECT current_schema()")).scalar())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'
