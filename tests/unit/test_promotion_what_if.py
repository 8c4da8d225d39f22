"""A recorded decision under another estate, one kind of gate after the other: what changes, what stays, and what its facts do not answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stella_pipelines.environments.model import Estate, Gate
from stella_pipelines.promotions.gates.port import GateContext as Context
from stella_pipelines.promotions.gates.port import GateInputs, GateVerdict, allow
from stella_pipelines.promotions.gates.registry import gate_kinds
from stella_pipelines.promotions.what_if import WhatIf, what_if
from tests.support.promotions import ANN, BOB, NOW
from tests.support.recorded_decisions import Told, healthy, recorded, word

FREEZE = {"kind": "freeze_window"}
WINDOW = {"name": "month_end", "reason": "books", "environments": ["prod"], "starts_at": NOW - timedelta(hours=1), "ends_at": NOW + timedelta(hours=1)}
YES, NO = {"name": "yes", "cel": "true"}, {"name": "no", "cel": "false", "message": "never"}


def estate(gates: dict[str, dict[str, Any]], **more: Any) -> Estate:
    """prod with these gates, and what else the estate declares; `upstream` is where prod promotes from."""
    prod = {"name": "prod", "gates": [{"name": name, "config": config} for name, config in gates.items()] or "none", "promotes_from": more.pop("upstream", ())}
    prod["promotes_from_rule"] = more.pop("rule", "all")
    return Estate.model_validate({"environments": [prod], **more})


def approval(required: int, *members: str, group: str = "ops", **more: Any) -> dict[str, Any]:
    return {"kind": "approval", "groups": [{"name": group, "required": required, "members": members}], **more}


def policy(name: str) -> dict[str, Any]:
    return {"kind": "policy", "policy": name}


def said(answer: WhatIf) -> tuple[str, str, str | None]:
    return answer.answer, answer.before, answer.after


ALLOWED, CLEAN = Told(approvals_given=(word(ANN, "people/ops"),)), Told(report_files=("trivy-web-clean.json",))
CRITICAL = Told(report_files=("trivy-web-critical.json",))
UPSTREAM = Told(proven={"dev": healthy(3600)})
SECURITY, LAX = {"kind": "security"}, {"kind": "security", "max_critical": 100, "max_high": 100}
PREVIOUS = {"kind": "previous_environment"}


@pytest.mark.parametrize(
    ("then", "told", "now", "expected"),
    [
        (estate({"f": FREEZE}), Told(), estate({"f": FREEZE}, freeze_windows=[WINDOW]), ("changes", "allow", "wait")),
        (estate({"people": approval(1, "ann", "bob")}), ALLOWED, estate({"people": approval(2, "ann", "bob")}), ("changes", "allow", "wait")),
        (estate({"people": approval(1, "ann", "bob")}), ALLOWED, estate({"people": approval(1, "bob", "cyn")}), ("cannot_be_judged", "allow", None)),
        (estate({"people": approval(1, "ann", "bob")}), ALLOWED, estate({"people": approval(1, "ann", "cyn")}), ("stays", "allow", "allow")),
        (estate({"people": approval(1, "ann", "bob")}), ALLOWED, estate({"people": approval(1, "bob")}), ("changes", "allow", "wait")),
        (
            estate({"people": approval(1, "ann", "bob")}),
            ALLOWED,
            estate({"people": approval(1, "ann", expires_after_s=30)}),
            ("changes", "allow", "wait"),
        ),
        (
            estate({"people": approval(1, "ann", "bob")}),
            ALLOWED,
            estate({"people": approval(1, "ann", group="board")}),
            ("cannot_be_judged", "allow", None),
        ),
        (
            estate({"people": approval(1, "ann", "zed")}),
            Told(approvals_given=(word(ANN, "people/ops"),)),
            estate({"people": approval(2, "ann", "zed", commit_author_excluded=True)}),
            ("changes", "allow", "deny"),
        ),
        (
            estate({"people": approval(1, "ann", "bob")}),
            Told(approvals_given=(word(BOB, "people/ops", verdict="reject"),)),
            estate({"people": approval(1, "ann", "cyn")}),
            ("cannot_be_judged", "deny", None),
        ),
        (estate({"p": PREVIOUS}, upstream=["dev"]), UPSTREAM, estate({"p": {**PREVIOUS, "soak_s": 7200}}, upstream=["dev"]), ("changes", "allow", "wait")),
        (estate({"p": PREVIOUS}, upstream=["dev"]), UPSTREAM, estate({"p": {**PREVIOUS, "soak_s": 1800}}, upstream=["dev"]), ("stays", "allow", "allow")),
        (estate({"p": PREVIOUS}, upstream=["dev"]), UPSTREAM, estate({"p": PREVIOUS}, upstream=["dev", "qa"]), ("cannot_be_judged", "allow", None)),
        (estate({"p": PREVIOUS}, upstream=["dev", "qa"]), UPSTREAM, estate({"p": PREVIOUS}, upstream=["dev"]), ("changes", "deny", "allow")),
        (estate({"p": PREVIOUS}, upstream=["dev", "qa"]), UPSTREAM, estate({"p": PREVIOUS}, upstream=["dev", "qa"], rule="any"), ("changes", "deny", "allow")),
        (estate({"c": policy("yes")}, policies=[YES]), Told(), estate({"c": policy("yes")}, policies=[{**YES, "cel": "false"}]), ("changes", "allow", "deny")),
        (estate({"c": policy("yes")}, policies=[YES]), Told(), estate({"c": policy("no")}, policies=[NO]), ("changes", "allow", "deny")),
        (
            estate({"c": policy("yes")}, policies=[YES]),
            Told(),
            estate({"c": policy("yes")}, policies=[{**YES, "cel": "release.no_such"}]),
            ("changes", "allow", "error"),
        ),
        (
            estate({"c": policy("no")}, policies=[NO]),
            Told(),
            estate({"c": policy("no")}, policies=[{**NO, "cel": "release.source.author == 'zed'"}]),
            ("changes", "deny", "allow"),
        ),
        (estate({"s": SECURITY}), CLEAN, estate({"s": {**SECURITY, "report_max_age_s": 60}}), ("changes", "allow", "deny")),
        (estate({"s": SECURITY}), CRITICAL, estate({"s": LAX}), ("changes", "deny", "allow")),
        (estate({"s": LAX}), CRITICAL, estate({"s": SECURITY}), ("changes", "allow", "deny")),
    ],
)
def test_new_settings_of_a_gate(then: Estate, told: Told, now: Estate, expected: tuple[str, str, str | None]) -> None:
    answer = what_if(recorded(then, told), now)
    assert said(answer) == expected, answer.reasons
    assert bool(answer.reasons) is (answer.answer != "stays")


@pytest.mark.parametrize(
    ("gates", "told", "expected"),
    [
        ({"calendar": FREEZE}, Told(), ("changes", "allow", "wait")),  # the time is recorded in every decision
        ({"second": policy("no")}, Told(), ("changes", "allow", "deny")),  # the documents were gathered by another policy gate
        ({"scan": SECURITY}, Told(), ("cannot_be_judged", "allow", None)),
        ({"proven": PREVIOUS}, Told(), ("cannot_be_judged", "allow", None)),
        ({"people": approval(1, "ann")}, Told(), ("cannot_be_judged", "allow", None)),
    ],
)
def test_a_gate_that_is_new(gates: dict[str, dict[str, Any]], told: Told, expected: tuple[str, str, str | None]) -> None:
    old = estate({"first": policy("yes")}, policies=[YES])
    new = estate({"first": policy("yes"), **gates}, policies=[YES, NO], freeze_windows=[WINDOW], upstream=["dev"])
    answer = what_if(recorded(old, told), new)
    assert said(answer) == expected
    assert [gate.before for gate in answer.gates] == ["allow", None]
    assert next(iter(gates)) in answer.reasons[0]


def test_another_gate_of_the_kind_is_no_source_for_approvals() -> None:
    """Who may sit where depends on the gate, so what was said for one gate says nothing about another."""
    answer = what_if(recorded(estate({"people": approval(1, "ann")}), ALLOWED), estate({"board": approval(1, "ann")}))
    assert (answer.answer, answer.gone) == ("cannot_be_judged", ("people",))
    assert "it is new" in answer.reasons[0]


def test_gates_that_left_are_not_judged() -> None:
    then = recorded(estate({"f": FREEZE, "s": SECURITY}), CRITICAL)
    answer = what_if(then, estate({"f": FREEZE}))
    assert (said(answer), answer.gone) == (("changes", "deny", "allow"), ("s",))
    assert answer.reasons[0].startswith("s: the new estate has no such gate. It said then: ")
    assert said(what_if(then, estate({}))) == ("changes", "deny", "allow")


def test_an_environment_without_gates_gets_some() -> None:
    answer = what_if(recorded(estate({})), estate({"s": SECURITY}))
    assert said(answer) == ("cannot_be_judged", "allow", None)
    assert said(what_if(recorded(estate({})), estate({}))) == ("stays", "allow", "allow")


def test_an_environment_that_the_file_does_not_declare() -> None:
    answer = what_if(recorded(estate({})), Estate())
    assert (answer.answer, answer.gates) == ("cannot_be_judged", ())
    assert "declares no environment 'prod'" in answer.reasons[0]


def test_a_deny_settles_it_whatever_cannot_be_judged() -> None:
    old = recorded(estate({"s": SECURITY}), CRITICAL)
    assert said(what_if(old, estate({"s": SECURITY, "people": approval(1, "ann")}))) == ("stays", "deny", "deny")
    lax = what_if(old, estate({"s": LAX, "people": approval(1, "ann")}))
    assert said(lax) == ("cannot_be_judged", "deny", None)
    assert lax.reasons == ("people: it is new: no gate of kind approval gathered its facts then.",)


def test_what_was_allowed_is_not_any_more_when_one_gate_objects() -> None:
    new = estate({"f": FREEZE, "people": approval(1, "ann")}, freeze_windows=[WINDOW])
    answer = what_if(recorded(estate({"f": FREEZE})), new)
    assert said(answer) == ("changes", "allow", "wait")
    assert [gate.after for gate in answer.gates] == ["wait", None]
    denied = recorded(estate({"f": FREEZE, "s": SECURITY}), CRITICAL)
    assert said(what_if(denied, new)) == ("cannot_be_judged", "deny", None)  # the people might have denied it too


def test_facts_that_could_not_be_gathered_then_are_no_pass() -> None:
    broken = estate({"c": policy("missing"), "s": SECURITY})  # the policy was never declared
    answer = what_if(recorded(broken, CRITICAL), estate({"c": policy("yes"), "s": LAX}, policies=[YES]))
    assert said(answer) == ("cannot_be_judged", "deny", None)
    assert "could not be gathered then" in answer.reasons[0]


def test_a_name_that_means_another_kind_now_is_a_new_gate() -> None:
    answer = what_if(recorded(estate({"x": FREEZE})), estate({"x": SECURITY}))
    assert (answer.answer, answer.gone, answer.gates[0].before) == ("cannot_be_judged", ("x",), None)


class Tides:
    """A plugin's gate."""

    kind = "tides"

    def gather(self, gate: Gate, context: Context) -> GateInputs:
        return GateInputs(name=gate.name, kind=self.kind, facts={"high": True})

    def judge(self, inputs: GateInputs) -> GateVerdict:
        return allow("high tide")


