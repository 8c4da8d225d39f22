"""A deployment that failed, and an environment that broke by itself, say why: in the command that met it, and to whoever asks later."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from stella_pipelines.cli.app import run
from stella_pipelines.cli.exits import Exit
from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.lab.lab import Lab
from tests.support.command_line import Speaking, Stella, carried_out, error_code


def kill_components(host: Path) -> None:
    """End what an embedded host runs, as an outage does: without the product."""
    running = [json.loads(path.read_text())["pid"] for path in host.rglob("*.json") if '"started_ticks"' in path.read_text()]
    assert running
    for pid in running:
        os.killpg(pid, signal.SIGKILL)


@pytest.fixture
def failed(stella: Stella, applied: Lab) -> str:
    """Release shop-1.2.0 is broken in staging, and staging was brought back to shop-1.0.0; the promotion's id."""
    assert stella("release", "create", "shop", "1.2.0", f"web={applied.images['v3']}", "--commit", "5e1f0c3")[0] is Exit.DONE
    for release in ("shop-1.0.0", "shop-1.2.0"):
        assert carried_out(stella("promote", release, "--to", "dev", "--no-wait")[1]["id"]) == "deployed"
        last = stella("promote", release, "--to", "staging", "--no-wait")[1]["id"]
        assert carried_out(last) == ("deployed" if release == "shop-1.0.0" else "rolled_back")
    return str(last)


def test_a_rolled_back_promotion_shows_its_ledger_its_last_output_and_its_evidence(stella: Stella, speaking: Speaking, failed: str) -> None:
    for said in (speaking("status", "staging"), speaking("status", failed)):
        assert said.code is Exit.DONE
        assert re.search(r"^ +staging +rolled_back +DEPLOY_UNHEALTHY", said.out, re.MULTILINE)
        assert re.search(r"^ +last output of staging:$", said.out, re.MULTILINE)
        assert re.search(r"stella logs dep_\w+ --target staging", said.out)
        packet = stella("evidence", "list", "--kind", "rollback")[1][0]["id"]
        assert packet in said.out


def test_what_a_promotion_shows_at_its_end_is_the_same(speaking: Speaking, failed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`promote` follows to the end; here it comes when everything is over."""
    with open_control_plane(Settings.from_environ(os.environ)) as plane:
        ended = plane.promotions.get(failed)
    monkeypatch.setattr("stella_pipelines.promotions.service.Promotions.request", lambda *_, **__: ended)
    said = speaking("promote", "shop-1.2.0", "--to", "staging")
    assert said.code is Exit.FAILED
    assert re.search(r"^ +staging +rolled_back +DEPLOY_UNHEALTHY", said.out, re.MULTILINE)
    assert "last output of staging:" in said.out


def test_the_whole_last_output_can_be_read(stella: Stella, speaking: Speaking, failed: str) -> None:
    code, kept = stella("logs", "staging")
    assert code is Exit.DONE
    assert [(one["target"], bool(one["output"].strip())) for one in kept["targets"]] == [("staging", True)]
    said = speaking("logs", kept["deployment_id"], "--target", "staging")
    assert said.code is Exit.DONE
    assert kept["targets"][0]["output"].strip().splitlines()[-1] in said.out
    assert error_code(stella("logs", "staging", "--target", "prod-1")) == "RES_LOG_TARGET"
    assert error_code(stella("logs", "nowhere")) == "PROM_ENVIRONMENT_UNKNOWN"
    assert error_code(stella("logs", "prod")) == "RES_DEPLOYMENT_MISSING"


def test_a_retry_that_fails_says_why(stella: Stella, speaking: Speaking, applied: Lab, tmp_path: Path) -> None:
    text = applied.estate_path.read_text()
    edited = tmp_path / "estate.yaml"
    edited.write_text(re.sub(r"^  dev:\n", "  dev:\n    rollback_on_failure: false\n", text, count=1, flags=re.MULTILINE))
    assert stella("apply", "-f", str(edited))[0] is Exit.DONE
    host = applied.hosts["dev"]
    with socket.create_server((host.address, host.port)):
        assert carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"]) == "failed"
        said = speaking("retry", "dev")
    assert said.code is Exit.FAILED
    assert re.search(r"^Retry of dep_\w+$", said.out, re.MULTILINE)
    assert re.search(r"^ +dev +failed +DEPLOY_\w+", said.out, re.MULTILINE)
    assert "→ " in said.out


def test_an_outage_shows_per_target_why_and_the_way_out(stella: Stella, speaking: Speaking, applied: Lab) -> None:
    assert carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"]) == "deployed"
    assert re.search(r"^ +dev +shop-1\.0\.0 +healthy$", speaking("status", "dev").out, re.MULTILINE)
    kill_components(applied.hosts["dev"].folder)
    with open_control_plane(Settings.from_environ(os.environ)) as plane:
        asyncio.run(plane.deployments.observe("dev"))
    said = speaking("status", "dev")
    assert re.search(r"^dev is unhealthy, as seen \d+ s ago:$", said.out, re.MULTILINE)
    assert re.search(r"^ +dev +nothing +web does not run; not everything runs that was proven\.$", said.out, re.MULTILINE)
    assert "stella promote shop-1.0.0 --to dev" in said.out
    assert "stella status dev" in speaking("status").out
    seen = stella("status", "dev")[1]["observation"]
    assert (seen["healthy"], [target["target"] for target in seen["targets"]]) == (False, ["dev"])
    assert seen["targets"][0]["why"]


def test_a_rollback_leaves_a_trace_in_the_status(stella: Stella, speaking: Speaking, applied: Lab) -> None:
    assert stella("release", "create", "shop", "1.1.0", f"web={applied.images['v2']}", "--commit", "5e1f0c3")[0] is Exit.DONE
    for release in ("shop-1.0.0", "shop-1.1.0"):
        assert carried_out(stella("promote", release, "--to", "dev", "--no-wait")[1]["id"]) == "deployed"
    back = stella("rollback", "dev")[1]
    said = speaking("status", "dev")
    assert re.search(rf"^{back['id']} +rollback to shop-1\.0\.0 +succeeded", said.out, re.MULTILINE)
    assert back["packet_id"] in said.out
    assert stella("status", "dev")[1]["deployment"]["id"] == back["id"]


def test_a_rollback_to_what_never_ran_there_names_the_release(stella: Stella, applied: Lab) -> None:
    assert carried_out(stella("promote", "shop-1.0.0", "--to", "dev", "--no-wait")[1]["id"]) == "deployed"
    answer = stella("rollback", "staging", "--to", "shop-1.0.0")
    assert error_code(answer) == "DEPLOY_NOT_PROVEN"
    assert "shop-1.0.0 was never proven in staging" in answer[1]["error"]["what"]
    assert "sha256:" not in answer[1]["error"]["what"]


def test_the_answer_of_a_rollback_is_one_json_document(applied: Lab, capsys: pytest.CaptureFixture[str], failed: str) -> None:
    capsys.readouterr()
    assert run(["status", failed, "--json"]) is Exit.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["deployment"]["state"] == "rolled_back"
    assert [row["target"] for row in document["deployment"]["ledger"]] == ["staging"]
