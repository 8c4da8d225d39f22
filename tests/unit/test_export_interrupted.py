"""An export whose process is killed goes on and ends with the same bytes; what a disk lost or damaged is not handed out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stella_pipelines.evidence.exports.draft import Draft, journal_path, partial_path
from stella_pipelines.evidence.exports.errors import DraftUnusable
from stella_pipelines.evidence.exports.question import Question
from stella_pipelines.evidence.exports.verifying import verify_export
from stella_pipelines.store.database import Store
from tests.support.exports import ExportingInstallation


@pytest.fixture
def installation(store: Store) -> ExportingInstallation:
    return ExportingInstallation(store)


class Killed(BaseException):
    """The process is gone: nothing catches this."""


@pytest.mark.parametrize("steps", range(14))
def test_an_interrupted_export_goes_on_and_ends_with_the_same_bytes(
    installation: ExportingInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    installation.decide("prod", 5)
    options: dict[str, Any] = {"artifacts": True, "tables": False}
    with monkeypatch.context() as patched:
        killed_after(patched, steps)
        with pytest.raises(Killed):
            installation.export(tmp_path / "a.zip", **options)
    assert not (tmp_path / "a.zip").exists()
    installation.decide("prod", 2)  # what happens in between is not in it
    with monkeypatch.context() as patched:
        patched.setattr(Draft, "add", added_once(Draft.add))
        done = installation.export(tmp_path / "a.zip", **options)
    assert not partial_path(tmp_path / "a.zip").exists()
    assert not journal_path(tmp_path / "a.zip").exists()
    assert done.report.counts.packets == 5
    beginning = {"size": done.report.log.size}
    assert (tmp_path / "a.zip").read_bytes() == written_in_one_go(installation, tmp_path / "b.zip", beginning, options, monkeypatch)


def killed_after(patched: pytest.MonkeyPatch, steps: int) -> None:
    """The process dies in the middle of writing the member that follows so many."""
    count = [0]
    write = Draft._write

    def failing(self: Draft, content: bytes, place: int) -> None:
        count[0] += 1
        if count[0] > steps:
            write(self, content[: len(content) // 2], place)
            raise Killed
        write(self, content, place)

    patched.setattr(Draft, "_write", failing)


def added_once(add: Callable[..., None]) -> Callable[..., None]:
    """Members that are there already are not made again."""

    def checked(self: Draft, name: str, make: Callable[[], bytes], **how: Any) -> None:
        was_there = name in self.entries

        def made() -> bytes:
            assert not was_there
            return make()

        add(self, name, made, **how)

    return checked


def written_in_one_go(
    installation: ExportingInstallation, target: Path, beginning: dict[str, int], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> bytes:
    """The same question at the same checkpoint, in another file."""
    begin = installation.exports._beginning
    monkeypatch.setattr(installation.exports, "_beginning", lambda *about: begin(*about).model_copy(update=beginning))
    installation.export(target, **options)
    return target.read_bytes()


def test_an_export_that_was_sealed_and_not_renamed_is_sealed_once(installation: ExportingInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installation.decide("prod", 2)

    def dies(target: Path) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("stella_pipelines.evidence.exports.service.finish", dies)
        with pytest.raises(Killed):
            installation.export(tmp_path / "a.zip")
    done = installation.export(tmp_path / "a.zip")
    with installation.store.reading() as tx:
        assert [packet.id for packet in installation.evidence.list(tx, kind="audit-export")] == [done.packet_id]


def test_a_draft_of_another_question_is_not_taken(installation: ExportingInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installation.decide("prod", 2)
    with monkeypatch.context() as patched:
        killed_after(patched, 5)
        with pytest.raises(Killed):
            installation.export(tmp_path / "a.zip")
    with pytest.raises(DraftUnusable):
        installation.export(tmp_path / "a.zip", Question(environment="prod"))
    done = installation.export(tmp_path / "a.zip", Question(environment="prod"), restart=True)
    assert verify_export(tmp_path / "a.zip", installation.trust) == done.report


@pytest.mark.parametrize("journal", [b"{}\n", b"no json\n", b'{"form":1}\n{"member":{}}\n'])
def test_a_journal_that_cannot_be_read_is_no_reason_to_guess(installation: ExportingInstallation, tmp_path: Path, journal: bytes) -> None:
    installation.decide("prod")
    journal_path(tmp_path / "a.zip").write_bytes(journal)
    with pytest.raises(DraftUnusable):
        installation.export(tmp_path / "a.zip")
    assert installation.export(tmp_path / "a.zip", restart=True).report.counts.packets == 1


def test_what_the_disk_lost_is_made_again(installation: ExportingInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is ahead of the file; then the process is killed again."""
    installation.decide("prod", 5)
    for steps, size in ((9, 900), (2, None)):
        with monkeypatch.context() as patched:
            killed_after(patched, steps)
            with pytest.raises(Killed):
                installation.export(tmp_path / "a.zip", artifacts=True)
        if size is not None:
            os.truncate(partial_path(tmp_path / "a.zip"), size)
    done = installation.export(tmp_path / "a.zip", artifacts=True)
    assert verify_export(tmp_path / "a.zip", installation.trust) == done.report


def test_a_draft_that_the_disk_damaged_is_not_handed_out(installation: ExportingInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installation.decide("prod", 5)
    with monkeypatch.context() as patched:
        killed_after(patched, 9)
        with pytest.raises(Killed):
            installation.export(tmp_path / "a.zip")
    content = bytearray(partial_path(tmp_path / "a.zip").read_bytes())
    content[40:60] = bytes(20)
    partial_path(tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DraftUnusable):
        installation.export(tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
    assert installation.export(tmp_path / "a.zip", restart=True).report.counts.packets == 5
