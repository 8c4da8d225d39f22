"""A daemon of the lab: what it writes goes below the lab's folder, also when it is killed in the middle."""

import tempfile
from pathlib import Path

from stella_pipelines.lab.daemons import Daemon


def test_what_a_killed_daemon_leaves_is_below_its_own_folder(tmp_path: Path) -> None:
    daemon = Daemon("writer", ["sh", "-c", "mktemp && echo ready; exec sleep 60"], tmp_path / "writer.log")
    try:
        daemon.wait_until(lambda: "ready" in daemon.log.read_text())
    finally:
        daemon.kill()
    left = Path(daemon.log.read_text().split()[0])
    assert left.exists()
    assert left.is_relative_to(tmp_path)
    assert left.parent != Path(tempfile.gettempdir())


def test_two_daemons_of_one_host_share_their_folder(tmp_path: Path) -> None:
    daemons = [Daemon(name, ["sleep", "60"], tmp_path / f"{name}.log") for name in ("one", "two")]
    for daemon in daemons:
        assert daemon.is_running()
        daemon.kill()
        assert not daemon.is_running()
