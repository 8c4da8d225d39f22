"""What the installation's settings accept as a database, and that nothing they say repeats a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from stella_pipelines.core.settings import InvalidSetting, Settings, database_url, has_password

URL = "postgresql+psycopg2://stella@db.test:5432/stella"


@pytest.mark.parametrize("written", [URL, URL.replace("+psycopg2", ""), URL.replace("postgresql+psycopg2", "postgres")])
def test_a_postgres_url_is_accepted_as_people_write_it(written: str) -> None:
    assert database_url(written) == URL


@pytest.mark.parametrize(
    "parameters", ["?sslmode=verify-full&sslrootcert=/etc/ca.pem", "?host=/run/postgresql", "?host=a,b&port=5432,5433&target_session_attrs=read-write"]
)
def test_parameters_are_kept(parameters: str) -> None:
    assert database_url(f"postgresql:///stella{parameters}") == f"postgresql+psycopg2:///stella{parameters}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://stella:hunter2@word@db.test/stella",
        "postgresql://stella:hunter2/word@db.test/stella",
        "postgresql://stella:hunter2#word@db.test/stella",
        "postgresql://stella:hunter2?word@db.test/stella",
        "postgresql://stella@db.test/stella?password=hunter2",
        "postgresql://stella@db.test/stella?sslpassword=hunter2",
        "postgresql://stella:hunter2@db.test",
        "postgresql+asyncpg://stella:hunter2@db.test/stella",
        "mysql://stella:hunter2@db.test/stella",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        database_url(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.next_step


def test_an_escaped_password_is_one(tmp_path: Path) -> None:
    url = database_url("postgresql://stella:hunter2%40word@db.test/stella")
    assert has_password(url)
    assert not has_password(URL)
    assert not has_password("sqlite:////tmp/a:b@c/stella.db")
    assert "hunter2" not in repr(Settings(home=tmp_path, database_url=url))


def test_evidence_is_kept_for_seven_years_or_as_long_as_is_said() -> None:
    assert Settings.from_environ({}).evidence_retention_days == 2555
    assert Settings.from_environ({"STELLA_EVIDENCE_RETENTION_DAYS": "0"}).evidence_retention_days == 0
    for text in ("-1", "1.5", "seven years", "9" * 6, "٣"):
        with pytest.raises(InvalidSetting, match="STELLA_EVIDENCE_RETENTION_DAYS"):
            Settings.from_environ({"STELLA_EVIDENCE_RETENTION_DAYS": text})
