"""A key in the transit engine of HashiCorp Vault or OpenBao. Two requests: the public key once, and a signature each time.

The client takes nothing from the environment: no proxies, no `VAULT_*`, no netrc. What the reference does not say is not used.
An Ed25519 key is given the bytes themselves, as Ed25519 demands; a P-256 key gets their SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import ssl
import time
import weakref
from collections.abc import Mapping
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from stella_pipelines.core import limits
from stella_pipelines.core.secrets import Secret
from stella_pipelines.evidence.errors import KeyInvalid
from stella_pipelines.evidence.keys.public import PublicKey, load_public_key, public_key
from stella_pipelines.integrations.secrets import resolve
from stella_pipelines.integrations.signing.errors import SigningAnswerInvalid, SigningReferenceInvalid, SigningRefused, SigningUnreachable
from stella_pipelines.integrations.signing.pinned import PinnedKey
from stella_pipelines.integrations.signing.references import VaultReference

_SIGNATURE: Final = re.compile(r"vault:v(?P<version>[0-9]{1,9}):(?P<base64>[A-Za-z0-9+/]+={0,2})")
_TOKEN: Final = re.compile(r"[!-~]+")
_AWAY: Final = frozenset({429, 472, 473, 500, 502, 503, 504})
"""What Vault answers while it is sealed, standing by, starting, or behind somebody who cannot reach it."""


def vault_key(reference: VaultReference, environ: Mapping[str, str]) -> PinnedKey:
    """The key as a signing key; its public half is fetched now."""
    vault = _Vault(reference, resolve(reference.token, environ))
    public = vault.public_key()
    return PinnedKey(public, lambda content: vault.signature(public, content), f"Vault at {reference.url}")


class _Vault:
    def __init__(self, reference: VaultReference, token: Secret) -> None:
        self._at = reference
        self._token = _usable(token)
        self._client = httpx.Client(
            base_url=f"{reference.url}/v1/{reference.mount}/",
            verify=_certificates(reference),
            timeout=httpx.Timeout(limits.SIGNING_TIMEOUT_S, connect=limits.CONNECT_TIMEOUT_S),
            trust_env=False,
            follow_redirects=False,
        )
        weakref.finalize(self, self._client.close)  # the connection is kept between signatures, and goes with the key

    def public_key(self) -> PublicKey:
        """The public half of the version that the reference names."""
        data = self._ask("GET", f"keys/{self._at.name}")
        kind, versions = data.get("type"), data.get("keys")
        version = versions.get(str(self._at.version)) if isinstance(versions, dict) else None
        text = version.get("public_key") if isinstance(version, dict) else None
        if kind not in ("ed25519", "ecdsa-p256") or not isinstance(text, str):
            raise SigningRefused(
                f"Vault's key {self._at.name!r} has no version {self._at.version} of the kind ed25519 or ecdsa-p256.",
                next_step="Look at 'vault read transit/keys/NAME', and name an existing version in STELLA_SIGNING_KEY.",
            )
        return _loaded(kind, text)

    def signature(self, public: PublicKey, content: bytes) -> bytes:
        """A signature as Vault writes it."""
        asked: dict[str, object] = {"key_version": self._at.version}
        if public.algorithm == "ed25519":
            data = self._ask("POST", f"sign/{self._at.name}", asked | {"input": _text(content)})
        else:
            digest = hashlib.sha256(content).digest()
            asked |= {"input": _text(digest), "prehashed": True, "marshaling_algorithm": "asn1"}
            data = self._ask("POST", f"sign/{self._at.name}/sha2-256", asked)
        match = _SIGNATURE.fullmatch(str(data.get("signature")))
        if match is None or int(match["version"]) != self._at.version:
            raise _no_answer("no signature by the version that was asked for")
        return _bytes(match["base64"])

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        headers = {"X-Vault-Token": self._token.reveal(), "X-Vault-Request": "true"}
        if self._at.namespace is not None:
            headers["X-Vault-Namespace"] = self._at.namespace
        try:
            with self._client.stream(method, path, headers=headers, json=body) as response:
                content = _bounded(response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _away(self._at, f"cannot be asked ({type(error).__name__})") from error
        if response.status_code in _AWAY:
            raise _away(self._at, f"answers {response.status_code}")
        if response.status_code != 200:
            raise _refused(self._at, response.status_code)
        return _data(content)


def _usable(token: Secret) -> Secret:
    """What can stand in a header. The client's own refusal of anything else would repeat it."""
    if _TOKEN.fullmatch(token.reveal()) is None:
        raise SigningReferenceInvalid(
            "What the reference names as Vault's token is none: it has a blank, a line break or a character beyond ASCII in it.",
            next_step="Let token= lead to the token alone, as Vault or its agent wrote it.",
        )
    return token


def _bounded(response: httpx.Response) -> bytes:
    content, deadline = b"", time.monotonic() + limits.SIGNING_TIMEOUT_S
    for piece in response.iter_bytes():
        content += piece
        if len(content) > limits.SIGNING_ANSWER_BYTES_MAX:
            raise _no_answer(f"more than {limits.SIGNING_ANSWER_BYTES_MAX} bytes")
        if time.monotonic() > deadline:  # the client's own limit is for each piece
            raise httpx.ReadTimeout("the answer takes too long")
    return content


def _bytes(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise _no_answer("a signature that cannot be read") from error


def _data(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)["data"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_answer("something else than its JSON") from error
    if not isinstance(data, dict):
        raise _no_answer("something else than its JSON")
    return data


def _loaded(kind: str, text: str) -> PublicKey:
    try:
        if kind == "ecdsa-p256":
            return load_public_key(text.encode())
        return public_key(Ed25519PublicKey.from_public_bytes(binascii.a2b_base64(text, strict_mode=True)))
    except (ValueError, KeyInvalid) as error:
        raise _no_answer("something that is no public key") from error


def _certificates(reference: VaultReference) -> ssl.SSLContext:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if reference.ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=str(reference.ca))
    except OSError as error:  # ssl.SSLError is one
        raise SigningReferenceInvalid(
            f"The certificates in {reference.ca} cannot be read: {error.strerror or type(error).__name__}.",
            next_step="Give the PEM file of the authority that signed Vault's certificate as ca=/path.pem.",
        ) from error
    return context


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _away(reference: VaultReference, how: str) -> SigningUnreachable:
    return SigningUnreachable(
        f"Vault at {reference.url} {how}; nothing was sealed.", next_step="Try again; see whether Vault is up, unsealed, and reachable from here."
    )


def _refused(reference: VaultReference, status: int) -> SigningRefused:
    return SigningRefused(
        f"Vault at {reference.url} refuses with {status}; nothing was sealed.",
        next_step="404: is there such a mount and key? 403: may the token read keys/NAME and update sign/NAME of it, and is it still valid?",
    )


def _no_answer(what: str) -> SigningAnswerInvalid:
    return SigningAnswerInvalid(f"Vault answered with {what}; nothing was sealed.", next_step="See whether the reference leads to Vault's transit engine.")
