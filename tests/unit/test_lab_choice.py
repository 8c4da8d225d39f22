"""Which lab is chosen, and what is said about it."""

import pytest

from stella_pipelines.lab.choice import choose_lab
from stella_pipelines.lab.errors import LabUnsupported


@pytest.mark.parametrize(
    ("environ", "problem", "kind", "said"),
    [
        ({}, None, "engines", "real Docker Engines"),
        ({"LAB": ""}, None, "engines", "real Docker Engines"),
        ({"LAB": "engines"}, None, "engines", "real Docker Engines"),
        ({"LAB": "embedded"}, None, "embedded", "LAB=embedded asks for it"),
        ({"LAB": "embedded"}, "it needs root", "embedded", "LAB=embedded asks for it"),
        ({}, "it needs root", "embedded", "cannot run here: it needs root"),
    ],
)
def test_the_real_lab_wherever_it_can_run(environ: dict[str, str], problem: str | None, kind: str, said: str) -> None:
    chosen, reason = choose_lab(environ, lambda: problem)
    assert chosen == kind
    assert said in reason
    assert "\n" not in reason


def test_engines_that_are_asked_for_and_cannot_run_are_an_error() -> None:
    with pytest.raises(LabUnsupported, match="dockerd not installed"):
        choose_lab({"LAB": "engines"}, lambda: "dockerd not installed")


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(LabUnsupported, match="LAB=moon"):
        choose_lab({"LAB": "moon"}, lambda: None)


def test_embedded_asks_the_machine_nothing() -> None:
    def never() -> str | None:
        raise AssertionError("the machine was asked")

    assert choose_lab({"LAB": "embedded"}, never)[0] == "embedded"
