"""Who we are to a registry: answers its challenges with basic credentials or a bearer token, and remembers tokens until they expire.

Anonymous is a valid answer to a token challenge (public repositories). Not covered: OAuth2 refresh tokens and identity tokens.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

from stella_pipelines.core.secrets import Secret
from stella_pipelines.integrations.registries.challenge import Challenge, parse_challenges
from stella_pipelines.integrations.registries.endpoints import require_https, require_secure
from stella_pipelines.integrations.registries.port import RegistryDenied, RegistryMisbehaved

TOKEN_LIFE_DEFAULT_S: Final = 60.0
"""The token specification's default when a service does not say how long its token lives."""
TOKEN_MARGIN_S: Final = 10.0
"""A token is not used in its last seconds, so that it does not expire on the way."""


class Credentials:
    """A user name and its password, which is never printed."""

    def __init__(self, username: str, password: Secret) -> None:
        self.username = username
        self._password = password

    def basic(self) -> str:
        """The value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self._password.reveal()}".encode()).decode()


@dataclass(frozen=True)
class TokenAnswer:
    """What a token service gave, and for how long. The token is not printed."""

    token: str = field(repr=False)
    life_s: float


class Authorization:
    """The `Authorization` header per scope. `fetch` asks a token service: (url, its own authorization or None) → the answer's bytes."""

    def __init__(
        self,
        host: str,
        credentials: Credentials | None,
        fetch: Callable[[httpx.URL, str | None], bytes],
        monotonic: Callable[[], float],
        *,
        plain_http: bool,
    ) -> None:
        self._host = host
        self._credentials = credentials
        self._fetch = fetch
        self._monotonic = monotonic
        self._require_fit = require_secure if plain_http else require_https
        self._known: dict[str, tuple[str, float]] = {}

    def header(self, scope: str) -> str | None:
        """What is known to be accepted for this scope, without asking anybody."""
        header, until = self._known.get(scope, (None, 0.0))
        return header if until > self._monotonic() else None

    def answer(self, challenge_headers: Sequence[str], scope: str) -> str:
        """The header that meets the registry's challenge. Raises `RegistryDenied` when there is none, or the last one was not good enough."""
        challenges = {challenge.scheme: challenge for challenge in reversed(parse_challenges(challenge_headers))}
        if "bearer" in challenges:
            given = self._token(challenges["bearer"], scope)
            header, life_s = f"Bearer {given.token}", given.life_s - TOKEN_MARGIN_S
        elif "basic" in challenges and self._credentials is not None:
            header, life_s = self._credentials.basic(), float("inf")
        else:
            raise self._denied("it asks for credentials, and none that it accepts are configured")
        self._known[scope] = (header, self._monotonic() + life_s)
        return header

    def _token(self, challenge: Challenge, scope: str) -> TokenAnswer:
        realm = httpx.URL(challenge.parameters.get("realm", ""))
        if realm.scheme not in ("http", "https"):
            raise RegistryMisbehaved(f"The registry {self._host} names no token service.", next_step="Check the registry's token authentication settings.")
        self._require_fit(realm, f"The token service of {self._host}")
        asked = {"scope": challenge.parameters.get("scope") or scope}
        if service := challenge.parameters.get("service"):
            asked["service"] = service
        basic = self._credentials.basic() if self._credentials is not None else None
        return self._read_token(self._fetch(realm.copy_merge_params(asked), basic))

    def _read_token(self, content: bytes) -> TokenAnswer:
        try:
            document = json.loads(content)
            token = document.get("token") or document["access_token"]
            life_s = float(document.get("expires_in") or TOKEN_LIFE_DEFAULT_S)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise RegistryMisbehaved(f"The token service of {self._host} gave no token.", next_step="Check the token service's log.") from error
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise RegistryMisbehaved(f"The token service of {self._host} gave a token that is none.", next_step="Check the token service's log.")
        return TokenAnswer(token=token, life_s=life_s)

    def _denied(self, reason: str) -> RegistryDenied:
        return RegistryDenied(f"The registry {self._host} refuses access: {reason}.", next_step="Set 'username' and 'password' of this registry in the estate.")
