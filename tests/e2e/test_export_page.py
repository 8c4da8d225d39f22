"""The pages of an export in a real browser, without a network: what a person reads, that its links lead to members, and that nothing runs."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.store.database import Store
from tests.support.evidence import RELEASE
from tests.support.exports import ExportingInstallation, moment

pytestmark = [pytest.mark.slow, pytest.mark.browser]
HOSTILE = '<script>document.title="run"</script><img src=x onerror=\'document.title="run"\'>" onmouseover="x'


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.environ.get("CI"):
        pytest.fail("no Chromium: scripts/bootstrap.sh test installs it on Debian")
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export of prod in a span, opened."""
    store = Store.open(f"sqlite:///{tmp_path / 'stella.db'}")
    installation = ExportingInstallation(store)
    installation.decide("prod", 4)
    hostile = {
        "outcome": "deny",
        "reason": HOSTILE,
        "release": {"name": HOSTILE, "digest": RELEASE.digest},
        "approvers": [HOSTILE],
        "requested_by": {"name": HOSTILE},
    }
    installation.decide("prod", 1, says={"decision": hostile})
    installation.decide("prod", 3)
    installation.export(tmp_path / "a.zip", Question(environment="prod", since=moment(1.5), until=moment(6.5)), artifacts=True, tables=True)
    store.close()
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        file.extractall(tmp_path / "opened")
    return tmp_path / "opened"


@pytest.fixture
def page(folder: Path) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(viewport={"width": 1280, "height": 900}, offline=True)
        opened.goto((folder / "index.html").as_uri())
        yield opened
        browser.close()


def test_a_person_reads_what_was_decided_and_by_whom(page: Page, folder: Path) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.reload()
    expect(page).to_have_title("Evidence: everything about environment prod, since 2026-02-01T21:00:00Z, before 2026-02-06T21:00:00Z")
    expect(page.get_by_role("heading", level=1)).to_contain_text("environment prod")
    packets = page.locator("table").last.locator("tbody tr")
    expect(packets).to_have_count(7)
    expect(packets.first).to_contain_text("outside the span")
    expect(packets.nth(1)).to_contain_text("alice, approved by bob")
    expect(packets.nth(1)).to_contain_text("weekly")
    expect(page.get_by_text("deny", exact=True)).to_be_visible()
    assert complaints == []
    assert page.evaluate("() => [...document.links].map(link => decodeURI(link.pathname))")
    for path in page.evaluate("() => [...document.links].map(link => decodeURI(link.pathname))"):
        assert Path(path).is_file(), path


def test_what_strangers_wrote_is_text(page: Page) -> None:
    expect(page.get_by_text("<script>").first).to_be_visible()
    assert page.title().startswith("Evidence:")
    assert page.locator("script, img, [onmouseover]").count() == 0


def test_it_is_good_on_paper_and_on_a_small_screen(page: Page) -> None:
    page.emulate_media(media="print")
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
