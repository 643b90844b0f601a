"""What the unit tests share."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Tests that are marked `anyio` run on asyncio, as devenv does."""
    return "asyncio"
