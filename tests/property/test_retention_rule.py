"""The rule about what may go, for every packet, every hold and every need: nothing young, held, needed, unlogged or damaged ever goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.evidence.retention.candidates import Candidate, digests_in
from stella_pipelines.evidence.retention.rules import WORDS, judge
from stella_pipelines.evidence.retention.scopes import Hold, Lifted, OfDigest, OfEnvironment, OfEverything, OfRelease, OfSpan, Placed

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
DIGESTS = [Digest.of(bytes([number])) for number in range(4)]
NAMES = ["dev", "prod"]
moments = st.integers(0, 4_000).map(lambda hours: BEGINNING + timedelta(hours=hours))
digests = st.sampled_from(DIGESTS)
spans = st.tuples(moments, moments).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: OfSpan(since=pair[0], until=pair[1]))
scopes = st.one_of(
    st.sampled_from(NAMES).map(lambda name: OfEnvironment(environment=name)),
    digests.map(lambda digest: OfDigest(digest=digest)),
    digests.map(lambda digest: OfRelease(label="shop-1", digest=digest)),
    spans,
    moments.map(lambda moment: OfSpan(since=moment)),
    moments.map(lambda moment: OfSpan(until=moment)),
    st.just(OfEverything()),
)


@st.composite
def candidates(draw: st.DrawFn) -> Candidate:
    environment = draw(st.sampled_from([*NAMES, None]))
    return Candidate(
        id=draw(st.sampled_from(["evd_1", "evd_2", "evd_3"])),
        kind=draw(st.sampled_from(["decision", "deployment", "release", "purge"])),
        stream="releases" if environment is None else f"environment/{environment}",
        environment=environment,
        sequence=draw(st.integers(1, 9)),
        sealed_at=draw(moments),
        bytes=draw(st.integers(1, 1000)),
        content=draw(digests),
        logged=draw(st.booleans()),
        genuine=draw(st.booleans()),
        named=draw(st.frozensets(digests.map(lambda digest: digest.hex))),
    )


@st.composite
def held(draw: st.DrawFn) -> Hold:
    """A hold in force, one that was lifted, or one that cannot be read."""
    number = draw(st.integers(0, 7))
    hold_id = f"lgh_{number:026}"
    alice, bob = Actor(name="alice", via="test"), Actor(name="bob", via="test")
    placed = Placed(hold_id=hold_id, scope=draw(scopes), reason="court", by=alice, at=BEGINNING)
    lifted = Lifted(hold_id=hold_id, reason="over", by=bob, at=BEGINNING)
    return Hold(id=hold_id, placed=draw(st.sampled_from([placed, placed, None])), lifted=draw(st.sampled_from([None, lifted])))


needs = st.dictionaries(st.sampled_from(["evd_1", "evd_2", "evd_3"]), st.just("runs in prod"))


@given(candidates(), moments, st.lists(held(), max_size=4), needs)
def test_what_goes_is_old_logged_genuine_and_neither_held_nor_needed(
    candidate: Candidate, sealed_before: datetime, holds: list[Hold], needed: dict[str, str]
) -> None:
    verdict = judge(candidate, sealed_before, holds, needed)
    assert verdict == judge(candidate, sealed_before, holds, needed)
    assert verdict.reason in WORDS
    if not verdict.goes:
        return
    assert candidate.sealed_at < sealed_before
    assert candidate.logged
    assert candidate.genuine
    assert candidate.kind != "purge"
    assert candidate.id not in needed
    for hold in holds:
        if hold.lifted is not None:
            continue
        assert hold.placed is not None, "a hold that cannot be read is a hold on everything"
        assert not _covered(hold.placed, candidate)


def _covered(placed: Placed, candidate: Candidate) -> bool:
    """Said again in other words, one scope at a time."""
    match placed.scope:
        case OfEverything():
            return True
        case OfEnvironment(environment=name):
            return candidate.environment in (name, None)
        case OfDigest(digest=digest):
            return digest.hex in candidate.named or digest == candidate.content
        case OfRelease(digest=digest):
            return digest.hex in candidate.named
        case OfSpan(since=since, until=until):
            return (since or candidate.sealed_at) <= candidate.sealed_at and (until is None or candidate.sealed_at < until)


@given(candidates(), moments, st.lists(held(), max_size=3), held(), needs)
def test_another_hold_never_lets_more_go(candidate: Candidate, sealed_before: datetime, holds: list[Hold], more: Hold, needed: dict[str, str]) -> None:
    with_more = judge(candidate, sealed_before, [*holds, more], needed)
    assert not with_more.goes or judge(candidate, sealed_before, holds, needed).goes


@given(candidates(), moments, st.integers(0, 2_000), st.lists(held(), max_size=3), needs)
def test_a_longer_retention_never_lets_more_go(candidate: Candidate, sealed_before: datetime, hours: int, holds: list[Hold], needed: dict[str, str]) -> None:
    longer = judge(candidate, sealed_before - timedelta(hours=hours), holds, needed)
    assert not longer.goes or judge(candidate, sealed_before, holds, needed).goes


def test_digests_are_found_however_they_are_written_and_in_no_longer_number() -> None:
    one, other = DIGESTS[0], DIGESTS[1]
    text = f'{{"a":"{one}","digest":{{"sha256":"{other.hex}"}},"long":"{"0" * 65}","upper":"{"A" * 64}"}}'
    assert digests_in(text.encode()) == {one.hex, other.hex}
    assert digests_in(b"") == frozenset()
