"""The jobs as runs, on an embedded lab with real processes: what an operator launches, what the run says, and what the catalogue shows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets import publishing
from assets.keys import DATA_VERSION_TAG, environment_key, evidence_key
from stella_pipelines.connectors.port import Effect
from stella_pipelines.core.actor import Actor
from stella_pipelines.core.digest import Digest
from stella_pipelines.deployments import looking
from stella_pipelines.deployments.model import Progress
from stella_pipelines.environments.estate import parse_estate
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.jobs.holding import holder_of
from stella_pipelines.lab.lab import Lab
from stella_pipelines.promotions.promotion import Promotion, PromotionState
from stella_pipelines.releases.model import ReleaseRecord, ReleaseSource
from stella_pipelines.store import leases
from tests.support.installation import ALICE, NESTED_RESOURCES, SmallInstallation, fast_home, small_installation

pytestmark = pytest.mark.filterwarnings(NESTED_RESOURCES)
CHECK = "what_runs_is_what_was_released"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """An embedded lab of its own (it stands in 20 ms)."""
    with Lab("embedded", tmp_path / "lab") as standing:
        yield standing


@pytest.fixture
def stella(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallInstallation]:
    with fast_home() as home, small_installation(home) as installation:
        monkeypatch.setenv("STELLA_HOME", str(home))
        monkeypatch.delenv("STELLA_DATABASE_URL", raising=False)
        installation.apply(parse_estate(lab.estate_path.read_text(), "estate.yaml"))
        yield installation


def release(stella: SmallInstallation, lab: Lab, image: str, version: str) -> ReleaseRecord:
    """A finalized release of one of the lab's images, with its scanner's report."""
    source = ReleaseSource(commit="5e1f0c3", author="dana")
    made = stella.plane.releases.create(
        ALICE, name="shop", version=version, images={"web": lab.images[image]}, registries=stella.plane.registry, source=source, finalize=True
    )
    assert made.digest is not None
    stella.plane.releases.attach_report(ALICE, made.digest, (lab.reports / f"{image}.trivy.json").read_bytes())
    return made


def ask(stella: SmallInstallation, label: str, environment: str, actor: str = "alice") -> Promotion:
    """Launch `request_promotion` as the UI does; the promotion that it made."""
    config = {"release": label, "environment": environment, "actor": actor, "reason": "asked from the UI"}
    done = stella.launch("request_promotion", config)
    assert done.success
    return stella.plane.promotions.get(done.output_for_node("ask_for_promotion"))


def evaluate(stella: SmallInstallation, promotion: Promotion) -> tuple[Promotion, dg.ExecuteInProcessResult]:
    """The run of the promotion job for its newest attempt."""
    attempt = stella.plane.promotions.get(promotion.id).attempt
    done = stella.execute("promotion", {"gather_plan": {"promotion_id": promotion.id, "attempt": attempt}})
    return stella.plane.promotions.get(promotion.id), done


def roll_out(stella: SmallInstallation, promotion: Promotion) -> dg.ExecuteInProcessResult:
    return stella.execute("deployment", {"roll_out": {"promotion_id": promotion.id, "attempt": 1}})


def carry(stella: SmallInstallation, label: str, *environments: str) -> None:
    """Bring a release into environments, one after the other."""
    for environment in environments:
        promotion, _ = evaluate(stella, ask(stella, label, environment))
        assert promotion.state is PromotionState.APPROVED
        assert roll_out(stella, promotion).success


def materialized(stella: SmallInstallation, key: dg.AssetKey) -> list[dg.AssetMaterialization]:
    """What the catalogue has of an asset, newest first."""
    found = stella.instance.fetch_materializations(key, limit=50).records
    return [record.asset_materialization for record in found if record.asset_materialization is not None]


def value(metadata: Mapping[str, Any], name: str) -> Any:
    return metadata[name].value


def running_digest(stella: SmallInstallation, environment: str) -> Digest:
    """What the environment's only component was last seen to run."""
    seen = stella.plane.deployments.last_observation(environment)
    assert seen is not None
    assert seen.targets[0].observation is not None
    digest = seen.targets[0].observation.components[0].platform_digest
    assert digest is not None
    return digest


