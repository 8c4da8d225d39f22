"""A difference is data: what is added, removed and changed, and which fields."""

from typing import Any

from stella_pipelines.environments.diff import FieldChange, diff
from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.environments.model import Estate

BEFORE = """
registries: {r.example: {}}
components: {web: {repository: r.example/web, ports: [{container: 80, host: 80}]}}
environments:
  dev: {gates: none}
  prod:
    promotes_from: [dev]
    gates:
      freeze: {kind: freeze_window}
      people: {kind: approval, groups: {ops: {required: 1, members: [ada, grace]}}}
targets: {t: {environment: dev, process: {directory: /d}}}
"""


def estate(*replacements: tuple[str, str]) -> Estate:
    text = BEFORE
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return parse_estate(text, "estate.yaml")


def changed(*replacements: tuple[str, str]) -> list[tuple[Any, ...]]:
    return [(change.kind, change.noun, change.name, *change.fields) for change in diff(estate(), estate(*replacements))]


def test_the_same_estate_has_no_difference() -> None:
    assert diff(estate(), estate()) == ()


def test_everything_is_new_to_an_empty_estate() -> None:
    assert [change.subject for change in diff(Estate(), estate())] == ["registry/r.example", "component/web", "environment/dev", "environment/prod", "target/t"]
    assert {change.kind for change in diff(estate(), Estate())} == {"remove"}


def test_an_added_thing_has_no_before_and_a_removed_one_no_after() -> None:
    (change,) = diff(estate(), estate(("targets: {t:", "targets: {u: {environment: dev, process: {directory: /u}}, t:")))
    assert (change.kind, change.name, change.before) == ("add", "u", None)
    assert change.after is not None
    assert change.after["process"] == {"directory": "/u"}
    (change,) = diff(estate(), estate(("targets: {t: {environment: dev, process: {directory: /d}}}", "")))
    assert (change.kind, change.after) == ("remove", None)


def test_a_changed_field_is_named_by_its_path() -> None:
    assert changed(("required: 1", "required: 2")) == [
        ("change", "environment", "prod", FieldChange(path="gates.people.config.groups.ops.required", before=1, after=2))
    ]


def test_an_added_field_has_no_before() -> None:
    assert changed(("dev: {gates: none}", "dev: {gates: none, variables: {A: x}}")) == [
        ("change", "environment", "dev", FieldChange(path="variables.A", before=None, after="x"))
    ]


def test_an_added_gate_is_one_field() -> None:
    (found,) = changed(("    gates:\n", "    gates:\n      soaked: {kind: previous_environment}\n"))
    assert found[3].path == "gates.soaked"
    assert found[3].before is None


def test_a_list_without_names_changes_as_a_whole() -> None:
    assert changed(("[ada, grace]", "[ada]"))[0][3] == FieldChange(path="gates.people.config.groups.ops.members", before=["ada", "grace"], after=["ada"])


def test_the_order_of_gates_is_a_difference() -> None:
    freeze = "      freeze: {kind: freeze_window}\n"
    (found,) = changed((freeze, ""), ("members: [ada, grace]}}}\n", "members: [ada, grace]}}}\n" + freeze))
    assert found[3:] == (FieldChange(path="gates (order)", before=["freeze", "people"], after=["people", "freeze"]),)


def test_gates_that_are_given_up_show_both_sides() -> None:
    (found,) = changed(("dev: {gates: none}", "dev: {gates: {freeze: {kind: freeze_window}}}"))
    assert (found[3].path, found[3].before) == ("gates", "none")


def test_a_change_can_be_written_down() -> None:
    (change,) = diff(estate(), estate(("required: 1", "required: 2")))
    assert change.document()["fields"] == [{"path": "gates.people.config.groups.ops.required", "before": 1, "after": 2}]
