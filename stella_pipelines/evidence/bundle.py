"""A packet as a Sigstore bundle (v0.3) with a managed key, so that cosign and other people's tools check it without us and without a network. Pure.

The bundle holds the packet's own envelope; payload and signature are the same bytes. It leaves out the signature's `keyid`, which nothing signs:
cosign would compare it with a key id of its own kind. Ours is the bundle's hint. The form is that of sigstore's protobuf-specs, written in JSON.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from securesystemslib.dsse import Envelope

from stella_pipelines.core.canonical import canonical_json
from stella_pipelines.evidence.envelope import read_envelope

BUNDLE_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
TRUSTED_ROOT: Final = canonical_json({"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"})
"""Says that no certificate authority and no public log is trusted: the key that is given is all that counts."""


def write_bundle(envelope_bytes: bytes, key_id: str) -> bytes:
    """The bundle of a packet with its signature by this key; a bundle has room for one. The packet must be verified before."""
    envelope = read_envelope(envelope_bytes)
    return canonical_json(
        {
            "mediaType": BUNDLE_MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": key_id}, "tlogEntries": []},
            "dsseEnvelope": _envelope(envelope, bytes.fromhex(envelope.signatures[key_id].signature)),
        }
    )


def _envelope(envelope: Envelope, signature: bytes) -> dict[str, Any]:
    return {
        "payload": base64.b64encode(envelope.payload).decode(),
        "payloadType": envelope.payload_type,
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
