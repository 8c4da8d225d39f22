"""`estate.yaml` as an `Estate`, or one error that lists everything that is wrong with it, each problem with its line.

Three passes: YAML with places (`source.py`), the file form as values (`reading.py`), the rules of the whole (`rules/`). Parsing reads no other file
and asks nobody: the same text gives the same estate.
"""

from __future__ import annotations

from pathlib import Path

from stella_pipelines.environments.files import with_absolute_files
from stella_pipelines.environments.model import Estate
from stella_pipelines.environments.problems import InvalidEstate, Problem, dotted
from stella_pipelines.environments.promotion_path import in_promotion_order
from stella_pipelines.environments.reading import Reading
from stella_pipelines.environments.rules.every import findings, findings_of_absence
from stella_pipelines.environments.source import read_source


def parse_estate(text: str, source_name: str, base: Path | None = None) -> Estate:
    """The estate in `text`. `base` is the folder from which relative file paths start; without it they stay as written. Raises `InvalidEstate`."""
    source = read_source(text, source_name)
    reading = Reading(source)
    estate = reading.estate if base is None else with_absolute_files(reading.estate, base)
    problems = [*reading.problems, *(source.problem(path, message) for path, message in findings(estate, reading.names))]
    problems = problems or [source.problem(path, message) for path, message in findings_of_absence(estate)]
    if problems:
        raise InvalidEstate(source_name, sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return in_order(estate)


def require_valid(estate: Estate, source_name: str = "the estate") -> Estate:
    """The same rules for an estate that a program made. Returns it in order; raises `InvalidEstate`."""
    found = findings(estate) or findings_of_absence(estate)
    if found:
        raise InvalidEstate(source_name, [Problem(source=source_name, path=dotted(path), message=message) for path, message in found])
    return in_order(estate)


def in_order(estate: Estate) -> Estate:
    """One order for one content: environments along the promotion path, the rest by name. The order in a file never makes a difference."""
    return Estate(
        registries=tuple(sorted(estate.registries, key=lambda registry: registry.host)),
        components=tuple(sorted(estate.components, key=lambda component: component.name)),
        environments=in_promotion_order(estate.environments),
        targets=tuple(sorted(estate.targets, key=lambda target: target.name)),
        policies=tuple(sorted(estate.policies, key=lambda policy: policy.name)),
        freeze_windows=tuple(sorted(estate.freeze_windows, key=lambda window: window.name)),
    )
