"""Which addresses may be spoken to, and how: TLS everywhere, plain HTTP on loopback only, credentials to one origin only."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path

import httpx

from stella_pipelines.core.errors import StellaError


class RegistryInsecure(StellaError):
    """Plain HTTP was asked for, or a registry led to it, on a host that is not this machine; or a registry that is reached over HTTPS led to it at all."""

    code = "INT_REGISTRY_INSECURE"


class RegistryMisconfigured(StellaError):
    """The declaration of a registry contradicts itself, or names a file that cannot be used."""

    code = "INT_REGISTRY_MISCONFIGURED"


def base_url(host: str, *, plain_http: bool) -> httpx.URL:
    """The address of a registry. Plain HTTP elsewhere than on this machine would send passwords and images in the clear."""
    url = httpx.URL(f"{'http' if plain_http else 'https'}://{host}/")
    require_secure(url, f"The registry {host}")
    return url


def require_secure(url: httpx.URL, who: str) -> None:
    """Nothing, when the address is HTTPS or plain HTTP on loopback."""
    if url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host)):
        return
    raise RegistryInsecure(
        f"{who} would be reached over {url.scheme} at {url.host}, which is not this machine.",
        next_step="Give the registry a certificate; plain HTTP is for 127.0.0.0/8, ::1 and localhost.",
    )


def require_https(url: httpx.URL, who: str) -> None:
    """Nothing, when the address is HTTPS. A remote registry may not send our password in the clear to what listens on this machine."""
    if url.scheme != "https":
        raise RegistryInsecure(
            f"{who} would be reached over {url.scheme} at {url.host}, although the registry itself is reached over HTTPS.",
            unchanged="No credentials were sent there.",
            next_step="Correct the token service's address (realm) in the registry's settings; plain HTTP is for registries that are plain HTTP themselves.",
        )


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origin(url: httpx.URL) -> tuple[str, str, int]:
    """Scheme, host and port: credentials for one origin are not shown to another."""
    return url.scheme, url.host, url.port or {"https": 443, "http": 80}.get(url.scheme, 0)


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates are always checked: against `ca_file` alone when given, else against what the machine trusts."""
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise RegistryMisconfigured(
            f"The CA file {ca_file} cannot be used: {error}.", next_step="Point ca_file at a PEM file with the registry's CA."
        ) from error
