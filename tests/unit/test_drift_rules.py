"""What is drift and what is not, and when there is something to tell. Without a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stella_pipelines.connectors.port import ComponentSpec, Health, Observation, RunningComponent
from stella_pipelines.core import limits
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments.drift import UNEXPECTED_SUBJECTS_MAX, Compared, drift_subjects, find_drift, not_compared, turn_of
from stella_pipelines.deployments.model import DriftFinding, EnvironmentObservation, OngoingDrift, TargetObservation
from stella_pipelines.deployments.observing import Expected
from stella_pipelines.deployments.sealing import LINES_BYTES_MAX
from stella_pipelines.environments.model import HealthCheck
from stella_pipelines.evidence.statement import SHOWN_CHARS_MAX

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
OURS, THEIRS, CONFIG = Digest.of(b"ours"), Digest.of(b"theirs"), Digest.of(b"config")
SPEC = ComponentSpec(
    name="web",
    repository="registry.test/shop/web",
    index_digest=OURS,
    platform_digest=OURS,
    config_digest=CONFIG,
    health=HealthCheck(kind="container", timeout_s=1.0, interval_s=1.0),
    stop_timeout_s=1.0,
)
EXPECTED = Expected(deployment_id="dep_1", release_digest=Digest.of(b"release"), targets={"host-1": (SPEC,), "host-2": (SPEC,)})


def running(platform: Digest | None, config: Digest | None = CONFIG) -> RunningComponent:
    return RunningComponent(
        component="web",
        platform_digest=platform,
        config_digest=config,
        runtime_id="1",
        deployment_id=None,
        release_digest=None,
        running=True,
        health=Health.HEALTHY,
    )


def seen(*shown: RunningComponent | str | None, at: datetime = NOW) -> EnvironmentObservation:
    """What each host shows; a text means that it does not answer."""
    targets = []
    for number, one in enumerate(shown, start=1):
        name = f"host-{number}"
        components = (one,) if isinstance(one, RunningComponent) else ()
        answer = None if isinstance(one, str) else Observation(target=name, observed_at=at, components=components)
        targets.append(TargetObservation(target=name, observation=answer))
    return EnvironmentObservation(environment="prod", observed_at=at, deployment_id="dep_1", release_digest=None, targets=tuple(targets))


def ongoing(*findings: DriftFinding, deployment_id: str = "dep_1") -> OngoingDrift:
    return OngoingDrift(packet_id="evd_1", packet_digest=Digest.of(b"p"), began_at=NOW, deployment_id=deployment_id, findings=findings)


@pytest.mark.parametrize(
    ("shown", "is_drift"),
    [
        (running(OURS), False),
        (running(THEIRS), True),
        (None, True),
        (running(None), False),  # it cannot say which manifest, and it is the right image
        (running(None, None), False),  # it cannot say anything
        (running(None, THEIRS), True),  # an image that was built there, and is not ours
        ("away", False),
    ],
)
def test_what_is_drift(shown: RunningComponent | str | None, is_drift: bool) -> None:
    assert bool(find_drift(seen(shown), EXPECTED, None, ())) is is_drift


def test_a_target_without_a_deployment_or_left_otherwise_is_not_compared() -> None:
    look = seen(running(THEIRS), running(THEIRS), running(THEIRS))
    assert [finding.target for finding in find_drift(look, EXPECTED, None, {"host-2"})] == ["host-1"]
    assert not_compared(look, EXPECTED, {"host-2"}) == 2


def test_a_finding_keeps_the_time_of_its_first_look_until_it_is_another_one() -> None:
    (first,) = find_drift(seen(running(THEIRS)), EXPECTED, None, ())
    later = NOW + timedelta(hours=1)
    assert find_drift(seen(running(THEIRS), at=later), EXPECTED, ongoing(first), ()) == (first,)
    assert find_drift(seen(running(CONFIG), at=later), EXPECTED, ongoing(first), ())[0].found_at == later


def test_silence_keeps_a_finding_of_this_deployment_and_of_no_other() -> None:
    (first,) = find_drift(seen(running(THEIRS)), EXPECTED, None, ())
    assert find_drift(seen("away"), EXPECTED, ongoing(first), ()) == (first,)
    assert find_drift(seen("away"), EXPECTED, ongoing(first, deployment_id="dep_0"), ()) == ()


def test_when_there_is_something_to_tell() -> None:
    (one,) = find_drift(seen(running(THEIRS)), EXPECTED, None, ())
    (other,) = find_drift(seen(None), EXPECTED, None, ())
    assert turn_of(None, "dep_1", ()) is None
    assert turn_of(None, "dep_1", (one,)) == "found"
    assert turn_of(ongoing(one), "dep_1", (one.model_copy(update={"found_at": NOW + timedelta(hours=1)}),)) is None
    assert turn_of(ongoing(one), "dep_1", (other,)) == "changed"
    assert turn_of(ongoing(one), "dep_2", (one,)) == "changed"
    assert turn_of(ongoing(one), "dep_1", ()) == "over"


SHOWN = st.sampled_from([running(OURS), running(THEIRS), running(None), None, "away"])


@given(st.lists(st.tuples(SHOWN, SHOWN), max_size=12))
def test_a_look_that_says_the_same_tells_nothing_and_found_and_over_take_turns(looks: list[tuple[RunningComponent | str | None, ...]]) -> None:
    before: OngoingDrift | None = None
    told: list[str] = []
    for number, shown in enumerate(looks):
        for _ in range(2):  # every look twice
            findings = find_drift(seen(*shown, at=NOW + timedelta(minutes=number)), EXPECTED, before, ())
            turn = turn_of(before, "dep_1", findings)
            if turn is not None:
                told.append(turn)
                before = None if turn == "over" else ongoing(*findings)
        assert turn_of(before, "dep_1", find_drift(seen(*shown), EXPECTED, before, ())) is None
    framed = [turn for turn in told if turn != "changed"]
    assert framed == ["found", "over"] * (len(framed) // 2) + ["found"] * (len(framed) % 2)
    assert told[:1] in ([], ["found"])


def test_the_largest_packet_is_one_that_can_be_sealed() -> None:
    images = limits.COMPONENTS_MAX * limits.PLATFORMS_MAX + UNEXPECTED_SUBJECTS_MAX
    subjects = images * (SHOWN_CHARS_MAX + 128)
    assert (LINES_BYTES_MAX + subjects + 64 * 1024) * 4 // 3 < limits.PACKET_BYTES_MAX


def test_too_many_unexpected_digests_are_no_subjects_at_all() -> None:
    compared = Compared(deployment_id="dep_1", packet_id="evd_1", packet_digest=OURS, release_label="shop-1.0.0", release_digest=Digest.of(b"release"))
    finding = DriftFinding(target="host-1", component="web", wanted=OURS, running=True, observed=THEIRS, observed_config=None, found_at=NOW)
    many = [finding.model_copy(update={"observed": Digest.of(str(number).encode())}) for number in range(UNEXPECTED_SUBJECTS_MAX + 1)]
    assert [subject.name.partition("/")[0] for subject in drift_subjects(compared, EXPECTED, many)] == ["release", "image"]
    assert len(drift_subjects(compared, EXPECTED, many[1:])) == 2 + UNEXPECTED_SUBJECTS_MAX
