"""A key that never leaves its service, as this process knows it: its public half is pinned, and no signature is believed unchecked."""

from __future__ import annotations

from collections.abc import Callable

from stella_pipelines.evidence.errors import SignatureInvalid
from stella_pipelines.evidence.keys.public import PublicKey
from stella_pipelines.evidence.keys.signatures import Algorithm, exact_ecdsa
from stella_pipelines.integrations.signing.errors import SigningAnswerInvalid


class PinnedKey:
    """A `SigningKey` behind `ask`, which gives a signature as the service writes it."""

    def __init__(self, public: PublicKey, ask: Callable[[bytes], bytes], where: str) -> None:
        self._public = public
        self._ask = ask
        self._where = where
        self.key_id: str = public.key_id
        self.public_pem: bytes = public.pem
        self.algorithm: Algorithm = public.algorithm

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`, proven to be this key's."""
        answered = self._ask(content)
        signature = exact_ecdsa(answered) if self.algorithm == "ecdsa-p256" else answered
        try:
            self._public.verify(signature, content)
        except SignatureInvalid as error:
            raise SigningAnswerInvalid(
                f"{self._where} gave a signature that is not by the key {self.key_id}.",
                next_step="See whether the key there was replaced; to seal with another key, use 'stella key rotate'.",
            ) from error
        return signature
