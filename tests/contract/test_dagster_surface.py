"""The narrowest surface: every name of Dagster's that is not public is on one list, and each is still what the list says."""

from __future__ import annotations

import importlib
import inspect

import dagster as dg
import pytest

from tests.support.dagster_scan import names_in, private_names, source_of
from tests.support.dagster_surface import SURFACE, Used, table

DOCUMENT = "docs/dagster-internals.md"


def found(name: str) -> object:
    """What the name stands for. `LookupError` when there is nothing."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            it: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            if not hasattr(it, attribute):
                raise LookupError(name)
            it = getattr(it, attribute)
        return it
    raise LookupError(name)


def has(it: object, part: str) -> bool:
    """Whether it has this parameter or, with a dot, this member. Dagster's records say what they are made from by their annotations."""
    if part.startswith("."):
        return hasattr(it, part[1:]) or part[1:] in getattr(it, "__annotations__", {})
    assert callable(it)
    return part in inspect.signature(it).parameters or (isinstance(it, type) and part in getattr(it, "__annotations__", {}))


@pytest.mark.parametrize("used", SURFACE, ids=lambda used: used.name)
def test_what_we_use_of_dagster_is_still_there(used: Used) -> None:
    files = " and ".join(sorted(private_names().get(used.name, ()))) or "no file (take it off the list)"
    told = f"of Dagster {dg.__version__}, used by {files} ({used.why}). Change the file, and the list in tests/support/dagster_surface.py."
    try:
        it = found(used.name)
    except LookupError:
        pytest.fail(f"{used.name} is no more {told}")
    missing = [part for part in used.parts if not has(it, part)]
    assert not missing, f"{', '.join(missing)} is no part of {used.name} {told}"


def test_nothing_else_of_dagsters_private_names_is_used() -> None:
    listed = {used.name for used in SURFACE}
    new = {name: sorted(files) for name, files in private_names().items() if name not in listed}
    assert not new, f"Not on the list of tests/support/dagster_surface.py: {new}. Use a public name; if there is none, add each with what it is used for."


def test_what_is_not_used_any_more_is_taken_off_the_list() -> None:
    gone = {used.name for used in SURFACE} - set(private_names())
    assert not gone, f"No file uses {sorted(gone)}: take them off the list of tests/support/dagster_surface.py."


def test_each_name_is_listed_once_and_says_what_it_is_for() -> None:
    names = [used.name for used in SURFACE]
    assert len(names) == len(set(names))
    assert all(used.why for used in SURFACE)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from dagster._core.events import EngineEventData", {"dagster._core.events.EngineEventData"}),
        ("import dagster._utils", {"dagster._utils"}),
        ("def f():\n    from dagster._seven import x", {"dagster._seven.x"}),
        ("importlib.import_module('dagster._core.executor')", {"dagster._core.executor"}),
        ("from dagster_postgres.run_storage import PostgresRunStorage", {"dagster_postgres.run_storage.PostgresRunStorage"}),
        ("import dagster as dg\ndg.DagsterInstance.get()", set()),
        ("import dagster as dg\nself._instance.report_run_failed(run)", {"dagster.DagsterInstance.report_run_failed"}),
        ("import dagster as dg\ncontext.instance.delete_run(run_id)", set()),
        ("instance.report_run_failed(run)  # of something else, where Dagster is not imported", set()),
    ],
)
def test_private_names_are_found_however_they_are_written(source: str, names: set[str]) -> None:
    assert names_in(source) == names


def test_a_name_that_is_gone_is_noticed() -> None:
    with pytest.raises(LookupError):
        found("dagster._core.no_such_thing")
    assert not has(found("dagster._grpc.impl.core_execute_run"), "no_such_parameter")


def test_the_documentation_shows_the_list() -> None:
    assert table() in source_of(DOCUMENT), f"{DOCUMENT} shows another list. Paste what `python -m tests.support.dagster_surface` prints."
