"""What somebody consents to for one run. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is consented to for this run, besides what the user's own file says."""

    stand_ins: bool = False
    host_settings: bool = False
