"""The YAML under an estate: read strictly, with places, under limits, and never with an alias that explodes."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.core.limits import ESTATE_BYTES_MAX
from stella_pipelines.environments import source
from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.environments.problems import InvalidEstate
from stella_pipelines.environments.source import Mark, read_source

BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(f"a{level + 1}: &a{level + 1} [{', '.join([f'*a{level}'] * 10)}]\n" for level in range(9))
# Without a place: the two parsers see the end of the trouble differently.
FATAL = {
    "empty": ("", "1:1", "the file is empty"),
    "only a comment": ("# nothing\n", "", "the file is empty"),
    "not YAML": ("a: b: c\n", "", "this is not YAML"),
    "a tab": ("a:\n\tb: 1\n", "", "this is not YAML"),
    "unfinished": ("a: [1, 2\n", "", "this is not YAML"),
    "two documents": ("a: 1\n---\nb: 1\n", "2:1", "a second document"),
    "an alias of nothing": ("a: *b\n", "1:4", "'*b' names an anchor that is not above"),
    "an alias of itself": ("a: &a [*a]\n", "1:8", "'*a' names itself"),
    "an alias bomb": (BOMB, "", "more than 500,000 values"),
    "too deep": ("[" * 40, "1:34", "nested more than 32 deep"),
    "half a surrogate": ("a: 1\nb: \ud800\n", "2:1", "surrogate"),
}
COMPLAINTS = {
    "a tag": ("a: !secret x\n", "1:4", "the tag '!secret' is not allowed"),
    "a Python tag": ("a: !!python/object/apply:os.system [id]\n", "1:4", "is not allowed; plain values only"),
    "a number as a key": ("a: {5: x}\n", "1:5", "the key '5' is not text"),
    "a flag as a key": ("true: x\n", "1:1", "the key 'true' is not text"),
    "a list as a key": ("? [a]\n: x\n", "1:3", "a key must be text"),
    "a merge": ("a: &a {x: 1}\nb: {<<: *a}\n", "2:5", "'<<' does not merge"),
    "a key twice": ("a: 1\nb: 2\na: 3\n", "3:1", "'a' stands here twice; the first is in line 1"),
    "control characters": ('a: "x\\x1b[2J"\n', "1:4", "control characters are not allowed"),
    "a huge number": ("a: 90071992547409930\n", "1:4", "is too large"),
    "a number beyond numbers": ("a: 1e999\n", "1:4", "is too large"),
}


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's parsers, since a machine may lack the C one."""
    assert yaml.__with_libyaml__
    monkeypatch.setattr(source, "_LOADER", yaml.CLoader if request.param == "libyaml" else yaml.SafeLoader)


@pytest.mark.parametrize(("text", "place", "message"), FATAL.values(), ids=FATAL.keys())
def test_what_is_not_data_is_refused_at_once(text: str, place: str, message: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(InvalidEstate) as caught:
        read_source(text, "estate.yaml")
    problem = caught.value.problems[-1]
    assert message in problem.message
    assert problem.line > 0
    if place:
        assert f"{problem.line}:{problem.column}" == place


@pytest.mark.parametrize(("text", "place", "message"), COMPLAINTS.values(), ids=COMPLAINTS.keys())
def test_what_is_not_plain_is_a_problem_and_reading_goes_on(text: str, place: str, message: str) -> None:
    (problem,) = read_source(text + "z: 1\n", "estate.yaml").problems
    assert (f"{problem.line}:{problem.column}", message in problem.message) == (place, True)


def test_a_file_over_the_limit_is_not_parsed() -> None:
    with pytest.raises(InvalidEstate, match="at most 4,194,304 are read"):
        read_source("#" * (ESTATE_BYTES_MAX + 1), "estate.yaml")


def test_words_are_read_as_in_yaml_1_2() -> None:
    text = 'a: [true, false, null, ~, no, On, 0o17, 1_000, 12, -3, 1.5, 2e3, "7", 2026-01-01, 08, 1:30]\n'
    assert read_source(text, "f").data == {
        "a": [True, False, None, None, "no", "On", "0o17", "1_000", 12, -3, 1.5, 2000.0, "7", "2026-01-01", "08", "1:30"],
    }


def test_an_alias_repeats_a_value_and_keeps_both_places() -> None:
    read = read_source("x: &x\n  k: [1, &y two]\ny: *x\nz: *y\n", "f")
    assert read.data == {"x": {"k": [1, "two"]}, "y": {"k": [1, "two"]}, "z": "two"}
    assert read.values[("y",)] == Mark(3, 4)
    assert read.values[("y", "k", 1)] == Mark(2, 10)
    assert read.problems == []


def test_an_anchor_may_be_set_again() -> None:
    assert read_source("a: &x 1\nb: *x\nc: &x [*x]\n".replace("[*x]", "2") + "d: *x\n", "f").data == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_aliases_help_in_an_estate() -> None:
    text = (
        "x-health: &health {kind: tcp, port: 80}\n"
        "components:\n  a: {repository: r.example/a, health: *health}\n  b: {repository: r.example/b, health: *health}\nenvironments: {}\n"
    )
    estate = parse_estate(text, "estate.yaml")
    assert [component.health.port for component in estate.components] == [80, 80]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_categories=["C"])), inner),
        max_leaves=20,
    )
)
def test_whatever_yaml_writes_is_read_back(data: object) -> None:
    assert read_source(yaml.safe_dump(data, allow_unicode=True), "f").data == data


@given(st.text() | st.text(alphabet="ab:-{}[]&*!?|>'\"#, \n\t%@`~<0.eE"))
def test_no_text_breaks_the_reader(text: str) -> None:
    if "environments" in text:
        return  # found by chance, and perhaps right
    with pytest.raises(InvalidEstate) as caught:
        parse_estate(text, "estate.yaml")
    assert caught.value.problems != ()
