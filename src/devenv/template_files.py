"""Where the templates are: inside the wheel, or beside the sources in a checkout.

On the lowest floor, since both `images` and `scaffold` read them.
"""

from __future__ import annotations

import os


def templates_folder() -> str:
    """The absolute path of the folder that holds projects/, services/ and images/."""
    here = os.path.dirname(os.path.abspath(__file__))
    shipped = os.path.join(here, "templates")
    return shipped if os.path.isdir(shipped) else os.path.normpath(os.path.join(here, "../../templates"))
