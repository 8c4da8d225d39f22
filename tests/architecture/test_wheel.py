"""The built wheel loads by itself, in a folder that is not the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import stella_pipelines, stella_pipelines.definitions as loaded, assets, resources, sensors
from pathlib import Path
from stella_pipelines.core.settings import Settings
from stella_pipelines.supervisor.home import instance_configuration
print(Path(stella_pipelines.__file__).parent)
print(sorted(job.name for job in loaded.defs().jobs))
print("WarmRunLauncher" in instance_configuration(Settings.from_environ({})))
"""


@pytest.mark.slow
def test_the_wheel_holds_what_it_needs_and_loads(tmp_path: Path) -> None:
    built, unpacked = tmp_path / "built", tmp_path / "unpacked"
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(built), str(ROOT)], check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    environ = {**os.environ, "PYTHONPATH": str(unpacked), "STELLA_HOME": str(tmp_path / "home")}
    environ.pop("STELLA_DATABASE_URL", None)
    loaded = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    where, jobs, configuration = loaded.stdout.strip().splitlines()[-3:]
    assert where == str(unpacked / "stella_pipelines")
    assert "'deployment'" in jobs
    assert "'promotion'" in jobs
    assert configuration == "True", "it brings its dagster.yaml along"
