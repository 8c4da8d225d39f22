"""Entering a list behind a tag while others write it too: every order of two writers that could lose an entry, made to happen."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.integrations.registries.distribution import DistributionRegistry
from stella_pipelines.integrations.registries.port import OCI_INDEX, OCI_MANIFEST, Referrer
from stella_pipelines.integrations.registries.referrers import ReferrersUnreadable, descriptor, empty_index, fallback_tag
from stella_pipelines.integrations.registries.referring import Patience, ReferrersContended, enter, referrers_of
from tests.support.referring_registry import ReferringRegistry

PATH = "releases/shop"
SUBJECT = Digest.of(b"subject")
TAG = fallback_tag(SUBJECT)


def referrer(name: str, artifact_type: str = "application/a") -> Referrer:
    return Referrer(media_type=OCI_MANIFEST, digest=Digest.of(name.encode()), size=1, artifact_type=artifact_type)


OURS, THEIRS, THIRD = referrer("ours"), referrer("theirs"), referrer("third", "application/b")


class Contested:
    """A registry without a list of its own, and the moments at which somebody else writes."""

    def __init__(self, server: ReferringRegistry) -> None:
        self.server = server
        self.client: DistributionRegistry = server.client()
        self.pauses: list[float] = []
        self.at_pauses: list[Callable[[], None]] = []

    def overwrite(self, *entries: Referrer) -> None:
        """What a tool does that read the list a while ago."""
        content = json.dumps({**empty_index(), "manifests": [descriptor(entry) for entry in entries]}).encode()
        with self.server.lock:
            self.server.manifests[PATH, str(Digest.of(content))] = (OCI_INDEX, content)
            self.server.tags[PATH, TAG] = str(Digest.of(content))

    def before_our_next_write(self, *entries: Referrer) -> None:
        def once(reference: str) -> None:
            self.server.before_put = lambda _: None
            self.overwrite(*entries)

        self.server.before_put = once

    def patience(self, **more: Any) -> Patience:
        def pause(seconds: float) -> None:
            self.pauses.append(seconds)
            if self.at_pauses:
                self.at_pauses.pop(0)()

        return Patience(sleep=pause, jitter=lambda: 0.0, **more)

    def enter(self, *entries: Referrer, **more: Any) -> None:
        enter(self.client, PATH, SUBJECT, entries, self.patience(**more))

    def listed(self) -> list[Digest]:
        return [one.digest for one in referrers_of(self.client, PATH, SUBJECT)]


@pytest.fixture(params=[True, False], ids=["with conditions", "without conditions"])
def contested(request: pytest.FixtureRequest) -> Iterator[Contested]:
    with ExitStack() as stack:
        registry = Contested(stack.enter_context(ReferringRegistry(lists=False, conditions=request.param)))
        yield registry
        registry.client.close()


def test_the_first_entry_begins_the_list(contested: Contested) -> None:
    assert contested.listed() == []
    contested.enter(OURS)
    assert contested.listed() == [OURS.digest]
    assert len(contested.pauses) == 1


def test_an_entry_that_is_there_costs_no_write_and_no_pause(contested: Contested) -> None:
    contested.overwrite(OURS, THEIRS)
    written = len(contested.server.manifests)
    contested.enter(OURS)
    assert contested.pauses == []
    assert len(contested.server.manifests) == written


def test_what_others_entered_before_stays(contested: Contested) -> None:
    contested.overwrite(THEIRS)
    contested.enter(OURS, THIRD)
    assert contested.listed() == [THEIRS.digest, OURS.digest, THIRD.digest]


def test_a_writer_who_was_slower_and_took_ours_away_is_noticed(contested: Contested) -> None:
    """Both read the empty list; we write first, and the other one's list is without ours."""
    contested.at_pauses = [lambda: contested.overwrite(THEIRS)]
    contested.enter(OURS)
    assert contested.listed() == [THEIRS.digest, OURS.digest]
    assert len(contested.pauses) == 2


def test_a_writer_who_was_quicker_is_not_overwritten_where_the_registry_knows_conditions() -> None:
    """Both read the empty list; the other one writes first."""
    with ReferringRegistry(lists=False, conditions=True) as server:
        contested = Contested(server)
        contested.before_our_next_write(THEIRS)
        contested.enter(OURS)
        assert contested.listed() == [THEIRS.digest, OURS.digest]
        contested.client.close()


def test_two_who_look_twice_lose_nothing_without_conditions() -> None:
    """Both read the empty list, the other one writes first and we overwrite it: it looks again, as we do, and enters again what is gone."""
    with ReferringRegistry(lists=False, conditions=False) as server:
        contested = Contested(server)
        other = Contested(server)
        contested.before_our_next_write(THEIRS)
        contested.at_pauses = [lambda: other.enter(THEIRS)]
        contested.enter(OURS)
        assert contested.listed() == [OURS.digest, THEIRS.digest]
        for one in (contested, other):
            one.client.close()


def test_a_list_that_changes_every_time_ends_with_an_error_that_may_pass(contested: Contested) -> None:
    contested.at_pauses = [lambda: contested.overwrite(THEIRS)] * 10
    with pytest.raises(ReferrersContended) as refused:
        contested.enter(OURS, attempts_max=3)
    assert refused.value.retryable
    assert contested.listed() == [THEIRS.digest]
    assert len(contested.pauses) == 3
    assert sorted(contested.pauses) == contested.pauses


def test_something_else_behind_the_tag_is_not_replaced(contested: Contested) -> None:
    content = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
    contested.client.push_manifest(PATH, content, OCI_MANIFEST, TAG)
    with pytest.raises(ReferrersUnreadable):
        contested.enter(OURS)
    with pytest.raises(ReferrersUnreadable):
        contested.listed()
    assert contested.client.manifest(PATH, TAG).content == content


def test_a_list_is_filtered_here_where_the_registry_does_not(contested: Contested) -> None:
    contested.overwrite(OURS, THIRD)
    assert [one.digest for one in referrers_of(contested.client, PATH, SUBJECT, "application/b")] == [THIRD.digest]
    assert referrers_of(contested.client, PATH, SUBJECT, "application/none") == ()
