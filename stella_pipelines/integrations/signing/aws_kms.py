"""A key in AWS KMS: ECC_NIST_P256, signing with ECDSA_SHA_256. The public key is fetched once; KMS gets the SHA-256 of what is signed.

Ed25519 keys of KMS are refused: KMS signs at most 4,096 bytes with them, and a packet may have more.
Credentials come the way that AWS's own library finds them; proxies of the environment are not used.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from stella_pipelines.core import limits
from stella_pipelines.evidence.errors import KeyInvalid
from stella_pipelines.evidence.keys.public import PublicKey, public_key
from stella_pipelines.integrations.signing.errors import SigningAnswerInvalid, SigningRefused, SigningUnreachable
from stella_pipelines.integrations.signing.pinned import PinnedKey
from stella_pipelines.integrations.signing.references import KmsReference

ATTEMPTS_MAX: Final = 3
_AWAY: Final = frozenset(
    {"DependencyTimeoutException", "KMSInternalException", "KeyUnavailableException", "LimitExceededException", "ThrottlingException", "RequestLimitExceeded"}
)


def kms_key(reference: KmsReference, client: Any = None) -> PinnedKey:
    """The key as a signing key; its public half is fetched now. `client` is boto3's, made here unless one is given."""
    kms = client or _client(reference)
    public = _public_key(kms, reference)
    return PinnedKey(public, lambda content: _signature(kms, reference, content), f"AWS KMS in {reference.region}")


def _client(reference: KmsReference) -> Any:
    config = Config(
        connect_timeout=limits.CONNECT_TIMEOUT_S,
        read_timeout=limits.SIGNING_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS_MAX},
        proxies={},
    )
    return boto3.client("kms", region_name=reference.region, endpoint_url=reference.endpoint, config=config)


def _public_key(kms: Any, reference: KmsReference) -> PublicKey:
    answer = _asked(reference, lambda: kms.get_public_key(KeyId=reference.key))
    try:
        public = public_key(load_der_public_key(answer["PublicKey"]))
    except KeyInvalid as error:
        raise _other_kind() from error
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm) as error:
        raise SigningAnswerInvalid("KMS gave something that is no public key.", next_step="See whether the endpoint is AWS KMS.") from error
    if public.algorithm != "ecdsa-p256" or answer.get("KeyUsage") != "SIGN_VERIFY":
        raise _other_kind()
    return public


def _other_kind() -> SigningRefused:
    return SigningRefused(
        "The KMS key is not one that makes ECDSA signatures over P-256.", next_step="Make one with KeySpec ECC_NIST_P256 and KeyUsage SIGN_VERIFY."
    )


def _signature(kms: Any, reference: KmsReference, content: bytes) -> bytes:
    digest = hashlib.sha256(content).digest()
    asked = {"KeyId": reference.key, "Message": digest, "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}
    answer = _asked(reference, lambda: kms.sign(**asked))
    return bytes(answer.get("Signature", b""))


def _asked(reference: KmsReference, call: Any) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = call()
    except ClientError as error:
        code, status = str(error.response.get("Error", {}).get("Code")), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _AWAY or status >= 500:
            raise _away(reference, code) from error
        raise SigningRefused(
            f"AWS KMS in {reference.region} refuses with {code[:80]}; nothing was sealed.",
            next_step="See whether the key exists and is enabled, and whether these credentials may kms:GetPublicKey and kms:Sign with it.",
        ) from error
    except BotoCoreError as error:
        raise _away(reference, type(error).__name__) from error
    return answer


def _away(reference: KmsReference, how: str) -> SigningUnreachable:
    return SigningUnreachable(
        f"AWS KMS in {reference.region} cannot be asked ({how[:80]}); nothing was sealed.",
        next_step="Try again; see whether credentials and the endpoint are right and reachable from here.",
    )
