"""The DSSE envelope around a statement, in one exact form: reading accepts only the bytes that writing makes.

It is read as a fixed frame around base64, because a JSON parser would accept many spellings of the same envelope, and then a changed byte
could pass. That also bounds the work on hostile input: bytes that do not fit the frame are refused in one linear pass, and nothing is parsed
before a signature has been checked.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Final

from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signature  # type: ignore[attr-defined]  # public there, but re-exported without saying so

from stella_pipelines.core import limits
from stella_pipelines.core.canonical import NotCanonical, canonical_json
from stella_pipelines.evidence.errors import PacketMalformed, PacketNotCanonical, PacketTooLarge
from stella_pipelines.evidence.keys.signing import SigningKey

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
SIGNATURES_MAX: Final = 8
_DIAGNOSIS_BYTES_MAX: Final = 64 * 1024
_SIGNATURE: Final = rb'\{"keyid":"[0-9a-f]{64}","sig":"[A-Za-z0-9+/]{10,96}={0,2}"\}'  # 8 to 72 bytes; the key says which of them it makes
_HEAD: Final = b'{"payload":"'
_MIDDLE: Final = b'","payloadType":"application/vnd.in-toto+json","signatures":['
_TAIL: Final = re.compile(_SIGNATURE + rb"(?:," + _SIGNATURE + rb"){0,%d}\]\}" % (SIGNATURES_MAX - 1))
_PARTS: Final = re.compile(rb'"keyid":"([0-9a-f]{64})","sig":"([^"]+)"')


def write_envelope(payload: bytes, key: SigningKey) -> bytes:
    """Sign `payload` and return the envelope's canonical bytes."""
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.signatures[key.key_id] = Signature(key.key_id, key.sign(envelope.pae()).hex())
    content = canonical_json(envelope.to_dict())
    if len(content) > limits.PACKET_BYTES_MAX:
        raise PacketTooLarge(
            f"The packet would have {len(content)} bytes; {limits.PACKET_BYTES_MAX} are allowed.", next_step="Refer to large inputs by digest."
        )
    return content


def read_envelope(content: bytes) -> Envelope:
    """The envelope, if these are its canonical bytes. Says nothing about its signatures."""
    if len(content) > limits.PACKET_BYTES_MAX:
        raise PacketTooLarge(f"The file has {len(content)} bytes; a packet has at most {limits.PACKET_BYTES_MAX}.")
    middle = content.find(_MIDDLE)
    tail = middle + len(_MIDDLE)
    if not content.startswith(_HEAD) or middle <= len(_HEAD) or _TAIL.fullmatch(content, tail) is None:
        raise _why_not(content)
    envelope = Envelope(_base64(content[len(_HEAD) : middle]), PAYLOAD_TYPE, {})
    for key_id, signature in _PARTS.findall(content, tail):
        if key_id.decode() in envelope.signatures:
            raise PacketMalformed("Two signatures name the same key.")
        envelope.signatures[key_id.decode()] = Signature(key_id.decode(), _base64(signature).hex())
    if len(envelope.signatures) > 1 and list(envelope.signatures) != sorted(
        envelope.signatures
    ):  # or two orders would be two packets, with two digests, of one statement
        raise PacketNotCanonical("The packet's signatures do not stand in the order of their key ids.")
    return envelope


def _base64(text: bytes) -> bytes:
    """Strict base64: one spelling only. (Python ignores the unused bits of the last character; writing it again shows them.)"""
    try:
        content = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise PacketMalformed(f"The base64 in the packet is broken: {error}.") from error
    written = base64.b64encode(content)
    if len(written) != len(text):
        raise PacketMalformed("The base64 in the packet is broken at its end.")
    if written != text:
        raise PacketNotCanonical("The base64 in the packet is not in its canonical spelling.")
    return content


def _why_not(content: bytes) -> PacketMalformed | PacketNotCanonical:
    """Tell a reformatted envelope from something else, for people. Only for sizes where a parser cannot hurt."""
    try:
        found = json.loads(content) if len(content) <= _DIAGNOSIS_BYTES_MAX else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and {"payload", "payloadType", "signatures"} <= set(found) and _has_other_spelling(found, content):
        return PacketNotCanonical("The file holds a packet, but not in its canonical bytes.")
    return PacketMalformed("The file is not a sealed packet.")


def _has_other_spelling(found: dict[str, object], content: bytes) -> bool:
    try:
        return canonical_json(found) != content
    except NotCanonical:
        return False
