"""The program of a keeper, `python -m devenv.keeper FOLDER EARLY [LOCK [LINE]]`, which holds the run of a folder."""

from __future__ import annotations

import os
import sys

import anyio

from devenv.keeper.keep import Keeper
from devenv.state.run_dir import Run


def main(argv: list[str]) -> int:
    """Keep the run of that folder until it ends.

    `EARLY` is the number of keepers before this one that did not live for long, `LOCK` the descriptor of the
    project's lock if this process has it already, and `LINE` the folder of the line that it inherits, if any.
    """
    folder, early, *inherited = argv[1:]
    lock = int(inherited[0]) if inherited else None
    if lock is not None:
        os.set_inheritable(lock, False)
    return anyio.run(Keeper(Run(folder), int(early), lock, "".join(inherited[1:])).run)


if __name__ == "__main__":
    code = main(sys.argv)
    sys.stdout.flush()
    os._exit(code)  # taking the interpreter down takes longer than all else, and a `devenv down` may be waiting
