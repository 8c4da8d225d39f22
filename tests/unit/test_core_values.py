"""Time has a zone, secrets do not print, errors speak, settings are checked."""

import pickle
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.core.clock import Instant, SystemClock, format_instant, parse_instant
from stella_pipelines.core.errors import StellaError
from stella_pipelines.core.secrets import Secret
from stella_pipelines.core.settings import InvalidSetting, Settings
from stella_pipelines.core.values import Value


class Meeting(Value):
    """A value with a time."""

    at: Instant


@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9)), timezone(timedelta(hours=5, minutes=45))]),
        min_value=datetime(1971, 1, 1),
        max_value=datetime(2200, 1, 1),
    )
)
def test_a_time_is_written_in_utc_and_read_back(moment: datetime) -> None:
    text = format_instant(moment)
    assert text.endswith("Z")
    assert len(text) == 27
    assert parse_instant(text) == moment
    assert Meeting(at=moment).document() == {"at": text}


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a zone"):
        Meeting.model_validate({"at": "2026-01-01T00:00:00"})
    assert SystemClock().now().tzinfo is UTC


def test_a_secret_shows_only_when_it_is_asked() -> None:
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {secret:>20} {[secret]} {vars(secret) if hasattr(secret, '__dict__') else ''}"
    assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert secret != Secret("hunter3")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_an_error_says_what_happened_what_is_unchanged_and_what_to_do() -> None:
    class LostKey(StellaError):
        code = "SYS_LOST_KEY_EXAMPLE"

    error = LostKey("The key is lost.", next_step="Look under the mat.")
    assert str(error) == "SYS_LOST_KEY_EXAMPLE: The key is lost. Nothing was changed. Look under the mat."
    assert error.document()["retryable"] is False


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    settings = Settings.from_environ({}, tmp_path)
    assert settings.home == tmp_path / ".stella"
    assert settings.database_url == f"sqlite:///{tmp_path / '.stella' / 'stella.db'}"
    chosen = Settings.from_environ({"STELLA_HOME": "/srv/stella", "STELLA_DATABASE_URL": "postgresql://app@127.0.0.1:5432/stella"}, tmp_path)
    assert (chosen.home, chosen.database_url) == (Path("/srv/stella"), "postgresql+psycopg2://app@127.0.0.1:5432/stella")
    with pytest.raises(InvalidSetting):
        Settings.from_environ({"STELLA_DATABASE_URL": "mysql://x"}, tmp_path)
