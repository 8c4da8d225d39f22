"""What a witness does: it signs a log's checkpoint only if the log has grown from the last one that it saw, and in no other way. Pure.

The caller keeps the last checkpoint that was cosigned for each log, and must keep the new one, in one step with reading the last, *before* it
gives the signature away: otherwise two requests at once could make the witness go back (c2sp.org/tlog-witness). No network, no clock here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from stella_pipelines.evidence.errors import KeyInvalid
from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.log.checkpoints import Checkpoint, VerifiedCheckpoint, require_continues
from stella_pipelines.evidence.log.note_keys import sign_as_witness
from stella_pipelines.evidence.log.tree import EMPTY_ROOT


def cosign(last_seen: Checkpoint | None, verified: VerifiedCheckpoint, consistency_proof: Sequence[bytes], *, name: str, key: SigningKey, now: datetime) -> str:
    """The witness's signature line for the checkpoint.

    Refuses a smaller log and another root of the same size (`CheckpointConflicts`) and a bad proof (`ProofInvalid`). A log that was never seen is
    taken as it is, with an empty proof: what came before is not for this witness to say.
    """
    if key.key_id in verified.log_key_ids:
        raise KeyInvalid("The log's own key cannot witness the log.", next_step="Give the witness a key of its own.")
    checkpoint = verified.checkpoint
    require_continues(last_seen or Checkpoint(checkpoint.origin, 0, EMPTY_ROOT), checkpoint, consistency_proof)
    return sign_as_witness(name, key, checkpoint.text(), int(now.timestamp())).line()
