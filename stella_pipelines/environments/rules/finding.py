"""A finding of a rule: where in the file form, and what is wrong."""

from __future__ import annotations

from typing import NamedTuple

from stella_pipelines.environments.problems import Path


class Finding(NamedTuple):
    """`path` is written as the file has it: names are keys."""

    path: Path
    message: str
