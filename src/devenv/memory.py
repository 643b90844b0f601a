"""What a large piece of work took, given back when it is over."""

from __future__ import annotations

import contextlib
import ctypes
import gc


def settle() -> None:
    """No garbage is kept, freed memory is the system's again, and what lives now is not looked through any more.

    The last is for speed: to look through the states of a large tree holds up a save for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(AttributeError, OSError):  # the GNU C library has it, others need none
        ctypes.CDLL(None).malloc_trim(0)
