"""Screens of the live view to compare with; run as a program it writes them again; look at the difference then."""

from __future__ import annotations

import time
from pathlib import Path

from support import stories
from support.terminal import Terminal

GOLDEN = Path(__file__).parent / "golden"
STORY_SIZES = ((80, 24), (120, 40), (300, 60))


def environment() -> dict[str, str | None]:
    """A terminal with colours and a user."""
    paths = [str(Path(__file__).parents[4] / folder) for folder in ("src", "tests")]
    none: dict[str, str | None] = dict.fromkeys(("CI", "NO_COLOR", "FORCE_COLOR", "STORY_FAULT"))
    return none | {"TERM": "xterm-256color", "PYTHONPATH": ":".join(paths)}


def main() -> None:
    """Write every screen."""
    import sys  # noqa: PLC0415 - only as a program

    GOLDEN.mkdir(parents=True, exist_ok=True)
    for story in stories.STORIES:
        argv = (sys.executable, stories.__file__, story)
        for columns, rows in STORY_SIZES:
            with Terminal(*argv, cwd=Path.cwd(), env=environment(), size=(columns, rows)) as terminal:
                time.sleep(3)
                path = GOLDEN / f"{story}-{columns}x{rows}.txt"
                path.write_text(terminal.screen(columns, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
