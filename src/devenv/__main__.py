"""The command `devenv`: `--version`, completion and the bare status without typer, the rest through `cli.main`."""

from __future__ import annotations

import atexit
import gc
import os
import sys

from devenv import __version__
from devenv.cli.lazy import LazyImports

with LazyImports():  # `--version` needs none of these
    from devenv.cli import main as app
    from devenv.cli.commands import completion, show


def main(argv: list[str] | None = None) -> int:
    """Run a command line (without the program's name) and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments == ["--version"]:
        print(f"devenv {__version__}")  # noqa: T201 - the console takes longer than the answer
        return 0
    _open_standard_streams()
    if arguments[:1] == ["__complete"]:
        print("\n".join(completion.candidates(arguments[1:])))  # noqa: T201 - as above
        return 0
    atexit.register(gc.freeze)  # no collection at exit: it takes longer than `--version`
    if not arguments:
        return show.bare()
    return app.run(arguments)


def _open_standard_streams() -> None:
    """Open closed standard streams as /dev/null: the first socket would get their descriptor otherwise."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)  # open returns the lowest free one, mostly this
            mode = "r" if descriptor == 0 else "w"
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115 - open until exit


if __name__ == "__main__":
    sys.exit(main())
