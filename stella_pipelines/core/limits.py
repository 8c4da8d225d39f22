"""Every limit of the product in one place, with its unit in its name and its reason beside it."""

from __future__ import annotations

from typing import Final

MANIFEST_BYTES_MAX: Final = 4 * 1024 * 1024
"""An OCI manifest or index. The distribution spec asks registries to accept at least 4 MiB; nobody needs more."""
CONFIG_BYTES_MAX: Final = 8 * 1024 * 1024
"""An image's config blob."""
LAYER_BYTES_MAX: Final = 8 * 1024 * 1024 * 1024
"""One layer of an image that a `process` target unpacks."""
UNPACKED_BYTES_MAX: Final = 16 * 1024 * 1024 * 1024
"""All unpacked files of one image on a `process` target: the bound against a decompression bomb."""
PLATFORMS_MAX: Final = 64
"""Platforms in one image index."""
COMPONENTS_MAX: Final = 100
"""Components in one release."""
ESTATE_BYTES_MAX: Final = 4 * 1024 * 1024
"""An estate file; 5,000 targets take about 1 MB."""
TARGETS_MAX: Final = 10_000
"""Targets in one estate."""
REPORT_BYTES_MAX: Final = 64 * 1024 * 1024
"""A vulnerability report or VEX document given to a release."""
PACKET_BYTES_MAX: Final = 16 * 1024 * 1024
"""An evidence packet that a verifier reads."""
STICKER_BYTES_MAX: Final = 64 * 1024
"""A version sticker read from a target."""
REGISTRY_TIMEOUT_S: Final = 30.0
"""One request to a registry with its redirects and its token; bytes that move buy more time, at `REGISTRY_BYTES_PER_S_MIN`."""
REGISTRY_BYTES_PER_S_MIN: Final = 64 * 1024
"""The slowest registry that is waited for. A layer of 1 GiB takes 4.6 hours then; slower is no line, or somebody who holds us up."""
TOKEN_TIMEOUT_S: Final = 15.0
"""A registry's token service, from connecting to the last byte."""
REGISTRY_ATTEMPTS_MAX: Final = 3
"""Tries of one idempotent registry request."""
SIGNING_TIMEOUT_S: Final = 10.0
"""One request to a key service (Vault, KMS): a packet's transaction stays open so long."""
SIGNING_ANSWER_BYTES_MAX: Final = 256 * 1024
"""What a key service answers; a key with many versions takes some 30 kB."""
ENGINE_TIMEOUT_S: Final = 60.0
"""One request to a Docker Engine, except pulls."""
PULL_TIMEOUT_S: Final = 900.0
"""One image pull on one target."""
CONNECT_TIMEOUT_S: Final = 10.0
"""Opening a connection to a target."""
FANOUT_MAX: Final = 64
"""Targets that one deployment works on at the same moment, whatever the strategy allows."""
LEASE_TTL_S: Final = 30.0
"""A lease that is not renewed for so long may be taken over by the next holder, with a higher token."""
LEASE_RENEW_S: Final = 5.0
"""How often a holder renews its lease."""
CLOCK_BACK_MAX_S: Final = 120.0
"""How far the clock may stand behind the newest sealed packet before decisions stop."""
PROMOTION_TTL_S: Final = 14 * 24 * 3600.0
"""A promotion that waits longer than this expires."""
OUTBOX_BATCH_MAX: Final = 100
"""Outbox rows that one submitter pass handles."""
