"""Fixtures of all unit tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support.memory.machine import Machine

EXAMPLES = 200 if "DEVENV_TEST_LONG" in os.environ else 50
settings.register_profile("unhurried", deadline=None, max_examples=EXAMPLES)  # a busy machine must not fail the test
settings.load_profile("unhurried")


@pytest.fixture
def anyio_backend() -> str:
    """Tests that are marked `anyio` run on asyncio, as devenv does."""
    return "asyncio"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with one engine in memory, whose state folder is private to the test."""
    with Machine(tmp_path).installed() as installed:
        yield installed
