"""Work done at the same time whose failure is one plain error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup

from devenv.errors import DevenvError


@asynccontextmanager
async def together() -> AsyncIterator[TaskGroup]:
    """A task group that raises the first DevenvError as itself, not wrapped in groups."""
    failure: DevenvError | None = None
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        failure = next(_plain(group), None)
        if failure is None:
            raise
    if failure:
        raise failure


def _plain(group: BaseExceptionGroup[BaseException]) -> Iterator[DevenvError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _plain(error)
        elif isinstance(error, DevenvError):
            yield error
