"""What stands in the way of a frame."""

from __future__ import annotations

from stella_pipelines.core.errors import StellaError


class PacketUnverified(StellaError):
    """A frame was to be made of something that is not a verified packet."""

    code = "EVID_FRAME_UNVERIFIED"


class DigestUnknown(StellaError):
    """No packet of the source names this digest. That says nothing about packets that the source does not have."""

    code = "EVID_DIGEST_UNKNOWN"


class FactsMissing(StellaError):
    """A packet refers to a blob for what a frame needs, and the blob is not at hand."""

    code = "EVID_FACTS_MISSING"


class FactsDamaged(StellaError):
    """A blob that a packet refers to is not what the packet says, or cannot be read."""

    code = "EVID_FACTS_DAMAGED"


class ParquetUnavailable(StellaError):
    """The library that writes Parquet files is not installed."""

    code = "SYS_PARQUET_UNAVAILABLE"
