"""Only what provably belongs to a lab is killed."""

import pytest

from stella_pipelines.lab.addresses import LabAddresses
from stella_pipelines.lab.strays import is_contained, is_named_by

LAB = LabAddresses(3)
FOLDER = "/tmp/stella-demo-x/lab"
OURS = [
    ["dockerd", "--config-file", f"{FOLDER}/hosts/dev/daemon.json"],
    ["containerd", "--config", f"{FOLDER}/hosts/dev/containerd/config.toml"],
    ["/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-address", f"{FOLDER}/hosts/dev/containerd/containerd.sock"],
    ["/usr/sbin/docker-proxy", "-proto", "tcp", "-host-ip", "127.201.3.12", "-host-port", "8080"],
    ["docker-registry", "serve", f"{FOLDER}/registry/config.yml"],
    [f"sshd: /usr/sbin/sshd -D -e -f {FOLDER}/hosts/prod-1/ssh/sshd_config [listener] 0 of 100-200 startups"],
    ["/usr/bin/python3", f"{FOLDER}/hosts/dev/rootfs/app/server.py"],
]
NOT_OURS = [
    ["dockerd"],
    ["dockerd", "--config-file", "/tmp/stella-demo-x/lab2/hosts/dev/daemon.json"],
    ["containerd", "--config", "/etc/containerd/config.toml"],
    ["/usr/sbin/docker-proxy", "-proto", "tcp", "-host-ip", "127.201.31.2"],
    ["sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"],
    ["vim", f"{FOLDER}/estate.yaml"],
    ["bash", "-c", f"ls {FOLDER}/hosts/dev"],
    ["python3", "-m", "stella_pipelines.cli", "apply", "-f", f"{FOLDER}/estate.yaml"],
    ["python3"],
    ["[kworker/0:1]"],
]


@pytest.mark.parametrize("words", OURS, ids=lambda words: words[0][:30])
def test_a_process_of_the_lab_is_recognised(words: list[str]) -> None:
    assert is_named_by(words, FOLDER, LAB)


@pytest.mark.parametrize("words", NOT_OURS, ids=lambda words: " ".join(words)[:40])
def test_anything_else_is_left_alone(words: list[str]) -> None:
    assert not is_named_by(words, FOLDER, LAB)


@pytest.mark.parametrize(
    ("cgroups", "ours"),
    [
        ("0::/stella-lab-3/0123abcd\n", True),
        ("12:memory:/stella-lab-3/0123abcd\n0::/\n", True),
        ("0::/docker/abc/stella-lab-3/0123abcd\n", True),
        ("0::/stella-lab-31/0123abcd\n", False),
        ("0::/docker/0123abcd\n", False),
        ("0::/\n", False),
        ("", False),
    ],
)
def test_a_container_is_recognised_by_its_control_group(cgroups: str, ours: bool) -> None:
    assert is_contained(cgroups, LAB) is ours
