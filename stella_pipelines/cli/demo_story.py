"""What the demo tells: chapters of command lines with the exit code that each must end with. Data, and no doing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stella_pipelines.cli.exits import Exit
from stella_pipelines.lab.lab import Lab


@dataclass(frozen=True)
class Step:
    """One command line (words that are known only then may be a function), or one act of the outside world, and what it is there to show."""

    words: tuple[str, ...] | Callable[[], tuple[str, ...]] = ()
    expect: Exit = Exit.DONE
    says: str = ""
    act: Callable[[], None] | None = None


class Outside(Protocol):
    """What the story does that is not a command of ours: an auditor's copy, and somebody who changes it."""

    public_key: Path

    def newest_decision(self) -> str:
        """The id of the newest decision packet about prod."""
        ...

    def write_newest_decision(self, path: Path) -> None:
        """Write that packet to a file."""
        ...

    def tamper(self, packet: Path, copy: Path) -> None:
        """Change one character of a copy."""
        ...


@dataclass(frozen=True)
class Chapter:
    """A part of the story."""

    title: str
    steps: tuple[Step, ...]


def story(lab: Lab, folder: Path, outside: Outside) -> tuple[Chapter, ...]:
    """The whole demo for a lab; files that the story writes go into `folder`."""
    packet, tampered = folder / "packet.json", folder / "tampered.json"
    return (
        Chapter("The estate: three environments, their gates and their hosts, in one file", _estate(lab)),
        Chapter("Release 1.0.0 travels dev → staging → prod, with a person's approval", _first_release(lab)),
        Chapter("Release 1.1.0 has a critical vulnerability: denied at prod, then allowed by a VEX statement", _vulnerable_release(lab)),
        Chapter("Release 1.2.0 fails its health check in staging, and is rolled back by itself", _broken_release(lab)),
        Chapter("The evidence verifies without us, and a changed copy does not", _evidence(packet, tampered, outside)),
        Chapter("What runs where", (_step("status"),)),
    )


def _estate(lab: Lab) -> tuple[Step, ...]:
    return (_step(f"apply -f {lab.estate_path} --as alice"), _step(f"diff -f {lab.estate_path}", says="Applying is idempotent: nothing is left to change."))


def _first_release(lab: Lab) -> tuple[Step, ...]:
    return (
        *_release(lab, "v1", "1.0.0"),
        _step(f"release push shop-1.0.0 {lab.registry_host}/releases/shop --as ci", says="The release itself becomes an artifact in the registry."),
        _step("plan shop-1.0.0 --to dev", says="What would change, from what the hosts say now."),
        _step("promote shop-1.0.0 --to dev --as alice"),
        _step("promote shop-1.0.0 --to staging --as alice"),
        _step(
            "promote shop-1.0.0 --to prod --as alice",
            Exit.WAITING,
            says="Production waits for two things: some seconds of health in staging, which pass by themselves (and may be over), and a person.",
        ),
        _step("approve prod --as alice", Exit.REFUSED, says="Who asked cannot be who approves."),
        _step("approve prod --as bob --reason reviewed"),
    )


def _vulnerable_release(lab: Lab) -> tuple[Step, ...]:
    return (
        *_release(lab, "v2", "1.1.0"),
        _step("promote shop-1.1.0 --to dev --as alice"),
        _step("promote shop-1.1.0 --to staging --as alice"),
        _step("promote shop-1.1.0 --to prod --as alice", Exit.REJECTED),
        _step(f"release report shop-1.1.0 {lab.reports / 'v2.vex.json'} --as carol", says="The security team states why the product is not affected."),
        _step("promote shop-1.1.0 --to prod --as alice", Exit.WAITING),
        _step("approve prod --as carol"),
    )


def _broken_release(lab: Lab) -> tuple[Step, ...]:
    return (
        *_release(lab, "v3", "1.2.0"),
        _step("promote shop-1.2.0 --to dev --as alice"),
        _step("promote shop-1.2.0 --to staging --as alice", Exit.FAILED),
    )


def _evidence(packet: Path, tampered: Path, outside: Outside) -> tuple[Step, ...]:
    return (
        _step("evidence list --environment prod"),
        Step(act=lambda: outside.write_newest_decision(packet), says=f"The newest decision about prod is written to {packet}."),
        _step(f"evidence verify {packet} --key {outside.public_key}", says="Needs the file and the public key: no database, no network."),
        Step(act=lambda: outside.tamper(packet, tampered), says="One character of a copy is changed."),
        _step(f"evidence verify {tampered} --key {outside.public_key}", Exit.REFUSED),
        Step(
            words=lambda: ("evidence", "replay", outside.newest_decision()),
            says="The stored inputs are judged again, and the two records compared byte by byte.",
        ),
    )


def _release(lab: Lab, image: str, version: str) -> tuple[Step, ...]:
    """Create a release from a tag, as CI would, and give it its scanner's report."""
    source = "--repository https://git.example/shop --commit 5e1f0c3 --author dana"
    return (
        _step(f"release create shop {version} web={lab.images[image]} {source} --as ci", says="CI creates the release; the tag is resolved to digests once."),
        _step(f"release report shop-{version} {lab.reports / f'{image}.trivy.json'} --as ci"),
    )


def _step(line: str, expect: Exit = Exit.DONE, says: str = "") -> Step:
    return Step(tuple(line.split()), expect, says)
