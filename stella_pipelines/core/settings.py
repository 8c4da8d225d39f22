"""The few settings of an installation, read from the environment once, at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from pydantic import Field

from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value

HOME_VARIABLE = "STELLA_HOME"
DATABASE_VARIABLE = "STELLA_DATABASE_URL"
OWNER_VARIABLE = "STELLA_DATABASE_OWNER_URL"
RETENTION_VARIABLE = "STELLA_RUN_RETENTION_DAYS"
EVIDENCE_RETENTION_VARIABLE = "STELLA_EVIDENCE_RETENTION_DAYS"
SIGNING_KEY_VARIABLE = "STELLA_SIGNING_KEY"
RUN_RETENTION_DAYS = 90
EVIDENCE_RETENTION_DAYS = 2_555
"""Seven years."""
_SCHEMES = ("sqlite:///", "postgresql+psycopg2://")
_POSTGRES_SPELLINGS = ("postgresql://", "postgres://")
_SECRET_PARAMETERS = frozenset({"password", "sslpassword"})


class InvalidSetting(StellaError):
    """A setting of the installation cannot be used."""

    code = "SYS_SETTING_INVALID"


class Settings(Value):
    """Where the installation lives (`home`) and where it remembers (`database_url`)."""

    home: Path
    database_url: str = Field(repr=False)  # it may hold a password
    database_owner_url: str | None = Field(default=None, repr=False)
    """The same database as the role that owns the tables, for migrations; None where one role does everything."""
    signing_key: str | None = None
    """Where the key is that seals evidence (`docs/keys.md`); None for a file in the home. It names a place and holds no secret."""
    run_retention_days: int = RUN_RETENTION_DAYS
    """How long Dagster keeps runs that ended, with their events; 0 is for ever. What is evidence is not Dagster's, and stays in any case."""
    evidence_retention_days: int = EVIDENCE_RETENTION_DAYS
    """How long evidence is kept before somebody may purge it (`docs/retention.md`); 0 is for ever. Nothing is ever purged by itself."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], working_directory: Path | None = None) -> Settings:
        """`STELLA_HOME` (default `./.stella`) and `STELLA_DATABASE_URL` (default SQLite inside the home)."""
        home = Path(environ.get(HOME_VARIABLE) or ".stella")
        home = home if home.is_absolute() else (working_directory or Path.cwd()) / home
        url = database_url(environ.get(DATABASE_VARIABLE) or f"sqlite:///{home / 'stella.db'}")
        days = _days(environ, RETENTION_VARIABLE, RUN_RETENTION_DAYS)
        evidence_days = _days(environ, EVIDENCE_RETENTION_VARIABLE, EVIDENCE_RETENTION_DAYS)
        key, owner = environ.get(SIGNING_KEY_VARIABLE) or None, environ.get(OWNER_VARIABLE)
        owner_url = database_url(owner, OWNER_VARIABLE) if owner else None
        kept = {"run_retention_days": days, "evidence_retention_days": evidence_days}
        return cls(home=home, database_url=url, database_owner_url=owner_url, signing_key=key, **kept)

    @property
    def signing_key_path(self) -> Path:
        """The private key that seals evidence, unless `signing_key` names another place."""
        return self.home / "keys" / "evidence.pem"

    @property
    def public_key_path(self) -> Path:
        """The public key that an auditor needs, and nothing else."""
        return self.home / "keys" / "evidence.pub"


def database_url(text: str, variable: str = DATABASE_VARIABLE) -> str:
    """A database URL in the form the store opens; `postgresql://` is accepted as people write it. No refusal repeats the URL: it may hold a password."""
    spelling = next((start for start in _POSTGRES_SPELLINGS if text.startswith(start)), None)
    url = f"postgresql+psycopg2://{text.removeprefix(spelling)}" if spelling else text
    if not url.startswith(_SCHEMES):
        scheme = text.split(":", 1)[0]
        raise InvalidSetting(
            f"{variable} starts with {scheme!r}, which is not a database that the store can use.",
            next_step="Write sqlite:////absolute/path/stella.db or postgresql://user@host:5432/database.",
        )
    if not url.startswith("sqlite"):
        _refuse_ambiguous(url)
    return url


def _days(environ: Mapping[str, str], variable: str, default: int) -> int:
    text = environ.get(variable) or str(default)
    if not (text.isascii() and text.isdecimal()) or len(text) > 5:
        raise InvalidSetting(
            f"{variable} is {text[:40]!r}, which is no number of days.",
            next_step=f"Write a whole number such as {default}; 0 keeps them for ever.",
        )
    return int(text)


def has_password(url: str) -> bool:
    """Whether a checked URL holds a password."""
    return not url.startswith("sqlite") and urlsplit(url).password is not None


def _refuse_ambiguous(url: str) -> None:
    parts = _split(url)
    # Read differently, a part of such a password would be the host or the database, and stand in every message.
    if parts is None or "@" in parts.path or "@" in parts.netloc.rpartition("@")[0]:
        raise InvalidSetting(
            "The database's URL cannot be read: a character of its user or password has a meaning in URLs.",
            next_step="Write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25.",
        )
    if parts.path in ("", "/"):
        raise InvalidSetting("The database's URL names no database.", next_step="Write postgresql://user@host:5432/database.")
    if _SECRET_PARAMETERS & parse_qs(parts.query).keys():
        raise InvalidSetting(
            "The database's URL has a password among its parameters, where it would be shown.",
            next_step="Write it as postgresql://user:password@host/database, or use PGPASSWORD, ~/.pgpass or the parameter passfile.",
        )


def _split(url: str) -> SplitResult | None:
    """None for what cannot be split into parts in one way only."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # read to be checked: an odd password makes an odd port
    except ValueError:
        return None
    return None if parts.fragment else parts
