"""When the runner must not fork: a file that it imported is not what it was, or could not be imported at all."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from stella_pipelines.jobs.warm.freshness import LOOK_EVERY_S, RETRY_AFTER_S, Freshness
from stella_pipelines.jobs.warm.renewal import FORKS_MAX, GROWTH_BYTES_MAX, outgrown
from stella_pipelines.jobs.warm.staleness import ImportedCode, files_of, imported_files


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module that is imported."""
    path = tmp_path / "some_imported_module.py"
    path.write_text("ONE = 1\n")
    made = ModuleType(path.stem)
    made.__file__ = str(path)
    monkeypatch.setitem(sys.modules, path.stem, made)
    return path


def noted(began_ns: int | None = None) -> ImportedCode:
    code = ImportedCode()
    code.note(time.time_ns() if began_ns is None else began_ns)
    return code


def test_code_that_nobody_touched_is_fresh(module: Path) -> None:
    assert str(module) in imported_files()
    assert noted().changed() is None


def test_a_file_that_was_written_replaced_or_removed_is_not(module: Path) -> None:
    code = noted()
    module.write_text("ONE = 11\n")
    assert code.changed() == str(module)
    code = noted()
    found = module.stat()
    (module.parent / "new").write_text("TWO = 2\n")
    os.utime(module.parent / "new", ns=(found.st_atime_ns, found.st_mtime_ns))
    (module.parent / "new").replace(module)
    assert code.changed() == str(module), "another file, of the same time and perhaps the same size"
    code = noted()
    module.unlink()
    assert code.changed() == str(module)


def test_a_file_that_changed_while_it_was_imported_counts_as_changed(module: Path) -> None:
    began_ns = time.time_ns() - 10**9
    module.write_text("ONE = 12\n")
    assert noted(began_ns).changed() == str(module)


def test_the_file_that_stopped_an_import_is_watched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    broken = tmp_path / "some_broken_module.py"
    broken.write_text("= nonsense\n")
    with pytest.raises(SyntaxError) as caught:
        importlib.import_module("some_broken_module")
    code = ImportedCode()
    code.note(time.time_ns(), files_of(caught.value))
    assert code.changed() is None
    broken.write_text("FINE = True\n")
    assert code.changed() == str(broken)


def fresh(code: ImportedCode, refusal: str | None = None) -> Freshness:
    return Freshness(code, refusal, resident_bytes_at_start=100, now_s=0.0)


def test_before_a_fork_one_look_is_enough(module: Path) -> None:
    freshness = fresh(noted())
    assert freshness.why_renew(0.0) is None
    module.write_text("ONE = 13\n")
    assert freshness.why_renew(0.0) == f"{module} has changed"


def test_unasked_it_waits_until_whoever_writes_is_done(module: Path) -> None:
    freshness = fresh(noted())
    module.write_text("ONE = 14\n")
    assert freshness.why_renew_unasked(0.0, 0, 100) is None
    assert freshness.why_renew_unasked(LOOK_EVERY_S / 2, 0, 100) is None, "it does not look all the time"
    assert freshness.why_renew_unasked(LOOK_EVERY_S, 0, 100) == f"{module} has changed"


def test_code_that_is_no_good_is_tried_again_when_it_changes_and_now_and_then(module: Path) -> None:
    freshness = fresh(noted(), refusal="SyntaxError")
    assert freshness.why_renew(RETRY_AFTER_S - 1) is None
    assert freshness.why_renew(RETRY_AFTER_S) is not None
    freshness.refuse("still no good", time.time_ns(), RETRY_AFTER_S)
    assert (freshness.refusal, freshness.why_renew(RETRY_AFTER_S)) == ("still no good", None)
    module.write_text("ONE = 15\n")
    assert freshness.why_renew(RETRY_AFTER_S) == f"{module} has changed"


def test_a_runner_that_has_grown_or_forked_enough_is_made_anew() -> None:
    assert outgrown(FORKS_MAX - 1, GROWTH_BYTES_MAX + 100, 100) is None
    assert outgrown(FORKS_MAX, 100, 100) is not None
    assert "128 MiB" in (outgrown(0, GROWTH_BYTES_MAX + 101, 100) or "")
    assert fresh(noted()).why_renew_unasked(0.0, FORKS_MAX, 100) is not None
