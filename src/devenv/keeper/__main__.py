"""The program of a keeper, `python -m devenv.keeper FOLDER EARLY [LOCK]`, which holds the run of a folder."""

from __future__ import annotations

import os
import sys

import anyio

from devenv.keeper.keep import Keeper
from devenv.state.run_dir import Run


def main(argv: list[str]) -> int:
    """Keep the run of that folder until it ends.

    `EARLY` is the number of keepers before this one that did not live for long, `LOCK` the descriptor of the
    project's lock if this process has it already.
    """
    folder, early, *locks = argv[1:]
    lock = int(locks[0]) if locks else None
    if lock is not None:
        os.set_inheritable(lock, False)
    return anyio.run(Keeper(Run(folder), int(early), lock).run)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
