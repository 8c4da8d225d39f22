"""What can keep an installation from coming up. Each leaf is one stable code."""

from __future__ import annotations

from stella_pipelines.core.errors import StellaError


class AlreadyUp(StellaError):
    """Another `stella up` runs for the same home."""

    code = "SYS_ALREADY_UP"


class AddressInUse(StellaError):
    """Something else listens where the web UI shall."""

    code = "SYS_ADDRESS_IN_USE"


class ProcessDied(StellaError):
    """A process of the installation ended before it was ready."""

    code = "SYS_PROCESS_DIED"


class NotReadyInTime(StellaError):
    """A process of the installation runs, and is not ready after a long time."""

    code = "SYS_NOT_READY"
    retryable = True


class DagsterConfigurationMissing(StellaError):
    """The embedded `dagster.yaml` is neither in the checkout nor in the installed package."""

    code = "SYS_DAGSTER_YAML_MISSING"
