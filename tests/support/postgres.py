"""A real PostgreSQL server of the tests' own: one temporary cluster, reached over a unix socket only, gone when the tests are.

Nothing of the machine's own PostgreSQL is used except its binaries. As root the server runs as user `postgres`, which it insists on.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg2
import pytest

INSTALL = "apt-get install -y --no-install-recommends postgresql"
START_TIMEOUT_S = 30.0
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "128MB",
}
_MEMORY = Path("/dev/shm")
_MEMORY_FREE_BYTES_MIN = 1 << 30


def binaries() -> Path | None:
    """The folder of the newest installed server, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parent.parent.name))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else (Path(on_path).parent if on_path else None)


def fast_folder() -> Path | None:
    """A folder in memory, if the machine has one with room (containers often have 64 MiB); None means the usual temporary folder."""
    roomy = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MEMORY_FREE_BYTES_MIN
    return _MEMORY if roomy else None


class PostgresCluster:
    """One running server. `stop()` ends it and removes its folder."""

    def __init__(self, bin_folder: Path) -> None:
        self._bin = bin_folder
        self.folder = Path(tempfile.mkdtemp(prefix="stella-pg-", dir=fast_folder()))
        self._count = 0
        version = int(subprocess.check_output([bin_folder / "postgres", "--version"], text=True).split()[2].split(".")[0])
        self._copying = "STRATEGY FILE_COPY" if version >= 15 else ""  # before 15 it was the only one, and had no name
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
        self.start()

    def start(self) -> None:
        """Start the server, also after a crash, and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._as_postgres("postgres", "-D", self._data, "-k", str(self.folder), *(f"--{k}={v}" for k, v in _SETTINGS.items())),
                stdout=log,
                stderr=log,
                env=self._environ,
            )
        self._wait()

    def crash(self) -> None:
        """End the server at once, as `pg_ctl stop -m immediate` does; what was committed comes back with `start()`."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(timeout=START_TIMEOUT_S)

    def freeze(self, frozen: bool) -> None:
        """Stop every process of the server where it stands, or let all go on."""
        for pid in (self.process.pid, *self._children()):
            os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def use_passwords_for(self, role: str) -> None:
        """Let this role in with its password only; everybody else as before."""
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(f"local all {role} scram-sha-256\nlocal all all trust\n")
        self.administer("SELECT pg_reload_conf()")

    def url(self, database: str) -> str:
        """The address of one database of this server."""
        return f"postgresql+psycopg2://postgres@/{database}?host={self.folder}"

    def create(self, template: str | None = None) -> str:
        """A new database, empty or a copy of `template`. Returns its name."""
        self._count += 1
        name = f"db_{self._count}"
        self.administer(f"CREATE DATABASE {name} TEMPLATE {template or 'template0'} {self._copying}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever still uses it."""
        self.administer(f"DROP DATABASE {name} WITH (FORCE)")

    def administer(self, statement: str) -> None:
        """Run one statement outside any transaction, on the maintenance database."""
        connection = psycopg2.connect(host=str(self.folder), user="postgres", dbname="postgres")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    def stop(self) -> None:
        """End the server at once; nothing in it is worth keeping."""
        self.crash()
        shutil.rmtree(self.folder)

    def _children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    @property
    def _environ(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(self.folder)}

    def _as_postgres(self, program: str, *arguments: str) -> list[str]:
        # The death signal ends the server even when the tests are killed.
        account = ["--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        return ["setpriv", "--pdeathsig=QUIT", *account, "--", str(self._bin / program), *arguments]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(self._as_postgres(program, *arguments), check=False, capture_output=True, text=True, env=self._environ, cwd=self.folder)
        assert done.returncode == 0, f"{program} failed: {done.stdout}{done.stderr}"

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.administer("SELECT 1")
            except psycopg2.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError("PostgreSQL did not start: " + (self.folder / "server.log").read_text()) from None
                time.sleep(0.05)
            else:
                return


def start_or_skip() -> PostgresCluster:
    """A running server. Without the binaries: a failure in CI, a skip that says what to install elsewhere."""
    folder = binaries()
    if folder is None:
        message = f"PostgreSQL is not installed: {INSTALL}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return PostgresCluster(folder)
