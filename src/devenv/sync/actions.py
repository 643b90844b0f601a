"""What a sync session asks of the project whose containers it serves."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from devenv.model.containers import Container


class ServiceActions(Protocol):
    """Actions on the containers of a service that are more than a sync of files.

    `cause` is what changed, as users know it. `rebuild` and `recreate` raise DevenvError.
    """

    async def rebuild(self, service: str, cause: str) -> None:
        """Build the service's image again and replace its containers."""

    async def recreate(self, service: str, cause: str) -> None:
        """Replace the service's containers by new ones of the same image."""

    def restarting(self, containers: Sequence[Container]) -> AbstractAsyncContextManager[None]:
        """While the context is open, these containers may end: that is no failure of their services."""
        ...
