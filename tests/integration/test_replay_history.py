"""`stella evidence replay` over a real past, on both databases: every decision again, and what another estate would have decided."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Never

import pytest
import sqlalchemy as sa
from rich.console import Console

from stella_pipelines.cli import replay as command
from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.cli.output import Output
from stella_pipelines.cli.session import Session
from stella_pipelines.control_plane import ControlPlane, open_control_plane
from stella_pipelines.core.clock import format_instant
from stella_pipelines.core.digest import Digest
from stella_pipelines.core.settings import Settings
from stella_pipelines.evidence.envelope import read_envelope
from stella_pipelines.evidence.statement import Statement, Subject
from stella_pipelines.evidence.tables import evidence_packets
from stella_pipelines.promotions import past_decisions
from stella_pipelines.promotions.replay import ReplayReport, replay_statement
from stella_pipelines.store.database import Store, Transaction
from stella_pipelines.store.errors import DatabaseBusy
from stella_pipelines.store.tables import blobs
from tests.support.command_line import Speaking, Stella, error_code
from tests.support.intrusion import without_guards
from tests.support.past import ADA, decide, installation, release

ESTATE = """
policies:
  named: {cel: "release.name == 'shop'"}
environments:
  dev: {gates: none}
  prod:
    promotes_from: [dev]
    gates:
      ours: {kind: policy, policy: named}
      people: {kind: approval, groups: {ops: {required: 1, members: [ada, grace]}}}
  audit:
    gates:
      scans: {kind: security, max_critical: 0}
"""
STRICTER = ESTATE.replace("release.name == 'shop'", "release.version != '1.1.0'").replace("scans:", "calm: {kind: freeze_window}\n      scans:")
"""Denies one version in prod, and asks about the calendar in audit."""
TWO_EYES_MORE = ESTATE.replace("required: 1", "required: 2")


class Past:
    """Three allowed in dev, two in prod, one denied in audit."""

    def __init__(self, plane: ControlPlane) -> None:
        first, second = release(plane, "1.0.0"), release(plane, "1.1.0")
        self.dev = [decide(plane, one, "dev") for one in (first, second, first)]
        self.prod = [decide(plane, one, "prod", ADA) for one in (first, second)]
        self.audit = [decide(plane, first, "audit")]
        self.all = [*self.audit, *self.dev, *self.prod]


@pytest.fixture
def past(home: Path, monkeypatch: pytest.MonkeyPatch) -> Past:
    monkeypatch.setattr(past_decisions, "PAGE_DECISIONS", 2)  # so that this small past has several pages
    with installation(ESTATE) as plane:
        return Past(plane)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "stricter.yaml"
    path.write_text(STRICTER)
    return path


def opened() -> ControlPlane:
    return open_control_plane(Settings.from_environ(os.environ))


def changed_rows(packet: str, **values: Any) -> None:
    """What somebody with a database shell does to a packet's row."""
    with opened() as plane, plane.store.writing() as tx, without_guards(tx):
        tx.connection.execute(sa.update(evidence_packets).where(evidence_packets.c.id == packet).values(**values))


def lost_blob(packet: str, name: str) -> None:
    """An input that is gone from the database."""
    with opened() as plane, plane.store.writing() as tx, without_guards(tx, ("blobs",)):
        statement = Statement.model_validate_json(read_envelope(plane.evidence.get(tx, packet).envelope).payload)
        (digest,) = [one.digest for one in statement.inputs if one.name == name]
        tx.connection.execute(sa.delete(blobs).where(blobs.c.digest == digest))


def test_every_decision_comes_out_again(stella: Stella, speaking: Speaking, past: Past) -> None:
    code, report = stella("evidence", "replay", "--all")
    assert (code, report["decisions"], report["error"]) == (Exit.DONE, [], None)
    summary = report["summary"]
    assert (summary["complete"], summary["decisions"], summary["covered"], summary["results"]) == (True, 6, 6, {"equal": 6})
    assert {name: one["covered"] for name, one in summary["environments"].items()} == {"dev": 3, "prod": 2, "audit": 1}
    assert speaking("evidence", "replay", "--all").out == "byte-equal  6 decisions: the stored inputs give the recorded decision again.\n"


