"""What a log asks of a witness, as one text (the body of `add-checkpoint` in c2sp.org/tlog-witness): the old size, the proof, the checkpoint. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stella_pipelines.evidence.errors import ProofInvalid
from stella_pipelines.evidence.log.notes import NOTE_BYTES_MAX, read_base64, write_base64
from stella_pipelines.evidence.merkle import SIZE_MAX

HASHES_MAX: Final = SIZE_MAX.bit_length()
REQUEST_BYTES_MAX: Final = NOTE_BYTES_MAX + 4 * 1024


@dataclass(frozen=True, slots=True)
class WitnessRequest:
    """`old_size` is what the log believes that the witness saw last; 0 for a witness that does not know it."""

    old_size: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes


def write_request(request: WitnessRequest) -> bytes:
    """The request's bytes."""
    return "\n".join([f"old {request.old_size}", *map(write_base64, request.hashes), "", ""]).encode() + request.checkpoint


def read_request(content: bytes) -> WitnessRequest:
    """The request that these bytes are, in its one form; `ProofInvalid` for anything else."""
    head, separator, checkpoint = content[: REQUEST_BYTES_MAX + 1].partition(b"\n\n")
    try:
        old, *hashes = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise _malformed() from error
    number = old.removeprefix("old ")
    if len(content) > REQUEST_BYTES_MAX or not separator or len(hashes) > HASHES_MAX or not number.isdigit() or len(number) > len(str(SIZE_MAX)):
        raise _malformed()
    request = WitnessRequest(int(number), tuple(read_base64(line) or b"" for line in hashes), checkpoint)
    if write_request(request) != content:  # one spelling only
        raise _malformed()
    return request


def _malformed() -> ProofInvalid:
    return ProofInvalid("The file is not a request for a witness, as 'stella audit witness-request' writes it.")
