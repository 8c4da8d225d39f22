"""What the pages show of an estate is accepted by the parser that reads estates."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from stella_pipelines.environments.estate import parse_estate

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)
GATES = "# below an environment's `gates`\n"
"""How a page marks a snippet that is the inside of a `gates` key."""
NOT_AN_ESTATE = "# Launchpad of "
"""Dagster's own YAML, which says so in its first line."""
AROUND_GATES = "environments:\n  dev: {gates: none}\n  prod:\n    promotes_from: [dev]\n    gates:\n"


def snippets() -> list[tuple[str, str]]:
    pages = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [(f"{page.name}-{number}", text) for page in pages for number, text in enumerate(BLOCK.findall(page.read_text()), start=1)]


SNIPPETS = [(name, text) for name, text in snippets() if not text.startswith(NOT_AN_ESTATE)]


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 6


@pytest.mark.parametrize("text", [text for _, text in SNIPPETS], ids=[name for name, _ in SNIPPETS])
def test_a_snippet_is_a_part_of_an_estate(text: str) -> None:
    whole = AROUND_GATES + textwrap.indent(text, "      ") if text.startswith(GATES) else text
    estate = parse_estate(whole, "snippet.yaml", base=Path("/"))
    assert estate.environments
