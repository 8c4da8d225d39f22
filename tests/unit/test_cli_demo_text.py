"""What the demo prints beside the commands' own answers: lines that hang, and a way to look from another terminal."""

import io
import re
from pathlib import Path

import pytest
from rich.table import Table

from stella_pipelines.cli.demo import commands_to_look
from stella_pipelines.cli.demo_console import StoryConsole


def printed(*lines: object, is_terminal: bool = True, **options: bool) -> list[str]:
    console = StoryConsole(file=io.StringIO(), width=30, highlight=False, force_terminal=is_terminal, no_color=True, legacy_windows=False)
    for line in lines:
        console.print(line, **options)
    written = console.file
    assert isinstance(written, io.StringIO)
    return re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue()).splitlines()


def test_a_long_line_goes_on_below_its_beginning() -> None:
    said = printed("  [red]wait[/]  soaked  healthy in staging since noon, and it must soak")
    assert said == ["  wait  soaked  healthy in", "    staging since noon, and it", "    must soak"]


@pytest.mark.parametrize(("is_terminal", "options"), [(False, {}), (False, {"soft_wrap": False}), (True, {"soft_wrap": True})])
def test_what_is_not_to_be_folded_stays_one_line(is_terminal: bool, options: dict[str, bool]) -> None:
    line = "  wait  soaked  healthy in staging since noon, and it must soak"
    assert printed(line, is_terminal=is_terminal, **options) == [line]


def test_a_command_that_lets_a_terminal_fold_gets_hanging_lines() -> None:
    assert printed("  allow  freeze  no window is open now", soft_wrap=False) == ["  allow  freeze  no window is", "    open now"]


def test_a_line_without_indent_goes_on_a_little_further_in() -> None:
    assert printed("$ stella release create shop 1.0.0 --as ci") == ["$ stella release create shop", "  1.0.0 --as ci"]


def test_a_word_longer_than_the_line_is_printed_in_full() -> None:
    digest = "sha256:" + "0123456789abcdef" * 4
    assert printed(f"  Pushed {digest}") == [f"  Pushed {digest}"]


def test_what_fits_stays_as_it_is_and_lines_stay_lines() -> None:
    assert printed("one\n  two", "", "three") == ["one", "  two", "", "three"]


def test_tables_are_left_alone() -> None:
    table = Table("A", "B", box=None, pad_edge=False)
    table.add_row("1", "2")
    assert printed(table) == ["A  B", "1  2"]


def test_another_terminal_gets_the_environment_and_the_home(tmp_path: Path) -> None:
    assert commands_to_look("/h", tmp_path) == ("export STELLA_HOME=/h", "stella status")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "activate").touch()
    assert commands_to_look("/h", tmp_path) == (f". {tmp_path}/bin/activate", "export STELLA_HOME=/h", "stella status")
