"""One request to a registry: authenticate, follow or refuse redirects, retry, and turn every failure into this room's errors.

What is asked and what the answer means is `distribution.py`'s business. Nothing of the process environment (proxies, .netrc,
CA variables) takes part: the declared settings are the only ones.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import httpx

from stella_pipelines.core.limits import CONNECT_TIMEOUT_S, REGISTRY_ATTEMPTS_MAX, REGISTRY_BYTES_PER_S_MIN, REGISTRY_TIMEOUT_S, TOKEN_TIMEOUT_S
from stella_pipelines.integrations.registries.authorization import Authorization, Credentials
from stella_pipelines.integrations.registries.deadline import Deadline, PunctualTransport, until
from stella_pipelines.integrations.registries.endpoints import base_url, origin, require_secure, tls_context
from stella_pipelines.integrations.registries.port import ImageNotFound, RegistryDenied, RegistryMisbehaved, RegistryUnreachable, RegistryUntrusted
from stella_pipelines.integrations.registries.verified import bounded, file_chunks

REDIRECTS_MAX: Final = 5
"""Hops from a registry to the storage that holds its blobs; one is normal."""
TOKEN_ANSWER_BYTES_MAX: Final = 256 * 1024
"""A token service's answer."""
BACKOFF_S: Final = 0.2
"""Pause before the second try; doubled before each further one."""
_OVERLOADED: Final = frozenset({429, 500, 502, 503, 504})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Ask:
    """One request. `path` is below the registry's address or a full URL of the same origin; `scope` names the rights that it needs.

    `conditions` are the headers by which the registry answers 412 instead of changing what somebody else has changed (RFC 9110).
    """

    method: str
    path: str
    scope: str
    accept: str = "*/*"
    content: bytes | BinaryIO | None = None
    content_bytes: int = 0
    content_type: str = "application/octet-stream"
    follow: bool = False
    expected: frozenset[int] = frozenset({200})
    conditions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """A whole answer in memory."""

    status: int
    headers: httpx.Headers
    body: bytes


@dataclass(frozen=True)
class Pace:
    """How patient an exchange is. Tests are less patient than people."""

    timeout_s: float = REGISTRY_TIMEOUT_S
    token_timeout_s: float = TOKEN_TIMEOUT_S
    bytes_per_s_min: float = REGISTRY_BYTES_PER_S_MIN
    attempts_max: int = REGISTRY_ATTEMPTS_MAX
    backoff_s: float = BACKOFF_S
    sleep: Callable[[float], None] = field(default=time.sleep)
    monotonic: Callable[[], float] = field(default=time.monotonic)


