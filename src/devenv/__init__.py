"""A development environment for Compose projects."""

import os

__version__ = "0.1.0.dev0"


def templates_folder() -> str:
    """The absolute path of the folder with projects/, services/ and images/: in the wheel or in a checkout."""
    return _folder("templates")


def docs_folder() -> str:
    """The absolute path of the folder with the documentation: in the wheel or in a checkout."""
    return _folder("docs")


def state_path() -> str:
    """The path of `$XDG_STATE_HOME/devenv-compose`, which may not exist; see `state.home.state_folder`."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # the specification says to ignore a relative path
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "devenv-compose")


def package_text(path: str) -> str:
    """The text of a file beside the modules, by its path in the package, without the lines that begin with `#`."""
    with open(os.path.join(os.path.dirname(__file__), path), encoding="utf-8") as file:
        return "".join(line for line in file if not line.startswith("#"))


def _folder(name: str) -> str:
    here = os.path.dirname(os.path.abspath(__file__))
    shipped = os.path.join(here, name)
    return shipped if os.path.isdir(shipped) else os.path.normpath(os.path.join(here, "../..", name))
