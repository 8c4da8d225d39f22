"""Secrets at the last moment: a reference becomes its value right before the target needs it. Values are passed on, never written down."""

from __future__ import annotations

from collections.abc import Mapping

from stella_pipelines.connectors.port import ComponentSpec, SecretUnavailable
from stella_pipelines.core.secrets import Secret
from stella_pipelines.integrations.secrets import SecretMissing, SecretReferenceInvalid, resolve


def environment_of(component: ComponentSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """A component's variables and resolved secrets; a secret wins over a variable of the same name."""
    secrets = {name: resolved(reference, environ, f"component {component.name}") for name, reference in component.secrets.items()}
    return {**component.variables, **{name: secret.reveal() for name, secret in secrets.items()}}


def resolved(reference: str, environ: Mapping[str, str], whose: str) -> Secret:
    """The secret behind a reference, or a `SecretUnavailable` that says who needs it."""
    try:
        return resolve(reference, environ)
    except (SecretMissing, SecretReferenceInvalid) as error:
        raise SecretUnavailable(f"A secret of {whose} is missing. {error.what}", next_step=error.next_step) from error
