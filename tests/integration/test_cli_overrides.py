"""An override on the command line: asked for, confirmed by somebody else, counted by the next request, listed and reviewed."""

from __future__ import annotations

from stella_pipelines.cli.exits import Exit
from stella_pipelines.lab.lab import Lab
from tests.support.command_line import Speaking, Stella, carried_out, error_code


def overridable(stella: Stella, applied: Lab) -> str:
    """An estate whose `dev` has a gate that never opens, and the promotion that it rejected."""
    text = applied.estate_path.read_text()
    before, heading, after = text.partition("  dev:\n")
    assert heading
    rest = after.replace("    gates: none", "    gates: {never: {kind: policy, policy: nothing, overridable_by: [bob, carol]}}", 1)
    applied.estate_path.write_text((before + heading + rest).replace("policies:\n", "policies:\n  nothing: {cel: 'false', message: Nothing is promoted.}\n", 1))
    assert stella("apply", "-f", str(applied.estate_path), "--as", "alice")[0] is Exit.DONE
    return promoted(stella, "rejected")


def promoted(stella: Stella, state: str) -> str:
    promotion = str(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait", "--as", "alice")[1]["id"])
    assert carried_out(promotion) == state
    return promotion


def test_two_people_let_one_release_past_one_gate(stella: Stella, speaking: Speaking, applied: Lab) -> None:
    rejected = overridable(stella, applied)
    words = ("override", "ask", rejected, "--gate", "never", "--reason", "customers are waiting")
    assert error_code(stella(*words, "--as", "alice")) == "PERM_NOT_OVERRIDABLE"
    code, asked = stella(*words, "--as", "bob")
    assert code is Exit.DONE
    assert error_code(stella("override", "confirm", asked["id"], "--as", "bob")) == "PROM_OVERRIDE_REFUSED"
    promoted(stella, "rejected")
    assert stella("override", "confirm", asked["id"], "--as", "carol")[0] is Exit.DONE
    promoted(stella, "deployed")
    (packet,) = stella("evidence", "list", "--kind", "override")[1]
    assert (packet["environment"], packet["outcome"]) == ("dev", "overridden")
    newest = stella("evidence", "list", "-e", "dev", "--kind", "decision")[1][0]
    assert stella("evidence", "replay", newest["id"])[1]["byte_equal"] is True


def test_it_is_listed_until_it_is_reviewed(stella: Stella, speaking: Speaking, applied: Lab) -> None:
    rejected = overridable(stella, applied)
    said = speaking("override", "ask", rejected, "--gate", "never", "--reason", "customers are waiting", "--as", "bob").out
    assert "Nothing is promoted." in said
    (asked,) = stella("override", "list")[1]
    assert asked["id"] in said
    assert stella("override", "list", "--to-review")[1] == []
    assert "to be reviewed" in speaking("override", "confirm", asked["id"], "--as", "carol").out
    assert "to do" in speaking("override", "list", "--to-review").out
    assert stella("override", "review", asked["id"], "--reason", "the policy was wrong", "--as", "carol")[0] is Exit.DONE
    assert stella("override", "list", "--to-review")[1] == []
    listed = speaking("override", "list", "-e", "dev").out
    assert "bob, carol" in listed
    assert "by carol" in listed


def test_an_override_that_is_not_there(stella: Stella, applied: Lab) -> None:
    assert error_code(stella("override", "confirm", "ovr_nonsense", "--as", "bob")) == "RES_OVERRIDE_MISSING"
