"""Random sequences of commands, crashes and plain Compose: no data is lost or silently outdated."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
from pathlib import Path

import anyio
import pytest

from support.campaign import campaign

MEMORY = "/dev/shm"
SEQUENCES = 15


def seeds(count: int) -> list[int]:
    """Random seeds that a failure prints, or the seed in `DEVENV_TEST_SEED`."""
    chosen = os.environ.get("DEVENV_TEST_SEED")
    return [int(chosen)] if chosen else random.SystemRandom().sample(range(10**9), count)


def run(folder: Path, count: int) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        for seed in seeds(count):
            anyio.run(campaign, folder / "campaign", seed)


def test_few_random_sequences(tmp_path: Path) -> None:
    """A few sequences; the long run has thousands."""
    run(tmp_path, SEQUENCES)


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
def test_many_random_sequences(tmp_path: Path, part: int) -> None:
    """1,500 sequences, in memory, with a disk only for files that need one."""
    folder = Path(MEMORY, f"devenv-campaign-{os.getpid()}-{part}")
    try:
        run(folder if os.path.isdir(MEMORY) else tmp_path, 150)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
