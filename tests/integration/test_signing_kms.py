"""A key in AWS KMS: moto's server, which signs, and botocore's own models, which check every request and word every refusal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import ANY, Stubber
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from moto.kms.utils import ECDSAPrivateKey
from moto.server import ThreadedMotoServer

from stella_pipelines.core import limits
from stella_pipelines.evidence.keys.public import load_public_key
from stella_pipelines.evidence.keys.signatures import P256_ORDER, is_exact
from stella_pipelines.evidence.verify import verify_packet
from stella_pipelines.integrations.signing.aws_kms import kms_key
from stella_pipelines.integrations.signing.errors import SigningAnswerInvalid, SigningRefused, SigningUnreachable
from stella_pipelines.integrations.signing.references import KmsReference, parse_reference
from stella_pipelines.integrations.signing.selection import open_key
from tests.support.evidence import genuine_packet

REGION = "eu-central-1"
PRIVATE = derive_private_key(7, SECP256R1())
DER = PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
ED25519_DER = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
REFERENCE = KmsReference(key="alias/evidence", region=REGION)
PUBLIC = {"KeyId": "alias/evidence", "PublicKey": DER, "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "SigningAlgorithms": ["ECDSA_SHA_256"]}


def sign_digest(key: ECDSAPrivateKey, message: bytes, signing_algorithm: str) -> bytes:
    """What AWS documents for MessageType=DIGEST, which moto does not do: it would hash the digest again. Everything else is moto's."""
    assert (len(message), signing_algorithm) == (32, "ECDSA_SHA_256")
    return bytes(key.private_key.sign(message, ECDSA(Prehashed(SHA256()))))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ECDSAPrivateKey, "sign", sign_digest)
        yield from moto_server()


def moto_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)


def administrator(endpoint: str | None = None) -> Any:
    return boto3.client("kms", region_name=REGION, endpoint_url=endpoint, config=Config(retries={"total_max_attempts": 1}, proxies={}))


def test_a_packet_sealed_by_kms_verifies_with_the_public_key_alone(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = administrator(endpoint).create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    administrator(endpoint).create_alias(AliasName="alias/evidence", TargetKeyId=made["KeyId"])
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    for name in (made["Arn"], f"alias/evidence?region={REGION}"):
        separator = "&" if "?" in name else "?"
        key = open_key(parse_reference(f"aws-kms:{name}{separator}endpoint={endpoint}"), {})
        assert key.algorithm == "ecdsa-p256"
        for number in range(6):
            assert verify_packet(genuine_packet(key, number=number), [key.public_pem]).key_id == key.key_id
        assert verify_packet(genuine_packet(key, much="x" * 1_000_000), [key.public_pem]).kind == "decision"


@pytest.mark.parametrize("spec", ["ECC_NIST_P384", "RSA_2048"])
def test_a_key_of_another_kind_is_refused(endpoint: str, spec: str) -> None:
    made = administrator(endpoint).create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    with pytest.raises(SigningRefused, match="P-256"):
        open_key(parse_reference(f"aws-kms:{made['Arn']}?endpoint={endpoint}"), {})


def test_a_key_that_is_not_there_is_refused(endpoint: str) -> None:
    with pytest.raises(SigningRefused, match="NotFoundException"):
        open_key(parse_reference(f"aws-kms:alias/nothing?region={REGION}&endpoint={endpoint}"), {})


def test_nobody_there_is_a_passing_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECT_TIMEOUT_S", 0.2)
    with pytest.raises(SigningUnreachable) as caught:
        open_key(parse_reference(f"aws-kms:alias/evidence?region={REGION}&endpoint=http://127.0.0.1:9"), {})
    assert caught.value.retryable


def asked_to_sign(content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).digest()
    return {"KeyId": "alias/evidence", "Message": digest, "MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}


def signed(content: bytes) -> bytes:
    return PRIVATE.sign(hashlib.sha256(content).digest(), ECDSA(Prehashed(SHA256())))


@pytest.mark.parametrize("is_high", [False, True])
def test_the_request_is_as_aws_models_it_and_the_answer_gets_its_one_form(is_high: bool) -> None:
    client = administrator()
    r, s = decode_dss_signature(signed(b"content"))
    low = min(s, P256_ORDER - s)
    answer = encode_dss_signature(r, P256_ORDER - low if is_high else low)
    with Stubber(client) as stub:
        stub.add_response("get_public_key", PUBLIC, {"KeyId": "alias/evidence"})
        stub.add_response("sign", {"Signature": answer}, asked_to_sign(b"content"))
        key = kms_key(REFERENCE, client)
        signature = key.sign(b"content")
        stub.assert_no_pending_responses()
    assert is_exact("ecdsa-p256", signature)
    load_public_key(key.public_pem).verify(signature, b"content")


@pytest.mark.parametrize(
    "answer", [b"x", signed(b"something else"), b"x" * 6000, encode_dss_signature(1, 1)], ids=["no signature", "of other content", "huge", "made up"]
)
def test_a_signature_that_is_not_the_pinned_keys_is_never_returned(answer: bytes) -> None:
    client = administrator()
    with Stubber(client) as stub:
        stub.add_response("get_public_key", PUBLIC, {"KeyId": ANY})
        stub.add_response("sign", {"Signature": answer}, asked_to_sign(b"content"))
        with pytest.raises(SigningAnswerInvalid):
            kms_key(REFERENCE, client).sign(b"content")


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("KMSInternalException", 500, SigningUnreachable),
        ("ThrottlingException", 400, SigningUnreachable),
        ("KeyUnavailableException", 500, SigningUnreachable),
        ("DependencyTimeoutException", 503, SigningUnreachable),
        ("DisabledException", 400, SigningRefused),
        ("KMSInvalidStateException", 400, SigningRefused),
        ("AccessDeniedException", 400, SigningRefused),
        ("InvalidKeyUsageException", 400, SigningRefused),
    ],
)
def test_refusals_and_faults_are_told_apart(code: str, status: int, error: type[Exception]) -> None:
    client = administrator()
    with Stubber(client) as stub:
        stub.add_response("get_public_key", PUBLIC, {"KeyId": ANY})
        stub.add_client_error("sign", code, "told", status)
        with pytest.raises(error, match=code):
            kms_key(REFERENCE, client).sign(b"content")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"KeySpec": "ECC_NIST_EDWARDS25519", "PublicKey": ED25519_DER}, SigningRefused),
        ({"KeyUsage": "ENCRYPT_DECRYPT"}, SigningRefused),
        ({"PublicKey": b"x"}, SigningAnswerInvalid),
        ({"PublicKey": derive_private_key(7, SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)}, SigningAnswerInvalid),
    ],
)
def test_what_is_no_key_for_us_is_refused_when_it_is_opened(change: dict[str, Any], error: type[Exception]) -> None:
    client = administrator()
    with Stubber(client) as stub:
        stub.add_response("get_public_key", {**PUBLIC, **change}, {"KeyId": ANY})
        with pytest.raises(error):
            kms_key(REFERENCE, client)
