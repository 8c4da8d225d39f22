"""An operator in a real browser, and nothing else: ask for a promotion in the Dagster UI, watch it, and read its evidence."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from stella_pipelines.cli.app import run
from stella_pipelines.cli.demo_background import background_installation
from stella_pipelines.cli.exits import Exit
from stella_pipelines.control_plane import open_control_plane
from stella_pipelines.core.settings import Settings
from stella_pipelines.lab.lab import Lab
from stella_pipelines.promotions.promotion import Promotion

pytestmark = [pytest.mark.slow, pytest.mark.browser]

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_S = 90.0
ENDED = '{ runsOrError(filter: {pipelineName: "__ASSET_JOB"}) { ... on Runs { results { status } } } }'


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.environ.get("CI"):
        pytest.fail("no Chromium: scripts/bootstrap.sh test installs it on Debian")
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    return found


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The embedded lab with one release, and `stella up`; the address of the UI."""
    monkeypatch.setenv("STELLA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STELLA_DATABASE_URL", raising=False)
    with Lab("embedded", tmp_path / "lab") as lab:
        assert run(["apply", "-f", str(lab.estate_path)]) is Exit.DONE
        assert run(["release", "create", "shop", "1.0.0", f"web={lab.images['v1']}", "--commit", "5e1f0c3"]) is Exit.DONE
        with background_installation(0) as address:
            yield address


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(PATIENCE_S * 1000)
        yield page
        browser.close()


def launch(page: Page, address: str, job: str, **form: str) -> None:
    """Fill a job's launchpad and press its button."""
    lines = "\n".join(f"{name}: {value}" for name, value in form.items())
    page.goto(f"{address}/locations/stella/jobs/{job}/playground/setup?mode=default&config={quote(lines)}")
    button = page.get_by_role("button", name="Launch run", exact=False)
    expect(button).to_be_enabled(timeout=PATIENCE_S * 1000)
    button.click()
    page.wait_for_url("**/runs/*")


def resting(environment: str, *states: str) -> Promotion:
    """The environment's newest promotion, when it is in one of these states."""
    deadline = time.monotonic() + PATIENCE_S
    with open_control_plane(Settings.from_environ(os.environ)) as plane:
        while time.monotonic() < deadline:
            found = plane.promotions.list(environment, limit=1)
            if found and found[0].state.value in states:
                return found[0]
            time.sleep(0.25)
    raise AssertionError(f"no promotion into {environment} became {' or '.join(states)}: {found}")


def execute_check(page: Page, address: str, environment: str) -> str:
    """Press the button of the environment's check; how its run ended."""
    page.goto(f"{address}/assets/environments/{environment}?view=checks")
    page.locator("button").filter(has_text=re.compile(r"^Execute$")).click()  # beside it is "Execute all"
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        runs = httpx.post(f"{address}/graphql", json={"query": ENDED}, trust_env=False).json()["data"]["runsOrError"]["results"]
        if runs and runs[0]["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
            return str(runs[0]["status"])
        time.sleep(0.25)
    raise AssertionError(f"the check of {environment} was not executed")


def test_an_operator_promotes_and_reads_the_evidence_in_the_ui(installation: str, page: Page) -> None:
    page.goto(f"{installation}/locations/stella/jobs/request_promotion/playground")
    for field in ("release", "environment", "actor", "reason"):
        expect(page.get_by_text(f"{field}: ''").first).to_be_visible(timeout=PATIENCE_S * 1000)

    launch(page, installation, "request_promotion", release="shop-1.0.0", environment="dev", actor="alice", reason="first")
    promotion = resting("dev", "deployed", "failed", "rolled_back")
    assert promotion.state.value == "deployed"
    assert promotion.requested_by.name == "alice"
    page.goto(f"{installation}/runs?q[0]={quote(f'tag:stella/promotion={promotion.id}', safe='')}")
    expect(page.get_by_text("stella/outcome: deployed").first).to_be_visible(timeout=PATIENCE_S * 1000)
    expect(page.get_by_text("stella/outcome: requested").first).to_be_visible(timeout=PATIENCE_S * 1000)

    assert execute_check(page, installation, "dev") == "SUCCESS"
    expect(page.get_by_text("Every target runs what was released.").first).to_be_visible(timeout=PATIENCE_S * 1000)

    launch(page, installation, "request_promotion", release="shop-1.0.0", environment="staging", actor="alice", reason="next")
    assert resting("staging", "deployed", "failed", "rolled_back").state.value == "deployed"

    launch(page, installation, "request_promotion", release="shop-1.0.0", environment="prod", actor="alice", reason="live")
    assert resting("prod", "rejected").state.value == "rejected", "prod must refuse a release that nobody has scanned"

    page.goto(f"{installation}/assets/environments/dev")
    expect(page.get_by_text("shop-1.0.0@").first).to_be_visible(timeout=PATIENCE_S * 1000)
    page.goto(f"{installation}/assets/evidence/prod")
    expect(page.get_by_text("evd_").first).to_be_visible(timeout=PATIENCE_S * 1000)
    assert promotion.decision_packet is not None
