"""What distinguishes two releases of one name and version. Pure.

The notes (which tag, when it was asked, when the release was created) do not count: they do not change what runs.
"""

from __future__ import annotations

from stella_pipelines.releases.model import Release, ReleaseComponent


def differences(existing: Release, wanted: Release) -> tuple[str, ...]:
    """One sentence per difference; empty when both mean the same."""
    before = {component.name: component for component in existing.components}
    after = {component.name: component for component in wanted.components}
    found = [f"{name} is only in the existing one" for name in sorted(before.keys() - after.keys())]
    found += [f"{name} is only in the new one" for name in sorted(after.keys() - before.keys())]
    found += [_change(before[name], after[name]) for name in sorted(before.keys() & after.keys()) if _content(before[name]) != _content(after[name])]
    if existing.source != wanted.source:
        found.append("the source is another one")
    return tuple(found)


def _content(component: ReleaseComponent) -> tuple[object, ...]:
    return component.repository, component.digest, component.platforms


def _change(before: ReleaseComponent, after: ReleaseComponent) -> str:
    return f"{before.name} is {before.repository}@{before.digest} in the existing one and {after.repository}@{after.digest} in the new one"
