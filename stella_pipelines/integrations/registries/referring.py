"""Attaching artifacts to a manifest and finding what is attached, with a registry that lists referrers by itself and with one that does not.

Which one it is, it says itself: at a push by `OCI-Subject`, at a list by 404 (OCI distribution 1.1). Where it keeps no list, an index behind a tag
is read, extended and written by everybody who attaches something. Two writers at the same moment must not lose each other's entries:

- the tag is moved only from what was read, if the registry knows conditions;
- after the write there is a pause and another look, and what has gone missing is entered again. So whoever looks twice, as this does, loses nothing.

A tool that neither sends conditions nor looks again can still lose its own entry, to this as to any other writer; the specification leaves that open.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.port import OCI_INDEX, OCI_MANIFEST, Referrer, RegistryError, RegistryPort, TagChanged, Tagged
from stella_pipelines.integrations.registries.referrers import empty_index, fallback_tag, listed, merged, require_index


class ReferrersContended(RegistryError):
    """The list of referrers of a manifest was changed by others each time that it was to be written."""

    code = "INT_REFERRERS_CONTENDED"
    retryable = True


@dataclass(frozen=True)
class Patience:
    """How often a list is written again, and how long another writer has to finish. `jitter` keeps two that collide from doing so again."""

    attempts_max: int = 10
    settle_s: float = 0.25
    sleep: Callable[[float], None] = field(default=time.sleep)
    jitter: Callable[[], float] = field(default=random.random)

    def wait(self, attempt: int) -> None:
        """The pause after a write, longer the more often it went wrong."""
        self.sleep(self.settle_s * (1 + attempt) * (1 + self.jitter()))


def referrers_of(registry: RegistryPort, path: str, subject: Digest, artifact_type: str | None = None) -> tuple[Referrer, ...]:
    """What is attached to `subject` in this repository, of one type or of all. Nothing of it is proven by being listed."""
    found = registry.referrers(path, subject, artifact_type)
    if found is None:
        document, _ = _behind_tag(registry, path, subject)
        found = listed(document, _origin(path, subject))
    return tuple(referrer for referrer in found if artifact_type in (None, referrer.artifact_type))


def push_artifact(registry: RegistryPort, path: str, manifest: bytes, subject: Digest) -> bool:
    """Store an artifact manifest whose blobs are there. False: `enter` must put it into the list, or nobody will find it."""
    return registry.push_referrer(path, manifest, OCI_MANIFEST, subject)


def enter(registry: RegistryPort, path: str, subject: Digest, entries: Sequence[Referrer], patience: Patience) -> None:
    """Put entries into the list behind the tag. Returns when they were seen there after the last write."""
    for attempt in range(patience.attempts_max):
        document, was = _behind_tag(registry, path, subject)
        content = merged(document, entries, _origin(path, subject))
        if content is None:
            return
        with contextlib.suppress(TagChanged):
            registry.move_tag(path, content, OCI_INDEX, fallback_tag(subject), was)
        patience.wait(attempt)
    raise ReferrersContended(
        f"The list of what is attached to {path}@{subject} was changed by others {patience.attempts_max} times in a row.",
        unchanged="The artifacts are stored, and not all of them are listed.",
        next_step="Repeat the command: it goes on where it stopped.",
    )


def _behind_tag(registry: RegistryPort, path: str, subject: Digest) -> tuple[dict[str, Any], Tagged | None]:
    tagged = registry.tagged(path, fallback_tag(subject))
    if tagged is None:
        return empty_index(), None
    return require_index(tagged.manifest, _origin(path, subject)), tagged


def _origin(path: str, subject: Digest) -> str:
    return f"What {path}:{fallback_tag(subject)} names"
