"""What the unit tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")


@pytest.fixture
def anyio_backend() -> str:
    """Tests that are marked `anyio` run on asyncio, as devenv does."""
    return "asyncio"
