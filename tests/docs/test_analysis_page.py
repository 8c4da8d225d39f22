"""Every cell of docs/analysis.md is run, and prints what the page says; and its columns are those of the frames."""

from __future__ import annotations

import re

import pytest

from tests.support.analysis_page import CELL, PAGE, analysts_installation, as_run
from tests.support.installation import NESTED_RESOURCES

pytestmark = pytest.mark.filterwarnings(NESTED_RESOURCES)


def test_the_page_prints_what_it_says() -> None:
    page = PAGE.read_text()
    with analysts_installation():
        assert as_run(page) == page, "write it anew with 'python -m tests.support.analysis_page', and read what has changed"


def test_the_page_answers_its_questions() -> None:
    """What is printed is not empty, and no error was taken for an answer."""
    cells = list(CELL.finditer(PAGE.read_text()))
    printed = [cell["printed"] for cell in cells if cell["printed"] is not None]
    assert len(printed) >= 9
    assert all(text.strip() for text in printed)
    back, forward = (next(text for text in printed if word in text) for word in ("git.example.com", "critical"))
    assert re.search(r"approval\s.*\bann\b", back)
    assert re.search(r"scan\s.*trivy", back)
    assert {"dev", "prod"} <= set(re.findall(r"\b(dev|prod)\b", forward))


def test_every_row_of_its_tables_has_three_cells() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) > 80
    assert {line.count("|") for line in rows} == {4}
