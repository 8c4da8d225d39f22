"""The one identity of content: an OCI digest, `sha256:` and 64 lower-case hex digits (OCI image spec, descriptor.md)."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from stella_pipelines.core.errors import StellaError

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


class InvalidDigest(StellaError):
    """A text stands where a digest must, and is not one."""

    code = "VAL_DIGEST_INVALID"


class Digest(str):
    """A validated `sha256:<64 hex>` digest. It is a `str`, so it sorts, hashes, binds to SQL and serialises as one."""

    __slots__ = ()

    def __new__(cls, text: str) -> Digest:
        if not _SHA256.fullmatch(text):
            raise InvalidDigest(
                f"{text[:100]!r} is not a digest.",
                next_step="Give 'sha256:' followed by 64 lower-case hex digits.",
            )
        return super().__new__(cls, text)

    @classmethod
    def of(cls, content: bytes) -> Digest:
        """The digest of `content`."""
        return cls("sha256:" + hashlib.sha256(content).hexdigest())

    @property
    def hex(self) -> str:
        """The 64 hex digits without the algorithm."""
        return self.removeprefix("sha256:")

    @property
    def short(self) -> str:
        """The first 12 hex digits, for people and partition keys; never an identity."""
        return self.hex[:12]

    def matches(self, content: bytes) -> bool:
        """Whether `content` hashes to this digest; compared in constant time."""
        return hmac.compare_digest(self, Digest.of(content))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(
            _from_text,
            core_schema.str_schema(pattern="^sha256:[0-9a-f]{64}$"),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )


def _from_text(text: str) -> Digest:
    return str.__new__(Digest, text)  # the schema has looked at it already; manifests and packets hold many
