"""A lab's number is held by a lock, and what its dead owner wrote says what there is to remove."""

from pathlib import Path

from stella_pipelines.lab.claims import Claim, LabRecord, claims, orphans


def record(number: int) -> LabRecord:
    return LabRecord(number=number, kind="embedded", folder=f"/tmp/lab-{number}", owner_pid=1)


def take(folder: Path) -> Claim:
    return next(claims(folder, folder / "no-links"))


def test_two_labs_get_two_numbers(tmp_path: Path) -> None:
    one, other = take(tmp_path), take(tmp_path)
    assert (one.addresses.number, other.addresses.number) == (0, 1)
    one.release()
    third = take(tmp_path)
    assert third.addresses.number == 0
    other.release()
    third.release()


def test_a_lab_in_use_is_no_orphan(tmp_path: Path) -> None:
    claim = take(tmp_path)
    claim.write(record(0))
    assert list(orphans(tmp_path)) == []
    claim.release()


def test_a_lab_whose_owner_died_is_an_orphan_for_one_process_only(tmp_path: Path) -> None:
    claim = take(tmp_path)
    claim.write(record(0))
    claim.release()  # what the kernel does when the owner dies
    (found,) = orphans(tmp_path)
    assert found[1] == record(0)
    assert list(orphans(tmp_path)) == []
    found[0].clear()
    found[0].release()
    assert list(orphans(tmp_path)) == []


def test_a_half_written_claim_is_nothing_and_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "3.claim").write_text('{"number":3,')
    assert list(orphans(tmp_path)) == []
    assert (tmp_path / "3.claim").read_text() == ""


def test_the_number_of_an_orphan_is_not_given_away(tmp_path: Path) -> None:
    claim = take(tmp_path)
    claim.write(record(0))
    claim.release()
    other = take(tmp_path)
    assert other.addresses.number == 1
    other.release()


def test_the_number_of_a_lab_that_stands_without_a_visible_claim_is_not_given_away(tmp_path: Path) -> None:
    (tmp_path / "links" / "stella0-2").mkdir(parents=True)
    claim = next(claims(tmp_path, tmp_path / "links"))
    assert claim.addresses.number == 1
    claim.release()
