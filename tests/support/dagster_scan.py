"""Which names of Dagster's that are not public the product uses: found in its source, and nowhere else.

Not public is: everything below `dagster._…`; everything of `dagster_postgres` below its top; a method of `DagsterInstance` that Dagster does not
mark as public. Imports, names of modules written as words, and attributes of what is called an instance are looked at.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster._annotations import is_public

from tests.support.installation import ROOT

PRODUCT = ("stella_pipelines", "assets", "resources", "sensors")
INSTANCE = "dagster.DagsterInstance"
_PRIVATE = re.compile(r"(?:dagster\._|dagster_postgres\.|dagster_shared|dagster_graphql|dagster_webserver\.)[\w.]*")


@functools.cache
def private_names() -> dict[str, set[str]]:
    """By name: the files that use it."""
    found: dict[str, set[str]] = {}
    for package in PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            for name in _names(ast.parse(path.read_text())):
                found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


def names_in(source: str) -> set[str]:
    """The private names that a piece of source uses."""
    return set(_names(ast.parse(source)))


def _names(tree: ast.AST) -> Iterator[str]:
    about_dagster = any(_imports_dagster(node) for node in ast.walk(tree))
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (name for alias in names if _PRIVATE.fullmatch(name := f"{module}.{alias.name}"))
            case ast.Import(names=names):
                yield from (alias.name for alias in names if _PRIVATE.fullmatch(alias.name))
            case ast.Constant(value=str(words)) if _PRIVATE.fullmatch(words):
                yield words
            case ast.Attribute(value=receiver, attr=attribute) if about_dagster and _is_instance(receiver) and _is_unmarked(attribute):
                yield f"{INSTANCE}.{attribute}"
            case _:
                pass


def _is_instance(receiver: ast.expr) -> bool:
    name = receiver.id if isinstance(receiver, ast.Name) else receiver.attr if isinstance(receiver, ast.Attribute) else ""
    return name in {"instance", "_instance", "DagsterInstance"}


def _is_unmarked(attribute: str) -> bool:
    found = getattr(dg.DagsterInstance, attribute, None)
    return found is not None and not is_public(found)


def _imports_dagster(node: ast.AST) -> bool:
    modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    return any(module.split(".")[0] == "dagster" for module in modules)


def source_of(path: str) -> str:
    """A file of the repository."""
    return (ROOT / Path(path)).read_text()
