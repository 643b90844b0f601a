"""A worker is healthy that has looked for a job a moment ago. As a program, the health check."""

import sys
import time
from pathlib import Path

BEAT = Path("/tmp/worker.beat")
OLDEST = 30  # seconds: longer than any job takes


def beat() -> None:
    BEAT.touch()


def is_healthy() -> bool:
    return BEAT.exists() and time.time() - BEAT.stat().st_mtime < OLDEST


if __name__ == "__main__":
    sys.exit(not is_healthy())
