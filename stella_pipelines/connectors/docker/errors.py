"""From the docker and requests libraries' exceptions to `ConnectorError`s. Nothing else leaves the engine.

The engine's own words are kept: they are what an operator searches for. They are bounded, since they may repeat a whole request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import requests
import urllib3
from docker.errors import APIError, DockerException

from stella_pipelines.connectors.port import (
    ConnectorError,
    ImageUnavailable,
    StartFailed,
    TargetDiskFull,
    TargetIdentityChanged,
    TargetRefused,
    TargetUnreachable,
)

WORDS_MAX: Final = 600
"""Characters of the engine's words that are repeated in an error."""
LIBRARY_ERRORS: Final = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)
"""What the docker library raises: its own, its HTTP library's (unwrapped while streaming), and ValueError for an answer that is not JSON."""
_DISK_FULL: Final = ("no space left on device", "disk quota exceeded")
# An engine that does not accept our client certificate says so in a TLS alert.
_OUR_CERTIFICATE: Final = ("certificate required", "bad certificate", "unknown ca", "certificate unknown", "handshake failure", "certificate_required")


class ContainerMissing(ConnectorError):
    """A container, or a file in it, that was there a moment ago is gone: somebody else changed the target."""

    code = "DEPLOY_CONTAINER_MISSING"


@contextmanager
def translated(target: str, doing: str) -> Iterator[None]:
    """Run a piece of library code; whatever it raises comes out as a `ConnectorError` that names the target and the action."""
    try:
        yield
    except LIBRARY_ERRORS as error:
        raise connector_error(error, target, doing) from error


def connector_error(error: BaseException, target: str, doing: str) -> ConnectorError:
    """The typed error for a library error. Pure."""
    if isinstance(error, APIError):
        return _answered(error, target, doing)
    words = bounded(str(error))
    if "CERTIFICATE_VERIFY_FAILED" in words:
        return _another_identity(words, target)
    if any(sign in words.lower() for sign in _OUR_CERTIFICATE):
        return _certificate_refused(words, target)
    if isinstance(error, ValueError):
        return TargetRefused(f"Target {target} does not answer like a Docker Engine: {words}.", next_step="Check the endpoint in the estate.")
    return TargetUnreachable(
        f"Target {target} does not answer ({doing}): {words}.",
        unchanged="What it runs is unknown until it answers.",
        next_step="Check that the host is up and its Docker Engine runs; the same command can be tried again.",
    )


def _answered(error: APIError, target: str, doing: str) -> ConnectorError:
    words = bounded(error.explanation or str(error))
    if is_disk_full(words):
        return disk_full(target, words)
    if error.status_code == 404:
        return ContainerMissing(f"Target {target}, {doing}: {words}.", unchanged="", next_step="Look at what runs there with 'stella status'.")
    return TargetRefused(f"Target {target} refused ({doing}): {words}.", next_step="The words are the engine's own; correct what they name.")


def _another_identity(words: str, target: str) -> TargetIdentityChanged:
    return TargetIdentityChanged(
        f"Target {target} answers with a TLS certificate that the pinned CA did not sign for this address: {words}.",
        next_step="Find out why before anything else. If the change was planned, give the new CA in the estate.",
    )


def _certificate_refused(words: str, target: str) -> TargetRefused:
    return TargetRefused(f"Target {target} does not accept our TLS client certificate: {words}.", next_step="Check certificate_file and key in the estate.")


def disk_full(target: str, words: str) -> TargetDiskFull:
    """No room on the target."""
    return TargetDiskFull(
        f"Target {target} has no room: {bounded(words)}.", unchanged="What runs there goes on running.", next_step="Free space on the target, then retry."
    )


def image_unavailable(target: str, image: str, words: str) -> ConnectorError:
    """Why a pull failed; a full disk is told apart."""
    if is_disk_full(words):
        return disk_full(target, words)
    return ImageUnavailable(
        f"Target {target} cannot pull {image}: {bounded(words)}.",
        unchanged="What runs there goes on running.",
        next_step="Check from the target that it reaches the registry, trusts it, and may read the repository.",
    )


def start_failed(target: str, component: str, words: str) -> StartFailed:
    """The component did not come up."""
    return StartFailed(
        f"{component} did not start on target {target}: {bounded(words)}.",
        unchanged="The instance that ran before is kept on the target, stopped.",
        next_step="Correct what the words name; the rollout restores the earlier instance.",
    )


def is_disk_full(words: str) -> bool:
    """Whether an engine complains about a full disk."""
    return any(sign in words.lower() for sign in _DISK_FULL)


def bounded(words: str) -> str:
    """The engine's words on one line, not too long, without a closing full stop."""
    line = " ".join(words.split()).rstrip(".")
    return line if len(line) <= WORDS_MAX else line[:WORDS_MAX] + "…"