class Exchange:
    """The connection to one registry host."""

    def __init__(self, host: str, *, plain_http: bool, ca_file: Path | None, credentials: Credentials | None, pace: Pace) -> None:
        self.host = host
        self._base = base_url(host, plain_http=plain_http)
        self._pace = pace
        # Plain HTTP needs no certificates, and loading them takes longer than most requests; what a plain registry redirects to is loopback, too.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain_http else tls_context(ca_file)
        self._client = httpx.Client(
            transport=PunctualTransport(context),
            trust_env=False,
            # A cookie knows no ports, and may name a whole domain: it would be shown to hosts that the registry redirects to.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            timeout=httpx.Timeout(pace.timeout_s, connect=min(CONNECT_TIMEOUT_S, pace.timeout_s)),
            headers={"User-Agent": "stella-pipelines", "Accept-Encoding": "identity"},
        )
        self._authorization = Authorization(host, credentials, self._fetch_token, pace.monotonic, plain_http=plain_http)

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def retrying(self, operation: Callable[[], _Result]) -> _Result:
        """Run an idempotent operation again after a failure that may pass by itself."""
        for attempt in range(1, self._pace.attempts_max):
            try:
                return operation()
            except RegistryUnreachable:
                self._pace.sleep(self._pace.backoff_s * 2 ** (attempt - 1))
        return operation()

    def whole(self, ask: Ask, bytes_max: int) -> Answer:
        """Ask once and read the whole answer."""
        with self.answer(ask) as response:
            body = b"".join(bounded(response.iter_raw(), bytes_max, f"The registry {self.host}"))
            return Answer(status=response.status_code, headers=response.headers, body=body)

    @contextmanager
    def answer(self, ask: Ask) -> Iterator[httpx.Response]:
        """Ask once; the answer is open for streaming inside the `with`, which ends in time however slowly it drips."""
        deadline = self._deadline(self._pace.timeout_s)
        try:
            with until(deadline):
                response = self._authorized(ask)
                try:
                    self._require_expected(ask, response)
                    yield response
                finally:
                    response.close()
        except httpx.TransportError as error:
            if deadline.left_s() <= 0:
                raise self._unreachable(f"its answer took longer than {self._slowest(self._pace.timeout_s)}") from error
            raise self._transport_failure(error) from error
        except (httpx.InvalidURL, httpx.StreamError, httpx.DecodingError) as error:
            raise self._misbehaved(f"answered with something that is not HTTP as we know it ({type(error).__name__})") from error

    def same_origin(self, location: str) -> str:
        """An address that the registry gave for the next step of an upload; credentials go there, so it must be the registry itself."""
        try:
            url = self._base.join(location)
        except httpx.InvalidURL as error:
            raise self._misbehaved("names an address that is none") from error
        if origin(url) != origin(self._base):
            raise self._misbehaved(f"sends an upload to {url.host}, which is not itself")
        return str(url)

    def _authorized(self, ask: Ask) -> httpx.Response:
        response = self._followed(ask, self._authorization.header(ask.scope))
        # Only the registry itself may ask who we are: a host that it redirected to would get our credentials for its own token service.
        if response.status_code != 401 or origin(response.request.url) != origin(self._base):
            return response
        challenges = response.headers.get_list("www-authenticate")
        response.close()
        return self._followed(ask, self._authorization.answer(challenges, ask.scope))

    def _followed(self, ask: Ask, authorization: str | None) -> httpx.Response:
        url = self._base.join(ask.path)
        for _ in range(REDIRECTS_MAX + 1):
            if origin(url) != origin(self._base):
                authorization = None  # for good: a way that leads back was chosen by somebody else
            response = self._send(ask, url, authorization)
            if not ask.follow or response.status_code not in _REDIRECTS:
                return response
            response.close()
            url = self._next_hop(url, response.headers.get("location", ""))
        raise self._misbehaved(f"redirected more than {REDIRECTS_MAX} times")

    def _next_hop(self, url: httpx.URL, location: str) -> httpx.URL:
        following = url.join(location)
        if not location or (url.scheme == "https" and following.scheme != "https"):
            raise self._misbehaved("redirected to nowhere, or from HTTPS to plain HTTP")
        require_secure(following, f"A redirect of the registry {self.host}")
        return following

    def _send(self, ask: Ask, url: httpx.URL, authorization: str | None) -> httpx.Response:
        headers = {"Accept": ask.accept, **ask.conditions} | ({"Authorization": authorization} if authorization else {})
        # `Auth()` adds nothing; by default the client would send the user name and password of an address that has them.
        return self._client.send(self._request(ask, url, headers), stream=True, auth=httpx.Auth())

    def _request(self, ask: Ask, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Request:
        if ask.content is None:
            return self._client.build_request(ask.method, url, headers=headers)
        given = {**headers, "Content-Type": ask.content_type}
        if isinstance(ask.content, bytes):
            return self._client.build_request(ask.method, url, headers=given, content=ask.content)
        # A second try after a challenge starts at the same place of the file again.
        ask.content.seek(-ask.content_bytes, 2)
        given["Content-Length"] = str(ask.content_bytes)
        return self._client.build_request(ask.method, url, headers=given, content=file_chunks(ask.content))

    def _fetch_token(self, url: httpx.URL, authorization: str | None) -> bytes:
        deadline = self._deadline(self._pace.token_timeout_s)
        try:
            with until(deadline):
                return self._token_answer(url, authorization)
        except httpx.TimeoutException as error:
            raise self._unreachable(f"its token service took longer than {self._slowest(self._pace.token_timeout_s)}") from error

    def _token_answer(self, url: httpx.URL, authorization: str | None) -> bytes:
        response = self._send(Ask("GET", "", ""), url, authorization)
        try:
            if response.status_code in _OVERLOADED:
                raise self._unreachable(f"its token service answered {response.status_code}")
            if response.status_code != 200:
                raise self._denied(f"its token service answered {response.status_code}")
            return b"".join(bounded(response.iter_raw(), TOKEN_ANSWER_BYTES_MAX, f"The token service of {self.host}"))
        finally:
            response.close()

    def _deadline(self, timeout_s: float) -> Deadline:
        return Deadline(timeout_s, self._pace.bytes_per_s_min, self._pace.monotonic)

    def _slowest(self, timeout_s: float) -> str:
        return f"{timeout_s:g} s and 1 s per {self._pace.bytes_per_s_min / 1024:g} KiB"

    def _require_expected(self, ask: Ask, response: httpx.Response) -> None:
        status = response.status_code
        if status in ask.expected:
            return
        path = ask.path.partition("?")[0]  # an upload's session is in its query
        if status in (401, 403):
            raise self._denied(f"it answered {status} to {ask.method} {path}")
        if status == 404:
            raise ImageNotFound(f"The registry {self.host} has nothing at {path}.", next_step="Check the repository, tag or digest; it may have been deleted.")
        if status in _OVERLOADED:
            raise self._unreachable(f"it answered {status}")
        raise self._misbehaved(f"answered {status} to {ask.method} {path}")

    def _transport_failure(self, error: httpx.TransportError) -> RegistryUnreachable | RegistryUntrusted:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                reason = f"The certificate of {self.host} is not trusted: {cause.verify_message}."
                return RegistryUntrusted(reason, next_step="Set 'ca_file' of this registry to the CA that signed its certificate.")
            cause = cause.__cause__ or cause.__context__
        return self._unreachable(str(error) or type(error).__name__)

    def _unreachable(self, reason: str) -> RegistryUnreachable:
        return RegistryUnreachable(f"The registry {self.host} cannot be reached: {reason}.", next_step="Check that it runs and is reachable, then try again.")

    def _denied(self, reason: str) -> RegistryDenied:
        return RegistryDenied(
            f"The registry {self.host} refuses access: {reason}.", next_step="Check the registry's credentials and their rights to this repository."
        )

    def _misbehaved(self, what: str) -> RegistryMisbehaved:
        return RegistryMisbehaved(
            f"The registry {self.host} {what}.", next_step="Check what answers at this address; it does not speak the OCI Distribution API."
        )