def test_the_applied_estate_changes_nothing(stella: Stella, past: Past, tmp_path: Path) -> None:
    (tmp_path / "same.yaml").write_text(ESTATE)
    code, report = stella("evidence", "replay", "--all", "--policy", str(tmp_path / "same.yaml"))
    assert (code, report["decisions"], report["summary"]["results"]) == (Exit.DONE, [], {"stays": 6})


def test_what_another_estate_would_have_decided(stella: Stella, speaking: Speaking, past: Past, policy: Path) -> None:
    code, report = stella("evidence", "replay", "--all", "--policy", str(policy))
    (change,) = report["decisions"]
    assert code is Exit.WAITING
    assert (change["packet"], change["result"], change["before"], change["after"]) == (past.prod[1], "changes", "allow", "deny")
    assert "ours: Policy named" in change["reasons"][0]
    assert [(gate["name"], gate["before"], gate["after"]) for gate in change["gates"]] == [("ours", "allow", "deny"), ("people", "allow", "allow")]
    assert report["summary"]["results"] == {"stays": 5, "changes": 1}
    assert report["summary"]["outcomes"] == {"allow → deny": 1}
    said = speaking("evidence", "replay", "--all", "--policy", str(policy))
    assert said.code is Exit.WAITING
    assert f"{past.prod[1]}  prod no. 2  shop-1.1.0" in said.out
    assert "1 decision would change (1 × allow → deny), 5 would stay." in said.out


def test_one_decision_under_another_estate(stella: Stella, speaking: Speaking, past: Past, policy: Path) -> None:
    code, answer = stella("evidence", "replay", past.prod[1], "--policy", str(policy))
    assert (code, answer["packet"], answer["answer"], answer["after"]) == (Exit.WAITING, past.prod[1], "changes", "deny")
    said = speaking("evidence", "replay", past.prod[1], "--policy", str(policy))
    assert "allow → deny  shop-1.1.0 to prod" in said.out
    assert "ours (policy): allow → deny" in said.out
    assert stella("evidence", "replay", past.prod[0], "--policy", str(policy))[0] is Exit.DONE


def test_more_approvals_than_were_given(stella: Stella, past: Past, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO_EYES_MORE)
    code, report = stella("evidence", "replay", "--all", "--policy", str(tmp_path / "two.yaml"), "-e", "prod")
    assert (code, report["summary"]["decisions"]) == (Exit.WAITING, 2)
    assert [(one["before"], one["after"]) for one in report["decisions"]] == [("allow", "wait"), ("allow", "wait")]