def outcome(stella: SmallInstallation, done: dg.ExecuteInProcessResult) -> Mapping[str, str]:
    """The tags of ours that the list of runs shows for a run."""
    run = stella.instance.get_run_by_id(done.run_id)
    assert run is not None
    return {name: text for name, text in run.tags.items() if name.startswith("stella/")}


def results(stella: SmallInstallation, environment: str) -> list[tuple[bool, str]]:
    """Every result that was reported for the environment's check, newest first."""
    key = dg.AssetCheckKey(environment_key(environment), CHECK)
    found = [record.evaluation for record in stella.instance.event_log_storage.get_asset_check_execution_history(key, limit=100)]
    return [(evaluation.passed, evaluation.description or "") for evaluation in found if evaluation is not None]


def failure_of(done: dg.ExecuteInProcessResult) -> Mapping[str, Any]:
    """The metadata of the failure that ended a run."""
    (failed,) = [event for event in done.all_node_events if event.is_step_failure]
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    return {"description": data.description, **{name: found.value for name, found in data.metadata.items()}}


def test_a_release_asked_for_in_the_ui_is_decided_deployed_and_shown(stella: SmallInstallation, lab: Lab) -> None:
    record = release(stella, lab, "v1", "1.0.0")
    promotion, decided = evaluate(stella, ask(stella, "shop-1.0.0", "dev"))
    assert decided.success
    assert promotion.state is PromotionState.APPROVED
    assert promotion.requested_by == Actor(name="alice", via="dagster")
    assert roll_out(stella, promotion).success
    assert stella.plane.promotions.get(promotion.id).state is PromotionState.DEPLOYED

    (shown,) = materialized(stella, environment_key("dev"))
    assert (shown.partition, (shown.tags or {})[DATA_VERSION_TAG]) == (record.partition_key, record.digest)
    assert value(shown.metadata, "image web") == f"{record.release.components[0].repository}@{record.release.components[0].digest}"
    runs = running_digest(stella, "dev")
    assert f"| dev | web | {runs.short} |" in value(shown.metadata, "targets")
    assert value(shown.metadata, "digests") == {runs.short: runs}
    assert stella.instance.get_dynamic_partitions("releases") == [record.partition_key]


def test_every_shown_packet_is_the_sealed_one_and_names_where_it_comes_from(stella: SmallInstallation, lab: Lab) -> None:
    record = release(stella, lab, "v1", "1.0.0")
    carry(stella, "shop-1.0.0", "dev", "staging")
    with stella.plane.store.reading() as tx:
        sealed = {packet.id: packet for packet in stella.plane.evidence.list(tx, environment="staging")}
    shown = materialized(stella, evidence_key("staging"))
    assert {value(event.metadata, "packet") for event in shown} == set(sealed)
    for event in shown:
        packet = sealed[value(event.metadata, "packet")]
        assert (event.tags or {})[DATA_VERSION_TAG] == value(event.metadata, "packet digest") == packet.digest
        assert verify_packet(packet.envelope, [stella.plane.evidence.public_pem]).packet_digest == packet.digest
        parents = {parent["asset"]: parent for parent in value(event.metadata, "upstream")}
        assert parents["releases/shop"]["digest"] == record.digest
        assert parents["environments/dev"]["packet"].startswith("evd_")
        assert f"stella evidence show {packet.id} --raw packet.json" in value(event.metadata, "verify")


