"""The few settings of an installation, read from the environment once, at the edge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.values import Value

HOME_VARIABLE = "STELLA_HOME"
DATABASE_VARIABLE = "STELLA_DATABASE_URL"
_SCHEMES = ("sqlite:///", "postgresql+psycopg2://")


class InvalidSetting(StellaError):
    """A setting of the installation cannot be used."""

    code = "SYS_SETTING_INVALID"


class Settings(Value):
    """Where the installation lives (`home`) and where it remembers (`database_url`)."""

    home: Path
    database_url: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], working_directory: Path | None = None) -> Settings:
        """`STELLA_HOME` (default `./.stella`) and `STELLA_DATABASE_URL` (default SQLite inside the home)."""
        home = Path(environ.get(HOME_VARIABLE) or ".stella")
        home = home if home.is_absolute() else (working_directory or Path.cwd()) / home
        return cls(home=home, database_url=database_url(environ.get(DATABASE_VARIABLE) or f"sqlite:///{home / 'stella.db'}"))

    @property
    def signing_key_path(self) -> Path:
        """The private key that seals evidence."""
        return self.home / "keys" / "evidence.pem"

    @property
    def public_key_path(self) -> Path:
        """The public key that an auditor needs, and nothing else."""
        return self.home / "keys" / "evidence.pub"


def database_url(text: str) -> str:
    """A database URL in the form the store opens; `postgresql://` is accepted as people write it."""
    url = text.replace("postgresql://", "postgresql+psycopg2://", 1) if text.startswith("postgresql://") else text
    if not url.startswith(_SCHEMES):
        scheme = text.split(":", 1)[0]
        raise InvalidSetting(
            f"{DATABASE_VARIABLE} starts with {scheme!r}, which is not a database that the store can use.",
            next_step="Write sqlite:////absolute/path/stella.db or postgresql://user@host:5432/database.",
        )
    return url
