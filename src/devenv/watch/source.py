"""Host events as sets of paths. They are hints only: stat decides what happened."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable

import anyio
from watchfiles import awatch

STEP_MS = 5
DEBOUNCE_MS = 100
RETRY_SECONDS = 1.0


async def changes(roots: Iterable[str], stop: anyio.Event) -> AsyncIterator[frozenset[str]]:
    """Sets of absolute paths below (or equal to) the roots that may have changed, until `stop`.

    A root in a set means that anything below it may have changed: after the watcher had to begin anew, and for
    a root that was not there before.
    """
    roots = tuple(roots)
    while not stop.is_set():
        missing = frozenset(root for root in roots if not os.path.lexists(root))
        async for found in _watched(roots, missing, stop):
            yield found
        if not stop.is_set():
            yield frozenset(roots)


async def _watched(
    roots: tuple[str, ...], missing: frozenset[str], stop: anyio.Event
) -> AsyncIterator[frozenset[str]]:
    """Events until `stop`, until a missing root appears, or until the watcher fails."""
    folders = [root for root in roots if os.path.isdir(root) and not os.path.islink(root)]
    beside = sorted({_nearest(root) for root in roots if root not in folders})
    send, receive = anyio.create_memory_object_stream[frozenset[str]](100)
    async with anyio.create_task_group() as tasks:
        ended = anyio.Event()

        async def pump(paths: list[str], *, recursive: bool) -> None:
            try:
                async for batch in awatch(
                    *paths,
                    watch_filter=None,
                    debounce=DEBOUNCE_MS,
                    step=STEP_MS,
                    stop_event=ended,
                    recursive=recursive,
                    ignore_permission_denied=True,
                    raise_interrupt=False,
                ):
                    await send.send(frozenset(path for _, path in batch))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the other watcher has ended: all begins anew, with a look at everything
            except (OSError, RuntimeError):
                # A name that is not UTF-8, a folder that went away: the watcher is dead, its roots are not.
                await anyio.sleep(RETRY_SECONDS)
            ended.set()

        async def until_stopped() -> None:
            try:
                await stop.wait()
            finally:
                # Also when cancelled: a watcher's thread looks at nothing else until its next event.
                ended.set()

        async def until_ended() -> None:
            await ended.wait()
            send.close()

        if folders:
            tasks.start_soon(lambda: pump(folders, recursive=True))
        if beside:
            tasks.start_soon(lambda: pump(beside, recursive=False))
        tasks.start_soon(until_stopped)
        tasks.start_soon(until_ended)
        async with receive:
            async for found in receive:
                wanted = frozenset(p for p in found if _below(p, roots))
                if wanted:
                    yield wanted
                if any(os.path.lexists(root) for root in missing):
                    break
        ended.set()
        tasks.cancel_scope.cancel()


def _nearest(root: str) -> str:
    """The folder whose events tell of a root that is a file, a link, or not there yet."""
    folder = os.path.dirname(root)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(f"{root.rstrip('/')}/") for root in roots)
