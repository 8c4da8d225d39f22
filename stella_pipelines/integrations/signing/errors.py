"""What can go wrong between us and a key that lives elsewhere. In each case nothing is sealed."""

from __future__ import annotations

from stella_pipelines.core.errors import StellaError


class SigningReferenceInvalid(StellaError):
    """`STELLA_SIGNING_KEY`, or a reference given to a command, names no place where a key can be."""

    code = "INT_SIGNING_REFERENCE_INVALID"


class SigningUnreachable(StellaError):
    """The key service does not answer, or says that it cannot now."""

    code = "INT_SIGNING_UNREACHABLE"
    retryable = True


class SigningRefused(StellaError):
    """The key service answers, and does not sign: no such key, no permission, a key of another kind."""

    code = "INT_SIGNING_REFUSED"


class SigningAnswerInvalid(StellaError):
    """The key service gave something that is no signature by the pinned key."""

    code = "INT_SIGNING_ANSWER_INVALID"
