"""What the kernel probes say about machines that differ."""

from pathlib import Path

import pytest

from stella_pipelines.lab.kernel import cgroup_problem, image_platform


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert "no control groups" in (cgroup_problem(tmp_path) or "")


def test_version_one_with_the_devices_controller_is_enough(tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    assert cgroup_problem(tmp_path) is None


@pytest.mark.parametrize("enabled", ["cpu memory pids", "cpuset cpu io memory hugetlb pids rdma"])
def test_version_two_with_everything_handed_down_is_left_as_it_is(tmp_path: Path, enabled: str) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma misc\n")
    (tmp_path / "cgroup.subtree_control").write_text(enabled)
    assert cgroup_problem(tmp_path) is None
    assert (tmp_path / "cgroup.subtree_control").read_text() == enabled


def test_version_two_is_asked_to_hand_down_what_lacks(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    assert cgroup_problem(tmp_path) is None
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +pids"


def test_version_two_that_refuses_is_a_problem_with_the_kernels_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("")

    def busy(_self: Path, _text: str) -> int:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "write_text", busy)
    assert "Device or resource busy" in (cgroup_problem(tmp_path) or "")


@pytest.mark.parametrize(
    ("machine", "platform"), [("x86_64", "linux/amd64"), ("aarch64", "linux/arm64"), ("riscv64", "linux/riscv64"), ("AMD64", "linux/amd64")]
)
def test_the_machine_in_the_words_of_images(monkeypatch: pytest.MonkeyPatch, machine: str, platform: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert image_platform() == platform
