"""An installation of its own with the shop's estate and no targets, for the tests of sensors and of what they publish."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.installation import SmallInstallation, fast_home, shop_estate, small_installation


@pytest.fixture
def stella(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallInstallation]:
    """The one that the environment names."""
    with fast_home() as home, small_installation(home) as installation:
        monkeypatch.setenv("STELLA_HOME", str(home))
        monkeypatch.delenv("STELLA_DATABASE_URL", raising=False)
        installation.apply(shop_estate())
        yield installation
