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
RETENTION_VARIABLE = "STELLA_RUN_RETENTION_DAYS"
RUN_RETENTION_DAYS = 90
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
    run_retention_days: int = RUN_RETENTION_DAYS
    """How long Dagster keeps runs that ended, with their events; 0 is for ever. What is evidence is not Dagster's, and stays in any case."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], working_directory: Path | None = None) -> Settings:
        """`STELLA_HOME` (default `./.stella`) and `STELLA_DATABASE_URL` (default SQLite inside the home)."""
        home = Path(environ.get(HOME_VARIABLE) or ".stella")
        home = home if home.is_absolute() else (working_directory or Path.cwd()) / home
        url = database_url(environ.get(DATABASE_VARIABLE) or f"sqlite:///{home / 'stella.db'}")
        return cls(home=home, database_url=url, run_retention_days=_days(environ.get(RETENTION_VARIABLE) or str(RUN_RETENTION_DAYS)))

    @property
    def signing_key_path(self) -> Path:
        """The private key that seals evidence."""
        return self.home / "keys" / "evidence.pem"

    @property
    def public_key_path(self) -> Path:
        """The public key that an auditor needs, and nothing else."""
        return self.home / "keys" / "evidence.pub"


def database_url(text: str) -> str:
    """A database URL in the form the store opens; `postgresql://` is accepted as people write it. No refusal repeats the URL: it may hold a password."""
    spelling = next((start for start in _POSTGRES_SPELLINGS if text.startswith(start)), None)
    url = f"postgresql+psycopg2://{text.removeprefix(spelling)}" if spelling else text
    if not url.startswith(_SCHEMES):
        scheme = text.split(":", 1)[0]
        raise InvalidSetting(
            f"{DATABASE_VARIABLE} starts with {scheme!r}, which is not a database that the store can use.",
            next_step="Write sqlite:////absolute/path/stella.db or postgresql://user@host:5432/database.",
        )
    if not url.startswith("sqlite"):
        _refuse_ambiguous(url)
    return url


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 5:
        raise InvalidSetting(
            f"{RETENTION_VARIABLE} is {text[:40]!r}, which is no number of days.",
            next_step=f"Write a whole number such as {RUN_RETENTION_DAYS}; 0 keeps runs for ever.",
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
