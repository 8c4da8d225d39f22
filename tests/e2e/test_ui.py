"""An operator in a real browser, and nothing else: ask for a promotion in the Dagster UI, watch it, and read its evidence."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

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
CONFIG = "ops:\n  {op}:\n    config:\n{lines}"


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


def launch(page: Page, address: str, job: str, op: str, **config: str) -> None:
    """Fill a job's launchpad and press its button."""
    lines = "\n".join(f"      {name}: {value}" for name, value in config.items())
    page.goto(f"{address}/locations/stella/jobs/{job}/playground/setup?mode=default&config={quote(CONFIG.format(op=op, lines=lines))}")
    button = page.get_by_role("button", name="Launch run", exact=False)
    expect(button).to_be_enabled()
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


def test_an_operator_promotes_and_reads_the_evidence_in_the_ui(installation: str, page: Page) -> None:
    launch(page, installation, "request_promotion", "ask_for_promotion", release="shop-1.0.0", environment="dev", actor="alice", reason="first")
    promotion = resting("dev", "deployed", "failed", "rolled_back")
    assert promotion.state.value == "deployed"
    assert promotion.requested_by.name == "alice"

    launch(page, installation, "request_promotion", "ask_for_promotion", release="shop-1.0.0", environment="staging", actor="alice", reason="next")
    assert resting("staging", "deployed", "failed", "rolled_back").state.value == "deployed"

    launch(page, installation, "request_promotion", "ask_for_promotion", release="shop-1.0.0", environment="prod", actor="alice", reason="live")
    assert resting("prod", "rejected").state.value == "rejected", "prod must refuse a release that nobody has scanned"

    page.goto(f"{installation}/assets/environments/dev")
    expect(page.get_by_text("shop-1.0.0@").first).to_be_visible()
    page.goto(f"{installation}/assets/evidence/prod")
    expect(page.get_by_text("evd_").first).to_be_visible()
    assert promotion.decision_packet is not None
