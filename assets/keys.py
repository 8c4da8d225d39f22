"""Names: asset keys, and the key of a release's partition. Dagster accepts any text as a partition key, so they are checked here."""

from __future__ import annotations

import re
from typing import Final

import dagster as dg

from stella_pipelines.core.errors import StellaError

RELEASES: Final = dg.DynamicPartitionsDefinition(name="releases")
DATA_VERSION_TAG: Final = "dagster/data_version"
_PARTITION_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,62}-[A-Za-z0-9][A-Za-z0-9._+-]{0,63}@[0-9a-f]{12}")


class InvalidPartitionKey(StellaError):
    """A text stands where the key of a release's partition must, and is not one."""

    code = "VAL_PARTITION_KEY_INVALID"


def image_key(component: str) -> dg.AssetKey:
    """`images/<component>`."""
    return dg.AssetKey(["images", component])


def release_key(name: str) -> dg.AssetKey:
    """`releases/<name>`."""
    return dg.AssetKey(["releases", name])


def environment_key(environment: str) -> dg.AssetKey:
    """`environments/<environment>`."""
    return dg.AssetKey(["environments", environment])


def evidence_key(environment: str) -> dg.AssetKey:
    """`evidence/<environment>`."""
    return dg.AssetKey(["evidence", environment])


def check_partition_key(text: str) -> str:
    """`text`, if it is `<name>-<version>@<12 hex>`; `InvalidPartitionKey` otherwise."""
    if not _PARTITION_KEY.fullmatch(text):
        raise InvalidPartitionKey(
            f"{text[:160]!r} is not the key of a release's partition.",
            next_step="Such a key is <name>-<version>@<first 12 hex digits of the release's digest>.",
        )
    return text
