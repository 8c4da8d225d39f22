"""The commands around the checkout: what the pages tell people to type exists, and the scripts refuse nonsense."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def run(*words: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **(environ or {})})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_on_a_page_exists(page: Path) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", page.read_text(), re.MULTILINE))
    assert sorted(named - TARGETS) == []


def test_make_alone_lists_the_targets() -> None:
    listed = run("make").stdout
    assert sorted(TARGETS) == sorted(re.findall(r"^  make ([a-z-]+) ", listed, re.MULTILINE))
    assert {"demo", "test", "help"} <= TARGETS


def test_ci_runs_what_the_readme_says() -> None:
    last = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert last == "exec make test"
    assert "make test" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("script", ["scripts/bootstrap.sh", "scripts/as_root.sh", ".ci/run"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert run("bash", "-n", script).stderr == ""


def test_an_unknown_level_is_refused() -> None:
    done = run("scripts/bootstrap.sh", "everything")
    assert done.returncode == 2
    assert "demo|test" in done.stderr


@pytest.mark.parametrize("code", [0, 3])
def test_as_root_passes_words_and_the_exit_code_on(code: int) -> None:
    done = run("scripts/as_root.sh", "bash", "-c", f'echo "$1"; exit {code}', "name", "two words", environ={"LAB": "embedded"})
    assert (done.returncode, done.stdout) == (code, "two words\n")
