"""Reading where a signing key is. Pure; nothing is opened here.

- `file:/absolute/path.pem`
- `env:NAME`, a variable that holds the PEM text
- `vault-transit:https://host:8200/transit/NAME?version=1&token=env://VAULT_TOKEN`, optionally `&ca=/path.pem` and `&namespace=…`
- `aws-kms:<ARN>`, or `aws-kms:alias/NAME?region=eu-central-1`, optionally `endpoint=https://…`
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import Field, StringConstraints, ValidationError

from stella_pipelines.core.secrets import SecretReference
from stella_pipelines.core.values import Value
from stella_pipelines.integrations.signing.errors import SigningReferenceInvalid

REFERENCE_CHARS_MAX: Final = 2_000
_ARN: Final = re.compile(r"arn:[a-z-]+:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+")
_NAME: Final = r"^[A-Za-z0-9_.-]+$"
_URL: Final = r"^https?://[A-Za-z0-9.\[\]:-]+$"

_SCHEMES: Final = frozenset({"file", "env", "vault-transit", "aws-kms"})
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class FileReference(Value):
    """A private key in a file."""

    scheme: Literal["file"] = "file"
    path: Path


class VariableReference(Value):
    """A private key in an environment variable."""

    scheme: Literal["env"] = "env"
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class VaultReference(Value):
    """A version of a key in Vault's transit engine. The version is pinned, or a rotation in Vault would change who seals here unseen."""

    scheme: Literal["vault-transit"] = "vault-transit"
    url: Annotated[str, StringConstraints(pattern=_URL)]
    mount: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./-]+$")]
    name: Annotated[str, StringConstraints(pattern=_NAME)]
    version: Annotated[int, Field(ge=1)]
    token: SecretReference
    ca: Path | None = None
    namespace: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_./-]+$")] | None = None


class KmsReference(Value):
    """An asymmetric key in AWS KMS."""

    scheme: Literal["aws-kms"] = "aws-kms"
    key: Annotated[str, StringConstraints(pattern=r"^(arn:[A-Za-z0-9:/_-]+|alias/[A-Za-z0-9/_-]+|[0-9a-f-]{36})$")]
    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]
    endpoint: Annotated[str, StringConstraints(pattern=_URL)] | None = None


SigningReference = FileReference | VariableReference | VaultReference | KmsReference


_PARTS: Final = {name for kind in (FileReference, VariableReference, VaultReference, KmsReference) for name in kind.model_fields}


def parse_reference(text: str) -> SigningReference:
    """The place that `text` names; `SigningReferenceInvalid` otherwise."""
    scheme, _, rest = text.partition(":")
    try:
        return _parse(scheme, rest)
    except (ValidationError, ValueError) as error:
        raise SigningReferenceInvalid(
            f"The signing key's reference {scheme if scheme in _SCHEMES else '…'}:… cannot be used: {_reason(error)}.",
            next_step="Write file:/path.pem, env:NAME, vault-transit:https://host:8200/transit/NAME?version=1&token=env://VARIABLE, or aws-kms:ARN.",
        ) from None  # the library's error repeats what was given


def _parse(scheme: str, rest: str) -> SigningReference:
    if len(rest) > REFERENCE_CHARS_MAX:
        raise _Unusable("it is too long")
    if scheme == "file":
        path = Path(rest.removeprefix("//"))
        if not path.is_absolute() or "\0" in rest:
            raise _Unusable("the path is not absolute")
        return FileReference(path=path)
    if scheme == "env":
        return VariableReference(name=rest)
    if scheme == "vault-transit":
        return _vault(rest)
    if scheme == "aws-kms":
        return _kms(rest)
    raise _Unusable("there is no such kind of place")


def _vault(rest: str) -> VaultReference:
    parts = urlsplit(rest)
    _require_private(parts)
    mount, _, name = parts.path.strip("/").rpartition("/")
    return VaultReference.model_validate({**_options(parts.query), "url": f"{parts.scheme}://{parts.netloc}", "mount": mount, "name": name})


def _kms(rest: str) -> KmsReference:
    key, _, query = rest.partition("?")
    arn = _ARN.fullmatch(key)
    reference = KmsReference.model_validate({**({"region": arn["region"]} if arn else {}), **_options(query), "key": key})
    if reference.endpoint is not None:
        _require_private(urlsplit(reference.endpoint))
    return reference


def _require_private(address: SplitResult) -> None:
    if address.scheme != "https" and address.hostname not in _LOOPBACK:
        raise _Unusable("without https a token would cross the network in the clear, and anybody there could give another public key")


def _options(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=10)
    except ValueError:
        raise _Unusable("its options are not of the form name=value") from None
    if len(dict(pairs)) != len(pairs) or {name for name, _ in pairs} & {"scheme", "url", "mount", "name", "key"}:
        raise _Unusable("an option stands twice, or does not belong there")
    return dict(pairs)


def _reason(error: ValueError) -> str:
    """Which part is wrong, without repeating it: somebody may have put a secret where its reference must stand."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{_part(one['loc'][0])}: {one['type'].replace('_', ' ')}" for one in error.errors())
    return str(error) if isinstance(error, _Unusable) else "it is not an address"


def _part(name: int | str) -> str:
    return str(name) if name in _PARTS else "an option"


class _Unusable(ValueError):
    """Says in our own words what is wrong, and repeats nothing."""
