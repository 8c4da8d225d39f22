"""The two kinds of signature that count as evidence, each in one exact form. Pure.

Ed25519 has one form by itself: 64 bytes. An ECDSA signature is two numbers, and three things would let a stranger write it anew without the key:
other DER, `n - s` in place of `s`, and numbers that are congruent. So only strict DER (X.690) with `0 < r < n` and `0 < s <= n/2` is one.
"""

from __future__ import annotations

from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

Algorithm = Literal["ed25519", "ecdsa-p256"]
"""`ecdsa-p256` is ECDSA over the curve P-256 (secp256r1) with SHA-256 (FIPS 186-5)."""
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_BYTES: Final = 64
DER_BYTES_MIN: Final = 8
"""Two numbers of one byte each."""
DER_BYTES_MAX: Final = 72


def is_exact(algorithm: Algorithm, signature: bytes) -> bool:
    """Whether these bytes have the one form of this kind of signature. Says nothing about what they sign."""
    if algorithm == "ed25519":
        return len(signature) == ED25519_BYTES
    numbers = _numbers(signature)
    return numbers is not None and 0 < numbers[0] < P256_ORDER and 0 < numbers[1] <= P256_ORDER // 2 and encode_dss_signature(*numbers) == signature


def exact_ecdsa(signature: bytes) -> bytes:
    """An ECDSA signature as some signer wrote it, in its one form; what is none comes back as it is, and is refused when it is checked."""
    numbers = _numbers(signature)
    if numbers is None:
        return signature
    r, s = numbers
    return encode_dss_signature(r, P256_ORDER - s if P256_ORDER // 2 < s < P256_ORDER else s)


def _numbers(signature: bytes) -> tuple[int, int] | None:
    if not DER_BYTES_MIN <= len(signature) <= DER_BYTES_MAX:
        return None
    try:
        return decode_dss_signature(signature)
    except ValueError:
        return None