def test_each_gate_is_an_op_that_says_why_and_what_would_change_it(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v1", "1.0.0")
    promotion, done = evaluate(stella, ask(stella, "shop-1.0.0", "staging"))
    assert done.success
    gates = {
        event.step_handle.to_key(): event.step_output_data.metadata
        for event in done.all_node_events
        if event.is_successful_output and event.node_name == "gate" and event.step_handle is not None
    }
    assert set(gates) == {"gate[freeze]", "gate[seen_in_dev]"}
    assert value(gates["gate[freeze]"], "verdict") == "allow"
    assert value(gates["gate[seen_in_dev]"], "verdict") in ("deny", "wait")
    assert "dev" in value(gates["gate[seen_in_dev]"], "why")
    assert value(gates["gate[seen_in_dev]"], "what would change it").startswith("- ")
    assert promotion.state is not PromotionState.APPROVED
    assert materialized(stella, environment_key("staging")) == []


def test_prod_waits_for_a_person_who_did_not_ask(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v1", "1.0.0")
    carry(stella, "shop-1.0.0", "dev", "staging")
    promotion, done = evaluate(stella, _after_soak(stella, "shop-1.0.0"))
    assert (done.success, promotion.state) == (True, PromotionState.WAITING)
    assert materialized(stella, evidence_key("prod")) == []
    (waiting,) = stella.instance.fetch_observations(environment_key("prod"), limit=5).records
    assert "people" in value(waiting.asset_observation.metadata, "gates")  # type: ignore[union-attr]  # an observation record has one

    refused = stella.launch("approve_promotion", {"promotion": "prod", "actor": "alice"})
    assert failure_of(refused)["code"] == "PROM_SELF_APPROVAL"
    assert stella.launch("approve_promotion", {"promotion": "prod", "actor": "bob", "reason": "looks good"}).success
    promotion, _ = evaluate(stella, promotion)
    assert promotion.state is PromotionState.APPROVED
    assert roll_out(stella, promotion).success
    (shown,) = materialized(stella, environment_key("prod"))
    assert value(shown.metadata, "targets").count("| web |") == 2


def test_a_denied_promotion_is_a_run_that_succeeded_in_deciding(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v2", "1.1.0")
    carry(stella, "shop-1.1.0", "dev", "staging")
    promotion, done = evaluate(stella, _after_soak(stella, "shop-1.1.0"))
    assert (done.success, promotion.state) == (True, PromotionState.REJECTED)
    assert outcome(stella, done)["stella/outcome"] == "rejected"
    (sealed,) = materialized(stella, evidence_key("prod"))
    assert value(sealed.metadata, "verdict") == "deny"
    assert "| vulnerabilities | deny |" in value(sealed.metadata, "gates")
    assert materialized(stella, environment_key("prod")) == []


def test_a_failed_deployment_is_a_red_run_with_sealed_evidence(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v1", "1.0.0")
    carry(stella, "shop-1.0.0", "dev", "staging")
    broken = release(stella, lab, "v3", "1.2.0")
    carry(stella, "shop-1.2.0", "dev")
    promotion, _ = evaluate(stella, ask(stella, "shop-1.2.0", "staging"))
    failed = roll_out(stella, promotion)
    assert not failed.success
    said = failure_of(failed)
    assert said["state"] == outcome(stella, failed)["stella/outcome"] == "rolled_back"
    assert said["code"] in ("DEPLOY_UNHEALTHY", "DEPLOY_START_FAILED")
    assert value(materialized(stella, evidence_key("staging"))[0].metadata, "packet") == said["packet"]
    assert broken.partition_key not in {event.partition for event in materialized(stella, environment_key("staging"))}
    assert not stella.instance.get_run_by_id(failed.run_id).is_success  # type: ignore[union-attr]  # the run that was just executed


def test_a_run_for_an_attempt_that_was_decided_changes_nothing(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v1", "1.0.0")
    promotion, _ = evaluate(stella, ask(stella, "shop-1.0.0", "dev"))
    again, done = evaluate(stella, promotion)
    assert done.success
    assert again == promotion
    assert len(materialized(stella, evidence_key("dev"))) == 1


def test_a_target_that_does_not_answer_makes_the_promotion_wait_and_not_the_run_fail(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v1", "1.0.0")
    promotion = ask(stella, "shop-1.0.0", "dev")
    with unplugged(lab):
        asked, done = evaluate(stella, promotion)
    assert done.success
    assert asked.state is PromotionState.WAITING
    assert asked.failure is not None
    assert outcome(stella, done)["stella/outcome"] == "waiting"


@pytest.mark.parametrize(
    ("job", "form", "code"),
    [
        ("request_promotion", {"release": "shop-9.9.9", "environment": "dev", "actor": "alice"}, "RES_RELEASE_MISSING"),
        ("request_promotion", {"release": "shop-1.0.0", "environment": "moon", "actor": "alice"}, "PROM_ENVIRONMENT_UNKNOWN"),
        ("request_promotion", {"release": "shop-1.0.0", "environment": " "}, "VAL_FORM_INCOMPLETE"),
        ("approve_promotion", {"promotion": "prod", "actor": "bob"}, "RES_PROMOTION_MISSING"),
        ("rollback_environment", {"environment": "dev", "actor": "bob", "reason": "why not"}, "DEPLOY_NOT_PROVEN"),
        ("rollback_environment", {"environment": "dev", "actor": "bob"}, "VAL_FORM_INCOMPLETE"),
        ("inspect_target", {"target": "nowhere"}, "ENV_TARGET_UNKNOWN"),
        ("deployment", {"ops": {"roll_out": {"config": {"promotion_id": "prm_00000000000000000000000000", "attempt": 1}}}}, "RES_PROMOTION_MISSING"),
    ],
)
def test_bad_input_gives_one_clear_error_and_changes_nothing(stella: SmallInstallation, lab: Lab, job: str, form: Mapping[str, object], code: str) -> None:
    release(stella, lab, "v1", "1.0.0")
    said = failure_of(stella.launch(job, form))
    assert said["code"] == code
    assert said["what is unchanged"]
    assert said["what to do next"]
    assert stella.plane.promotions.list() == []


def test_a_name_that_cannot_be_recorded_is_refused(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v1", "1.0.0")
    config = {"release": "shop-1.0.0", "environment": "dev", "actor": "not a name"}
    done = stella.launch("request_promotion", config)
    assert "Nothing was changed" in failure_of(done)["description"]
    assert stella.plane.promotions.list() == []


def test_the_check_sees_what_runs_now_and_not_what_is_believed(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v1", "1.0.0")
    carry(stella, "shop-1.0.0", "dev")
    assert _check(stella, "dev").passed
    asyncio.run(_remove(stella, "dev"))
    seen = _check(stella, "dev")
    assert not seen.passed
    assert "dev" in (seen.description or "")


def test_a_target_can_be_asked_what_it_runs(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v1", "1.0.0")
    carry(stella, "shop-1.0.0", "dev")
    done = stella.launch("inspect_target", {"target": "dev"})
    (event,) = [event for event in done.all_node_events if event.is_successful_output]
    runs = running_digest(stella, "dev")
    assert f"| dev | web | {runs.short} |" in value(event.step_output_data.metadata, "runs")
    assert value(event.step_output_data.metadata, "digests") == {runs.short: runs}


def test_a_rollback_from_the_ui_is_sealed_and_shown(stella: SmallInstallation, lab: Lab) -> None:
    first = release(stella, lab, "v1", "1.0.0")
    release(stella, lab, "v2", "1.1.0")
    carry(stella, "shop-1.0.0", "dev")
    carry(stella, "shop-1.1.0", "dev")
    rolled_back = stella.launch("rollback_environment", {"environment": "dev", "actor": "bob", "reason": "slow pages"})
    assert (rolled_back.success, outcome(stella, rolled_back)["stella/outcome"]) == (True, "rolled_back")
    shown = materialized(stella, environment_key("dev"))
    assert next(event.partition for event in shown) == first.partition_key
    assert value(materialized(stella, evidence_key("dev"))[0].metadata, "kind") == "rollback"


def test_the_environment_before_is_looked_at_right_before_it_is_judged(stella: SmallInstallation, lab: Lab) -> None:
    """What was healthy in dev when it was deployed has disappeared since, and nobody looked in between."""
    release(stella, lab, "v1", "1.0.0")
    carry(stella, "shop-1.0.0", "dev")
    asyncio.run(_remove(stella, "dev"))
    promotion, done = evaluate(stella, ask(stella, "shop-1.0.0", "staging"))
    assert done.success
    assert promotion.state is not PromotionState.APPROVED
    verdicts = {result.name: result.verdict.verdict for result in stella.plane.promotions.results(promotion.id)}
    assert verdicts == {"freeze": "allow", "seen_in_dev": "deny"}


def test_the_observations_sensor_looks_at_what_nobody_looked_at_for_a_while(stella: SmallInstallation, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    release(stella, lab, "v1", "1.0.0")
    carry(stella, "shop-1.0.0", "dev")
    assert "a moment ago" in (stella.tick("observations").skip_message or "")
    monkeypatch.setattr(looking, "LOOK_AGAIN_S", 0.0)
    assert stella.tick("observations").skip_message == "dev: healthy"
    asyncio.run(_remove(stella, "dev"))
    said = stella.tick("observations").skip_message
    assert said == "dev: not as released or not healthy: dev (reported: the check of dev FAILED)"
    seen = stella.plane.deployments.last_observation("dev")
    assert seen is not None
    assert not seen.healthy


def test_an_outage_and_its_end_are_one_result_each(stella: SmallInstallation, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    release(stella, lab, "v1", "1.0.0")
    carry(stella, "shop-1.0.0", "dev")
    monkeypatch.setattr(looking, "LOOK_AGAIN_S", 0.0)
    (deployed,) = results(stella, "dev")
    assert deployed == (True, "Every target runs what was released.")
    stella.tick("observations")
    with unplugged(lab):
        for _ in range(3):
            stella.tick("observations")
        assert results(stella, "dev") == [(False, "dev: web does not run."), deployed]
        assert not _check(stella, "dev").passed
        stella.tick("observations", cursor=None)
        reported_by_hand = len(results(stella, "dev"))
        assert reported_by_hand == 3, "the check that was run by hand, and nothing again from the sensor"
    for _ in range(3):
        stella.tick("observations")
    assert results(stella, "dev")[0] == deployed
    assert len(results(stella, "dev")) == reported_by_hand + 1


def test_a_component_that_is_gone_is_named_in_the_result(stella: SmallInstallation, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    release(stella, lab, "v1", "1.0.0")
    carry(stella, "shop-1.0.0", "dev")
    monkeypatch.setattr(looking, "LOOK_AGAIN_S", 0.0)
    asyncio.run(_remove(stella, "dev"))
    stella.tick("observations")
    assert results(stella, "dev")[0] == (False, "dev: web does not run.")


def test_an_environment_that_is_being_changed_is_no_outage(stella: SmallInstallation, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    release(stella, lab, "v1", "1.0.0")
    carry(stella, "shop-1.0.0", "dev")
    monkeypatch.setattr(looking, "LOOK_AGAIN_S", 0.0)
    (record,) = stella.plane.deployments.list("dev")
    asyncio.run(_remove(stella, "dev"))
    with monkeypatch.context() as at_work:
        at_work.setattr(type(stella.plane.deployments), "unfinished", lambda _: [record])
        assert "reported" not in (stella.tick("observations").skip_message or "")
    assert len(results(stella, "dev")) == 1
    stella.tick("observations")
    assert len(results(stella, "dev")) == 2


def test_the_list_of_runs_says_what_each_came_to(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v1", "1.0.0")
    form = {"release": "shop-1.0.0", "environment": "dev", "actor": "alice"}
    asked = stella.launch("request_promotion", form)
    promotion = stella.plane.promotions.get(asked.output_for_node("ask_for_promotion"))
    about = {"stella/promotion": promotion.id, "stella/release": "shop-1.0.0", "stella/promotes_to": "dev"}
    assert outcome(stella, asked) == {"stella/outcome": "requested", **about}
    (event,) = [event for event in asked.all_node_events if event.is_successful_output]
    assert value(event.step_output_data.metadata, "its runs") == f"/runs?q[0]=tag%3Astella%2Fpromotion%3D{promotion.id}"
    _, decided = evaluate(stella, promotion)
    assert outcome(stella, decided)["stella/outcome"] == "approved"
    rolled_out = roll_out(stella, promotion)
    assert outcome(stella, rolled_out) == {"stella/outcome": "deployed", "stella/deployment": stella.plane.deployments.list("dev")[0].id}
    _, again = evaluate(stella, promotion)
    assert outcome(stella, again)["stella/outcome"] == "nothing_to_decide"
    looked = stella.launch("inspect_target", {"target": "dev"})
    assert outcome(stella, looked) == {"stella/outcome": "looked"}


def test_a_second_run_of_a_deployment_does_not_disturb_the_first(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v1", "1.0.0")
    promotion, _ = evaluate(stella, ask(stella, "shop-1.0.0", "dev"))
    config = {"ops": {"roll_out": {"config": {"promotion_id": promotion.id, "attempt": 1}}}}
    alive = stella.instance.create_run_for_job(stella.repository().get_job("deployment"), run_config=config)
    now = stella.plane.clock.now()
    with stella.plane.store.writing() as tx:
        leases.acquire(tx, "environment/dev", holder_of(alive.run_id), now, 30.0)
    assert failure_of(roll_out(stella, promotion))["code"] == "SYS_LEASE_HELD"
    assert stella.plane.deployments.list("dev") == []
    stella.instance.report_run_failed(alive, "its process was killed")
    assert roll_out(stella, promotion).success, "a run that Dagster knows to be dead is followed at once"


def test_a_retry_from_the_ui_says_when_there_is_nothing_to_try_again(stella: SmallInstallation, lab: Lab) -> None:
    release(stella, lab, "v1", "1.0.0")
    carry(stella, "shop-1.0.0", "dev")
    (done,) = stella.plane.deployments.list("dev")
    said = failure_of(stella.launch("retry_deployment", {"deployment": done.id, "actor": "bob"}))
    assert said["code"] == "DEPLOY_NOTHING_TO_RETRY"


def test_a_rollback_whose_process_died_is_carried_to_its_end(stella: SmallInstallation, lab: Lab) -> None:
    first = release(stella, lab, "v1", "1.0.0")
    release(stella, lab, "v2", "1.1.0")
    carry(stella, "shop-1.0.0", "dev")
    carry(stella, "shop-1.1.0", "dev")

    def die(progress: Progress) -> None:
        if (progress.step, progress.event) == ("activate", "succeeded"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(stella.plane.deployments.rollback(Actor(name="bob"), "dev", None, "at the command line", progress=die))
    (unfinished,) = stella.plane.deployments.unfinished()
    assert "nobody works on it" in (stella.tick("deployments").skip_message or "")
    assert stella.execute("resumption", {"carry_on": {"deployment_id": unfinished.id, "attempt": 1}}).success
    assert stella.plane.deployments.get(unfinished.id).state == "succeeded"
    assert next(event.partition for event in materialized(stella, environment_key("dev"))) == first.partition_key
    assert stella.execute("resumption", {"carry_on": {"deployment_id": unfinished.id, "attempt": 2}}).success, "it has ended, and nothing changes"


def test_a_rollback_outside_of_dagster_is_shown_once(stella: SmallInstallation, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    first = release(stella, lab, "v1", "1.0.0")
    release(stella, lab, "v2", "1.1.0")
    carry(stella, "shop-1.0.0", "dev")
    carry(stella, "shop-1.1.0", "dev")
    asyncio.run(stella.plane.deployments.rollback(Actor(name="bob"), "dev", None, "at the command line"))
    before = len(materialized(stella, evidence_key("dev")))
    monkeypatch.setattr(publishing, "SETTLED_AFTER", timedelta(0))
    tick = stella.tick("deployments")
    stella.tick("deployments", tick.cursor)
    stella.tick("deployments", cursor=None)
    assert len(materialized(stella, evidence_key("dev"))) == before + 1
    shown = materialized(stella, environment_key("dev"))
    assert (next(event.partition for event in shown), len(shown)) == (first.partition_key, 3)


def _after_soak(stella: SmallInstallation, label: str) -> Promotion:
    """A promotion into prod whose release has soaked in staging long enough for the lab's gate."""
    stella.apply(_without_soak(stella))
    return ask(stella, label, "prod")


def _without_soak(stella: SmallInstallation) -> Any:
    estate, _ = stella.plane.environments.current()
    document = estate.document()
    for environment in document["environments"]:
        for gate in environment["gates"] if environment["gates"] != "none" else ():
            if gate["config"]["kind"] == "previous_environment":
                gate["config"]["soak_s"] = 0.0
    return type(estate).model_validate(document)


def _check(stella: SmallInstallation, environment: str) -> dg.AssetCheckEvaluation:
    """Run the asset check alone, as its button does."""
    key = dg.AssetCheckKey(environment_key(environment), CHECK)
    job = stella.repository().get_implicit_global_asset_job_def().get_subset(asset_check_selection={key})
    (evaluation,) = job.execute_in_process(instance=stella.instance).get_asset_check_evaluations()
    return evaluation


@contextmanager
def unplugged(lab: Lab) -> Iterator[None]:
    """The dev target does not answer."""
    folder = lab.hosts["dev"].folder
    assert folder is not None
    folder.rename(folder.with_name("unplugged"))
    folder.write_text("a file stands where the target's folder was")
    yield
    folder.unlink()
    folder.with_name("unplugged").rename(folder)


async def _remove(stella: SmallInstallation, target: str) -> None:
    """Somebody removes the component behind our back."""
    declared = next(found for found in stella.plane.environments.current()[0].targets if found.name == target)
    async with stella.plane.connector(declared) as connector:
        seen = (await connector.observe(stella.plane.clock.now())).components[0]
        assert seen.deployment_id is not None
        await connector.restore(seen.component, None, Effect(deployment_id=seen.deployment_id, key="behind/our/back", fence=1_000))
