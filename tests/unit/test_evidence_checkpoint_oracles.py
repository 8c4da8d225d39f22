"""Other people's programs read our checkpoints, and we read theirs: tlog-scales for Ed25519 and witnesses, sigstore-python for the log's keys."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from sigstore._internal.rekor.checkpoint import SignedCheckpoint
from sigstore._internal.trust import Keyring
from sigstore._utils import KeyID
from sigstore.errors import VerificationError
from sigstore_models.common.v1 import PublicKeyDetails
from tlog_scales.signing import PlainEd25519Signer, Vkey
from tlog_scales.tlog import Checkpoint as TheirCheckpoint

from stella_pipelines.evidence.keys.signing import SigningKey
from stella_pipelines.evidence.log.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from stella_pipelines.evidence.log.note_keys import log_key, read_vkey
from tests.support.published_checkpoints import CHECKPOINT, LOG_KEY, LOG_SIGNER, ORIGIN, WITNESS_KEY, EcdsaKey, witnessed


def test_tlog_scales_verifies_our_logs_and_our_witnesss_signature() -> None:
    theirs = TheirCheckpoint.from_text(witnessed().decode())
    assert (theirs.origin, theirs.size, theirs.root_hash) == (CHECKPOINT.origin, CHECKPOINT.size, CHECKPOINT.root)
    other = TheirCheckpoint(theirs.origin, theirs.size + 1, theirs.root_hash, theirs.signatures)
    for key in (LOG_KEY, WITNESS_KEY):
        vkey = Vkey.from_string(key.vkey())
        assert vkey.key_id == int.from_bytes(key.key_hash)
        assert theirs.verify(vkey) is None
        with pytest.raises(InvalidSignature):
            other.verify(vkey)


def test_we_read_a_checkpoint_that_tlog_scales_signed() -> None:
    signer = PlainEd25519Signer("log.example/theirs", bytes(range(32)))
    content = TheirCheckpoint.make_signed("log.example/theirs", 77, bytes(32), [signer]).serialize().encode()
    verified = read_checkpoint(content, origin="log.example/theirs", log_keys=[read_vkey(signer.vkey.serialize())])
    assert verified.checkpoint == Checkpoint("log.example/theirs", 77, bytes(32))


def keyring(signer: SigningKey, details: PublicKeyDetails) -> Any:
    """Sigstore's keyring with one key, as much of it as is read. It tries all its keys: the note's key hash is only a hint."""
    der = load_pem_public_key(signer.public_pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Keyring([SimpleNamespace(raw_bytes=der, key_details=details)])  # type: ignore[list-item]


@pytest.mark.parametrize(("signer", "details"), [(LOG_SIGNER, PublicKeyDetails.PKIX_ED25519), (EcdsaKey(), PublicKeyDetails.PKIX_ECDSA_P256_SHA_256)])
def test_sigstore_verifies_our_checkpoints(signer: SigningKey, details: PublicKeyDetails) -> None:
    theirs = SignedCheckpoint.from_text(write_checkpoint(CHECKPOINT, [signer]).decode())
    assert (theirs.checkpoint.origin, theirs.checkpoint.log_size, theirs.checkpoint.log_hash) == (ORIGIN, CHECKPOINT.size, CHECKPOINT.root.hex())
    ring, key_id = keyring(signer, details), KeyID(log_key(ORIGIN, signer.public_pem).key_hash)
    assert theirs.signed_note.verify(ring, key_id) is None
    changed = SignedCheckpoint.from_text(write_checkpoint(CHECKPOINT, [signer]).decode().replace("1234", "1235", 1))
    with pytest.raises(VerificationError):
        changed.signed_note.verify(ring, key_id)
