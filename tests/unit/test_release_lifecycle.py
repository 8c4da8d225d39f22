"""A release's life only goes forward, and each refusal says what is possible."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.releases.errors import LifecycleRefused
from stella_pipelines.releases.lifecycle import FORWARD, require_forward
from stella_pipelines.releases.model import PlatformImage, Release, ReleaseComponent, ReleaseRecord, ReleaseState

DIGEST = Digest.of(b"image")
IMAGE = PlatformImage(platform="linux/amd64", digest=DIGEST, config_digest=DIGEST)
WEB = ReleaseComponent(name="web", repository="registry.test/web", digest=DIGEST, platforms=(IMAGE,))
SHOP = Release(name="shop", version="1.0.0", components=(WEB,), created_at=datetime(2026, 1, 1, tzinfo=UTC))
ORDER = list(ReleaseState)


def test_every_state_has_its_row() -> None:
    assert list(FORWARD) == ORDER


@pytest.mark.parametrize("after", ORDER)
@pytest.mark.parametrize("before", ORDER)
def test_only_forward_and_never_from_a_draft(before: ReleaseState, after: ReleaseState) -> None:
    record = ReleaseRecord(release=SHOP, state=before, digest=None if before is ReleaseState.DRAFT else DIGEST)
    if before is not ReleaseState.DRAFT and ORDER.index(after) > ORDER.index(before):
        require_forward(record, after)
        return
    with pytest.raises(LifecycleRefused, match=f"shop-1.0.0 is {before.value}, and cannot become {after.value}"):
        require_forward(record, after)