def tides(level: int) -> Estate:
    return estate({"sea": {"kind": "plugin", "gate": "tides", "config": {"level": level}}})


def test_a_plugin_is_judged_while_its_settings_are_those_of_then() -> None:
    kinds = {**gate_kinds(), "tides": Tides()}
    then = recorded(tides(1), kinds=kinds)
    assert said(what_if(then, tides(1), tides(1), kinds)) == ("stays", "allow", "allow")
    for estate_then in (tides(2), estate({}), None):
        answer = what_if(then, tides(1), estate_then, kinds)
        assert said(answer) == ("cannot_be_judged", "allow", None)
        assert "only the plugin knows" in answer.reasons[0]


def test_a_plugin_that_is_not_installed_here_cannot_be_judged() -> None:
    then = recorded(tides(1), kinds={**gate_kinds(), "tides": Tides()})
    answer = what_if(then, tides(1), tides(1))
    assert (answer.answer, "cannot be used here" in answer.reasons[0]) == ("cannot_be_judged", True)


def test_facts_of_another_form_cannot_be_judged() -> None:
    then = recorded(estate({"s": SECURITY}), CLEAN)
    older = {"s": then.gates["s"].model_copy(update={"facts": {"something": "else"}})}
    answer = what_if(type(then)(then.claim, then.record, then.context, older), estate({"s": LAX}))
    assert (answer.answer, "a form that this version does not read" in answer.reasons[0]) == ("cannot_be_judged", True)
