"""What the tests of whole runs share."""

from __future__ import annotations

import pytest

from support.cli import StartDevenv
from support.upper import Up


@pytest.fixture
def up(devenv: StartDevenv) -> Up:
    """Starts `devenv up`: `up(stack, *args)`, or `up.ready(stack, *args)` to wait for it."""
    return Up(devenv)
