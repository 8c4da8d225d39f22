"""Write the reference pages that come from the code: `docs/errors.md`, `docs/cli.md`, `docs/estate.schema.json`, and
`deploy/dagster.postgres.yaml`.

`make docs` writes them; a test compares them, so a page cannot fall behind the code.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import click
import typer.main

import stella_pipelines
from stella_pipelines.cli.app import app
from stella_pipelines.cli.exits import MEANINGS
from stella_pipelines.core.errors import all_error_classes
from stella_pipelines.environments.schema import json_schema
from stella_pipelines.supervisor.configuration import deployed_on_postgres

DOCS = Path(__file__).parents[1] / "docs"
PROGRAMS = ("__main__", ".celery_app")
"""Modules that act when they are imported, and define no error."""


def errors_page() -> str:
    """Every error code with its meaning and whether trying again can help."""
    for module in pkgutil.walk_packages(stella_pipelines.__path__, "stella_pipelines."):
        if ".migrations." not in module.name and not module.name.endswith(PROGRAMS):
            importlib.import_module(module.name)
    lines = ["# Errors", "", "Every error has a stable code, says what happened, what is unchanged and what to do next.", ""]
    lines += ["| Code | Meaning | Try again? |", "| --- | --- | --- |"]
    for cls in all_error_classes():
        meaning = " ".join(inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0].split())
        lines.append(f"| `{cls.code}` | {meaning} | {'yes' if cls.retryable else 'no'} |")
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """Every command with its help, as the command itself prints it."""
    root = typer.main.get_command(app)
    lines = ["# The `stella` command", "", "`--json` and `--as NAME` may stand before or after the command's name.", "", "## Exit codes", ""]
    lines += ["| Code | Meaning |", "| --- | --- |", *(f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()), ""]
    for path, command in _commands(root, ("stella",)):
        lines += [f"## `{' '.join(path)}`", "", _plain(inspect.cleandoc(command.help or "")), "", *_parameters(command)]
    return "\n".join(lines)


def _commands(command: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command  # type: ignore[misc]  # the parser's own command class is private to it
        return
    for name in sorted(children):
        yield from _commands(children[name], (*path, name))


def _parameters(command: click.Command) -> list[str]:
    rows = []
    for parameter in command.params:
        if parameter.name in ("help", "as_json", "actor"):
            continue
        is_option = parameter.param_type_name == "option"
        name = ", ".join(parameter.opts + parameter.secondary_opts) if is_option else str(parameter.metavar or (parameter.name or "").upper())
        rows.append(f"| `{name}` | {_plain(getattr(parameter, 'help', None) or '')} |")
    return ["| Parameter | Meaning |", "| --- | --- |", *rows, ""] if rows else []


def _plain(text: str) -> str:
    return text.replace("[bold]", "`").replace("[/]", "`").replace("|", "\\|")


def pages() -> dict[Path, str]:
    """Every generated page by its path."""
    return {
        DOCS / "errors.md": errors_page(),
        DOCS / "cli.md": cli_page(),
        DOCS / "estate.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
        DOCS.parent / "deploy" / "dagster.postgres.yaml": deployed_on_postgres((DOCS.parent / "dagster.yaml").read_text()),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(DOCS.parent)}")