def test_what_cannot_be_judged_is_no_pass(stella: Stella, speaking: Speaking, past: Past, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text("environments:\n  dev: {gates: {scan: {kind: security}}}\n  audit: {gates: {scans: {kind: security}}}\n")
    code, report = stella("evidence", "replay", "--all", "--policy", str(tmp_path / "new.yaml"))
    assert (code, report["summary"]["results"]) == (Exit.WAITING, {"stays": 1, "cannot_be_judged": 5})
    assert [(one["environment"], one["why"][:12], one["decisions"], one["first"]) for one in report["summary"]["cannot_be_judged"]] == [
        ("dev", "scan: it is ", 3, past.dev[0]),
        ("prod", "The new esta", 2, past.prod[0]),
    ]
    assert {one["result"] for one in report["decisions"]} == {"cannot_be_judged"}
    said = speaking("evidence", "replay", "--all", "--policy", str(tmp_path / "new.yaml"))
    assert f"3 of dev: scan: it is new: no gate of kind security gathered its facts then. The first is {past.dev[0]}." in said.out


def test_a_period(stella: Stella, past: Past) -> None:
    with opened() as plane, plane.store.reading() as tx:
        times = [plane.evidence.get(tx, packet).sealed_at for packet in past.dev]
    begin, end = format_instant(times[1]), format_instant(times[2])
    code, report = stella("evidence", "replay", "--all", "-e", "dev", "--since", begin, "--until", end)
    assert (code, report["summary"]["results"]) == (Exit.DONE, {"equal": 1})
    assert stella("evidence", "replay", "--all", "--since", format_instant(times[2] + timedelta(days=1)))[1]["summary"]["decisions"] == 0
    assert stella("evidence", "replay", "--all", "--since", "2020-01-01")[1]["summary"]["decisions"] == 6


@pytest.mark.parametrize("words", [(), ("--policy", "POLICY")])
def test_a_damaged_packet_is_told_and_the_rest_goes_on(stella: Stella, speaking: Speaking, past: Past, policy: Path, words: tuple[str, ...]) -> None:
    words = tuple(str(policy) if word == "POLICY" else word for word in words)
    changed_rows(past.dev[0], envelope=b"{}")
    changed_rows(past.dev[1], sealed_at="yesterday")
    with opened() as plane, plane.store.reading() as tx:
        cut = plane.evidence.get(tx, past.audit[0]).envelope[:-10]
    changed_rows(past.audit[0], envelope=cut, digest=Digest.of(cut))
    code, report = stella("evidence", "replay", "--all", *words)
    assert code is Exit.FAILED
    problems = {one["packet"]: one["problem"]["code"] for one in report["decisions"] if one["result"] == "damaged"}
    assert problems == {past.dev[0]: "EVID_STORED_DAMAGED", past.dev[1]: "EVID_STORED_DAMAGED", past.audit[0]: "EVID_MALFORMED"}
    assert (report["summary"]["complete"], report["summary"]["covered"], report["summary"]["results"]["damaged"]) == (True, 6, 3)
    assert "3 decisions damaged or not verifiable" in speaking("evidence", "replay", "--all", *words).out


def test_a_missing_input_is_told(stella: Stella, past: Past, policy: Path) -> None:
    lost_blob(past.prod[1], "gate/people")
    for words in ((), ("--policy", str(policy))):
        code, report = stella("evidence", "replay", "--all", *words)
        problems = [(one["packet"], one["problem"]["code"]) for one in report["decisions"] if one["result"] == "damaged"]
        assert (code, problems) == (Exit.FAILED, [(past.prod[1], "RES_BLOB_MISSING")])
        assert error_code(stella("evidence", "replay", past.prod[1], *words)) == "RES_BLOB_MISSING"


def test_a_missing_plan_leaves_no_proof_but_an_answer(stella: Stella, past: Past, policy: Path) -> None:
    """Byte-equality needs everything that the packet names; another policy is judged from what the gates gathered."""
    lost_blob(past.audit[0], "plan")
    assert stella("evidence", "replay", "--all", "-e", "audit")[0] is Exit.FAILED
    assert stella("evidence", "replay", "--all", "-e", "audit", "--policy", str(policy))[0] is Exit.DONE


def test_a_decision_that_comes_out_otherwise(stella: Stella, speaking: Speaking, past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    def otherwise(*words: Any, **more: Any) -> ReplayReport:
        return replay_statement(*words, **more).model_copy(update={"byte_equal": False, "differences": tuple(f"decision.{n}" for n in range(9))})

    monkeypatch.setattr(command, "replay_statement", otherwise)
    code, report = stella("evidence", "replay", "--all", "-e", "prod")
    assert (code, report["summary"]["results"]) == (Exit.FAILED, {"different": 2})
    said = speaking("evidence", "replay", "--all", "-e", "prod")
    assert said.code is Exit.FAILED
    assert f"{past.prod[0]}  prod no. 1: different\n  decision.0\n" in said.out
    assert "… and 4 more; see --json" in said.out


def test_a_packet_of_another_kind(stella: Stella, past: Past, policy: Path) -> None:
    with opened() as plane, plane.store.writing() as tx:
        subjects = [Subject(name="shop", digest=Digest.of(b"x"))]
        plane.evidence.seal(tx, packet_id="evd_r", kind="rollback", stream="environment/dev", subjects=subjects, predicate={"inputs": []}, at=plane.clock.now())
    for words in ((), ("--policy", str(policy))):
        assert error_code(stella("evidence", "replay", "evd_r", *words)) == "EVID_NOT_A_DECISION"
    assert stella("evidence", "replay", "--all")[1]["summary"]["decisions"] == 6


def test_nothing_is_written(stella: Stella, past: Past, policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(store: Store) -> AbstractContextManager[Transaction]:
        raise AssertionError("a replay wanted to write")

    monkeypatch.setattr(Store, "writing", forbidden)
    assert stella("evidence", "replay", "--all", "--policy", str(policy))[0] is Exit.WAITING
    assert stella("evidence", "replay", "--all")[0] is Exit.DONE


def test_decisions_that_are_sealed_meanwhile_are_not_part_of_it(past: Past) -> None:
    with opened() as plane:
        found = past_decisions.PastDecisions(plane.store, plane.evidence, past_decisions.Selection())
        record = plane.releases.get("shop", "1.0.0")
        seen: list[str] = []
        for one in found.each(replay_statement):
            seen.append(one.packet_id)
            if len(seen) == 1:
                later = decide(plane, record, "dev")
    assert seen == past.all
    assert later not in seen


# ---------------------------------------------------------------- what ends it early


def ending(monkeypatch: pytest.MonkeyPatch, after: int, end: BaseException) -> None:
    """The replay ends with this after so many decisions."""
    covered: Iterator[int] = iter(range(1000))

    def look(*words: Any, **more: Any) -> ReplayReport:
        if next(covered) >= after:
            raise end
        return replay_statement(*words, **more)

    monkeypatch.setattr(command, "replay_statement", look)


def test_an_interruption_says_how_far_it_came(stella: Stella, speaking: Speaking, past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    ending(monkeypatch, 3, KeyboardInterrupt())
    said = speaking("evidence", "replay", "--all")
    assert said.code is Exit.REFUSED
    assert said.out.splitlines()[1:] == ["Not finished: 3 of 6 decisions covered.", "  audit: all of 1", "  dev: 2, up to no. 2 of 3", "  prod: none of 2"]
    ending(monkeypatch, 3, KeyboardInterrupt())
    code, report = stella("evidence", "replay", "--all")
    assert (code, report["summary"]["complete"], report["summary"]["results"]) == (Exit.REFUSED, False, {"equal": 3})


def test_an_interruption_before_the_first_decision(speaking: Speaking, past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*words: Any) -> Never:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "PastDecisions", interrupted)
    said = speaking("evidence", "replay", "--all")
    assert (said.code, said.err.startswith("Interrupted.")) == (Exit.REFUSED, True)


def test_a_database_that_goes_away_ends_it(stella: Stella, speaking: Speaking, past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    away = DatabaseBusy("The database is busy.", next_step="Try again.")
    ending(monkeypatch, 2, away)
    code, report = stella("evidence", "replay", "--all")
    assert (code, report["error"]["code"], report["summary"]["covered"]) == (Exit.TRY_AGAIN, away.code, 2)
    ending(monkeypatch, 2, away)
    said = speaking("evidence", "replay", "--all")
    assert (said.code, "2 of 6 decisions covered" in said.out, away.code in said.err) == (Exit.TRY_AGAIN, True, True)


@pytest.mark.parametrize(("as_json", "terminal", "seen"), [(False, True, True), (False, False, False), (True, True, False)])
def test_progress_is_for_people_at_a_terminal(past: Past, as_json: bool, terminal: bool, seen: bool) -> None:
    words = io.StringIO()
    output = Output(as_json=as_json, console=Console(file=words, force_terminal=terminal, width=100))
    assert run(["evidence", "replay", "--all"], Session(output=output)) is Exit.DONE
    assert ("replaying" in words.getvalue()) is seen
    assert ("6/6" in words.getvalue()) is seen


# ---------------------------------------------------------------- bad input


def test_bad_files(stella: Stella, past: Past, tmp_path: Path) -> None:
    assert error_code(stella("evidence", "replay", "--all", "--policy", str(tmp_path / "none.yaml"))) == "VAL_ESTATE_UNREADABLE"
    for text in ("environments: {prod: {gates: {}}}", "[" * 100_000, "environments: {prod: {gates: {x: {kind: policy, policy: missing}}}}", ""):
        (tmp_path / "bad.yaml").write_text(text)
        for which in (("--all",), (past.dev[0],)):
            assert error_code(stella("evidence", "replay", *which, "--policy", str(tmp_path / "bad.yaml"))) == "VAL_ESTATE_INVALID"


def test_bad_names(stella: Stella, past: Past, policy: Path) -> None:
    assert error_code(stella("evidence", "replay", "evd_nonsense")) == "RES_EVIDENCE_MISSING"
    assert error_code(stella("evidence", "replay", "evd_nonsense", "--policy", str(policy))) == "RES_EVIDENCE_MISSING"
    assert error_code(stella("evidence", "replay", "--all", "-e", "prdo")) == "PROM_ENVIRONMENT_UNKNOWN"
    code, answer = stella("evidence", "replay", "--all", "-e", "prdo", "--policy", str(policy))
    assert (code, answer["error"]["code"], "Did you mean 'prod'?" in answer["error"]["what"]) == (Exit.REFUSED, "PROM_ENVIRONMENT_UNKNOWN", True)


@pytest.mark.parametrize(
    ("since", "until", "code"),
    [
        ("2026-02-01", "2026-01-01", "VAL_PERIOD_REVERSED"),
        ("2026-02-01", "2026-02-01", "VAL_PERIOD_REVERSED"),
        ("2026-02-01T00:00:00", "2026-03-01", "VAL_MOMENT"),
        ("yesterday", "2026-03-01", "VAL_MOMENT"),
        ("0001-01-01", "2026-03-01", "VAL_MOMENT"),
        ("9999-12-31T23:59:59-12:00", "2026-03-01", "VAL_MOMENT"),
        ("2026-01-01", "", "VAL_MOMENT"),
    ],
)
def test_bad_periods(stella: Stella, past: Past, since: str, until: str, code: str) -> None:
    assert error_code(stella("evidence", "replay", "--all", "--since", since, "--until", until)) == code


@pytest.mark.parametrize("words", [(), ("evd_1", "--all"), ("evd_1", "-e", "dev"), ("evd_1", "--since", "2026-01-01")])
def test_one_way_to_choose(speaking: Speaking, words: tuple[str, ...]) -> None:
    said = speaking("evidence", "replay", *words)
    assert (said.code, "--all" in said.err) == (Exit.USAGE, True)


def test_rows_may_hold_anything_until_they_are_verified(stella: Stella, speaking: Speaking, past: Past) -> None:
    changed_rows(past.dev[2], stream="environment/\x1b[2Jdev")
    changed_rows(past.dev[1], stream="summaries/dev", sequence=77)
    code, report = stella("evidence", "replay", "--all")
    assert (code, report["summary"]["results"]) == (Exit.FAILED, {"equal": 4, "damaged": 2})
    assert {one["problem"]["code"] for one in report["decisions"]} == {"EVID_STORED_DIFFERS"}
    assert {name: one["covered"] for name, one in report["summary"]["environments"].items()} == {
        "audit": 1,
        "dev": 1,
        "prod": 2,
        "summaries/dev": 1,
        "\ufffd[2Jdev": 1,
    }
    assert "\x1b" not in speaking("evidence", "replay", "--all").out
