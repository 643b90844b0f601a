"""A development environment for Compose projects."""

import os

__version__ = "0.1.0.dev0"


def templates_folder() -> str:
    """The absolute path of the folder with projects/, services/ and images/: in the wheel or in a checkout."""
    return _folder("templates")


def docs_folder() -> str:
    """The absolute path of the folder with the documentation: in the wheel or in a checkout."""
    return _folder("docs")


def _folder(name: str) -> str:
    here = os.path.dirname(os.path.abspath(__file__))
    shipped = os.path.join(here, name)
    return shipped if os.path.isdir(shipped) else os.path.normpath(os.path.join(here, "../..", name))
