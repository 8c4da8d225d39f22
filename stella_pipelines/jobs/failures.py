"""The product's errors as Dagster failures: the run's page says what happened, what is unchanged and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import ValidationError

from stella_pipelines.core.errors import StellaError


@contextmanager
def failures_explained() -> Iterator[None]:
    """Turn a `StellaError`, or a value that cannot be what it must be, into a `dg.Failure` that is not retried in place.

    A new attempt, where one makes sense, is a new run that `recovery.py` enqueues.
    """
    try:
        yield
    except StellaError as error:
        raise failure_of(error) from error
    except ValidationError as error:
        raise dg.Failure(description=f"The configuration cannot be used. Nothing was changed. {error}", allow_retries=False) from error


def failure_of(error: StellaError) -> dg.Failure:
    """The failure that carries an error's four parts as metadata."""
    return dg.Failure(
        description=str(error),
        metadata={
            "code": dg.MetadataValue.text(error.code),
            "what happened": dg.MetadataValue.text(error.what),
            "what is unchanged": dg.MetadataValue.text(error.unchanged),
            "what to do next": dg.MetadataValue.text(error.next_step),
            "may succeed later": dg.MetadataValue.bool(error.retryable),
        },
        allow_retries=False,
    )
