"""The command `devenv`: --version at once, everything else through the app; an error becomes text and exit code."""

from __future__ import annotations

import sys

from devenv import __version__


def main(argv: list[str] | None = None) -> int:
    """The exit code of one command line (without the program's name)."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments == ["--version"]:
        print(f"devenv {__version__}")  # noqa: T201 - the console costs more than the answer
        return 0
    from devenv.cli import app  # noqa: PLC0415 - the version must not pay for the app

    return app.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
