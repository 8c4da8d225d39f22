"""Who waits for a database that is away, for how long, and which refusals are not waited for."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
import sqlalchemy as sa

from stella_pipelines.store.limits import OUTAGE_POLL_S
from stella_pipelines.store.outage import patiently
from stella_pipelines.store.refusals import refusal_in

AWAY = "connection refused"


class Server:
    """Refuses with each of the given words, one after the other, and then lets in. Its time passes only while somebody waits."""

    def __init__(self, *refusals: str) -> None:
        self._refusals: Iterator[str] = iter(refusals)
        self.time_s = 0.0
        self.asked = 0

    def open(self) -> str:
        self.asked += 1
        words = next(self._refusals, None)
        if words is not None:
            raise sa.exc.OperationalError("connect", None, psycopg2.OperationalError(words))
        return "connection"

    def wait(self, seconds: float) -> None:
        self.time_s += seconds

    def ask(self, patience_s: float) -> str:
        return patiently(self.open, patience_s, lambda: self.time_s, self.wait)


def test_a_server_that_answers_is_not_waited_for() -> None:
    server = Server()
    assert server.ask(60.0) == "connection"
    assert server.time_s == 0.0


@pytest.mark.parametrize("words", [AWAY, "FATAL:  the database system is starting up", "FATAL:  sorry, too many clients already"])
def test_one_that_is_away_is_tried_again_until_it_is_back(words: str) -> None:
    server = Server(*[words] * 20)
    assert server.ask(60.0) == "connection"
    assert server.asked == 21
    assert server.time_s == 20 * OUTAGE_POLL_S


def test_patience_ends() -> None:
    server = Server(*[AWAY] * 1000)
    with pytest.raises(sa.exc.OperationalError, match=AWAY):
        server.ask(10.0)
    assert 10.0 <= server.time_s <= 10.0 + OUTAGE_POLL_S


def test_without_patience_it_is_asked_once() -> None:
    server = Server(AWAY)
    with pytest.raises(sa.exc.OperationalError, match=AWAY):
        server.ask(0.0)
    assert server.asked == 1


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ('FATAL:  password authentication failed for user "stella"', "credentials"),
        ('FATAL:  role "stella" does not exist', "credentials"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "stella", database "stella", no encryption', "credentials"),
        ('FATAL:  database "stella" does not exist', "database"),
        ('FATAL:  permission denied for database "stella"', "privilege"),
        ('root certificate file "/etc/ca.pem" does not exist', "parameters"),
        ("SSL error: certificate verify failed", "parameters"),
        ("server does not support SSL, but SSL was required", "parameters"),
    ],
)
def test_what_was_refused_for_good_is_not_waited_for(words: str, refusal: str) -> None:
    assert refusal_in(words) == refusal
    server = Server(words)
    with pytest.raises(sa.exc.OperationalError):
        server.ask(60.0)
    assert server.asked == 1
