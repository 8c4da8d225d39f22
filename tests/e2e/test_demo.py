"""The demo, as a new user runs it, on both labs: it must end well, say what it should, and leave nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO_TIMEOUT_S = 600


def run_demo(lab: str) -> str:
    environ = {**os.environ, "LAB": lab, "COLUMNS": "140"}
    environ.pop("KEEP", None)
    done = subprocess.run(
        [sys.executable, "-m", "stella_pipelines.cli", "demo"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=DEMO_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("lab", ["embedded", pytest.param("engines", marks=pytest.mark.engines)])
def test_the_demo_tells_its_whole_story(lab: str) -> None:
    said = run_demo(lab)
    for expected in (
        f"on the {lab} lab",
        "shop-1.0.0 → prod: waiting",
        "PROM_SELF_APPROVAL",
        "shop-1.0.0 → prod: deployed",
        "shop-1.1.0 → prod: rejected",
        "shop-1.1.0 → prod: deployed",
        "shop-1.2.0 → staging: rolled_back",
        "verified  sha256:",
        "EVID_SIGNATURE_INVALID",
    ):
        assert expected in said, f"the demo did not say {expected!r}:\n{said[-8000:]}"
