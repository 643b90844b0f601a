"""What the user allows for the images of one run. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What is allowed for this run, in addition to the user's settings file."""

    stand_ins: bool = False
    host_settings: bool = False
