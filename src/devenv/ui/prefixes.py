"""The names of services before the lines of their logs."""

from __future__ import annotations

from devenv.ui import cells
from devenv.ui.writer import Painted

PALETTE = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)
WIDEST_PREFIX = 20


class Prefixes:
    """The names of services before the lines of their logs: of equal width, in different colours."""

    def __init__(self) -> None:
        self.width = 0
        self._colours: dict[str, int] = {}
        self._known: dict[str, Painted] = {}  # of this width

    def __getitem__(self, service: str) -> Painted:
        return self._known.get(service) or self._new(service)

    def widen(self, *services: str) -> None:
        """Make all prefixes wide enough for these names."""
        width = max(self.width, *(min(len(name), WIDEST_PREFIX) for name in services), 0)
        if width > self.width:
            self.width = width
            self._known.clear()

    def _new(self, service: str) -> Painted:
        self.widen(service)
        colour = self._colours.setdefault(service, PALETTE[len(self._colours) % len(PALETTE)])
        prefix = self._known[service] = Painted(f"{cells.clean(service):<{self.width}} │ ", colour)
        return prefix
