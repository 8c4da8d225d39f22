"""What the built-in gates gather: exactly what the verdict depends on, and nothing that belongs to others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.environments.model import Estate, Gate
from stella_pipelines.promotions.approvals import Approval
from stella_pipelines.promotions.gates.judging import gather, judge
from stella_pipelines.promotions.gates.port import GateContext, GateInputs, GivenReport
from stella_pipelines.promotions.gates.registry import gate_kinds, kind_named
from stella_pipelines.promotions.proven import ProvenDeployment
from stella_pipelines.releases.model import PlatformImage, ReleaseRecord
from tests.support.promotions import NOW, digest, environment, promotion, shop

REPORT = (Path(__file__).parents[1] / "data" / "reports" / "trivy-web-clean.json").read_bytes()
PROVEN = ProvenDeployment(deployment_id="dep_1", release_digest=digest("x"), deployed_at=NOW, healthy=True, observed_at=NOW, healthy_since=NOW)


class ToldFacts:
    """Facts as a test tells them."""

    def approvals(self) -> tuple[Approval, ...]:
        return ()

    def last_proven(self, environment: str) -> ProvenDeployment | None:
        return PROVEN if environment == "staging" else None

    def reports(self) -> tuple[GivenReport, ...]:
        return (GivenReport(id="rpt_1", kind="trivy", blob=Digest.of(REPORT), given_at=NOW, content=REPORT),)


def two_components() -> ReleaseRecord:
    """`web` for two machines, and `worker`."""
    record = shop()
    web = record.release.components[0]
    arm = PlatformImage(platform="linux/arm64/v8", digest=digest("web linux/arm64"), config_digest=digest("web config arm64"))
    web = web.model_copy(update={"platforms": (*web.platforms, arm)})
    worker = web.model_copy(update={"name": "worker", "digest": digest("worker index")})
    return record.model_copy(update={"release": record.release.model_copy(update={"components": (web, worker)})})


def gathered(kind: str, config: dict[str, Any], *platforms: str, components: tuple[str, ...] = ()) -> GateInputs:
    gate = Gate.model_validate({"name": "the_gate", "config": {"kind": kind, **config}})
    where = environment(gates=[gate.document()], promotes_from=["staging", "qa"], components=components)
    windows = [{"name": name, "reason": "r", "environments": [name], "starts_at": NOW, "ends_at": NOW.replace(hour=23)} for name in ("prod", "qa")]
    estate = Estate.model_validate({"policies": [{"name": "yes", "cel": "true"}], "freeze_windows": windows})
    plan = {"targets": [{"target": f"host_{number}", "platform": platform} for number, platform in enumerate(platforms)]}
    context = GateContext(two_components(), where, estate, promotion(), plan, digest("plan"), NOW, ToldFacts())
    return gather(kind_named(gate_kinds(), kind), gate, context)


def images(inputs: GateInputs) -> list[tuple[str, list[str]]]:
    return [(one["name"], [image["platform"] for image in one["images"]]) for one in inputs.facts["components"]]


BOTH = ["linux/amd64", "linux/arm64/v8"]


@pytest.mark.parametrize(
    ("platforms", "components", "expected"),
    [
        ((), (), [("web", BOTH), ("worker", BOTH)]),
        (("linux/amd64", "linux/amd64"), (), [("web", ["linux/amd64"]), ("worker", ["linux/amd64"])]),
        (("linux/arm64",), ("web",), [("web", ["linux/arm64/v8"])]),
        (("linux/amd64", "linux/riscv64"), ("web",), [("web", BOTH)]),
        ((), ("other",), []),
    ],
)
def test_security_asks_about_the_images_that_will_run(platforms: tuple[str, ...], components: tuple[str, ...], expected: list[tuple[str, list[str]]]) -> None:
    assert images(gathered("security", {}, *platforms, components=components)) == expected


def test_security_names_the_reports_that_it_read() -> None:
    assert [(one.name, one.digest) for one in gathered("security", {}).materials] == [("report/rpt_1", Digest.of(REPORT))]


def test_freeze_windows_of_other_environments_are_left_out() -> None:
    assert [window["name"] for window in gathered("freeze_window", {}).facts["windows"]] == ["prod"]


def test_every_upstream_is_asked() -> None:
    upstreams = gathered("previous_environment", {"soak_s": 5}).facts["upstreams"]
    assert [(one["environment"], one["proven"] is not None) for one in upstreams] == [("staging", True), ("qa", False)]


def test_a_policy_is_kept_with_its_digest() -> None:
    inputs = gathered("policy", {"policy": "yes"})
    assert [(one.name, one.digest) for one in inputs.policies] == [("yes", digest("true"))]
    assert inputs.facts["release"]["label"] == "shop-2.0.0"


def test_what_is_unknown_is_absent_for_policies() -> None:
    facts = gathered("policy", {"policy": "yes"}).facts
    assert facts["release"]["source"] == {}
    assert "tag" not in facts["release"]["components"][0]
    assert facts["plan"] == {"targets": []}


@pytest.mark.parametrize(("kind", "config"), [("policy", {"policy": "missing"}), ("approval", {"groups": []})])
def test_a_gate_without_what_it_needs_is_an_error(kind: str, config: dict[str, Any]) -> None:
    assert judge(kind_named(gate_kinds(), kind), gathered(kind, config)).verdict == "error"


def test_gathering_twice_gives_the_same_bytes() -> None:
    first, second = gathered("security", {}), gathered("security", {})
    assert first.canonical() == second.canonical()
