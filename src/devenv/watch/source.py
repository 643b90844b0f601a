"""Host events as sets of paths. They are hints only: stat decides what happened."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterable

import anyio
from watchfiles import awatch

from devenv.concurrent import first

STEP_MS = 5
DEBOUNCE_MS = 100
RETRY_SECONDS = 1.0


async def changes(roots: Iterable[str], stop: anyio.Event) -> AsyncIterator[frozenset[str]]:
    """Sets of absolute paths below (or equal to) the roots that may have changed, until `stop`.

    A root in a set means that anything below it may have changed. All roots come first, once the watcher stands
    (what is looked at from then on misses nothing), and again whenever it had to begin anew.
    """
    roots = tuple(roots)
    while not stop.is_set():
        async for found in _watched(roots, stop):
            yield found


async def _watched(roots: tuple[str, ...], stop: anyio.Event) -> AsyncIterator[frozenset[str]]:
    """Events until `stop`, until a root appears, goes or is another folder, or until the watcher fails."""
    before = [_identity(root) for root in roots]
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
                ):
                    await send.send(frozenset(path for _, path in batch))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the other watcher has ended: all begins anew, with a look at everything
            except Exception as error:
                if not isinstance(first(error), (OSError, RuntimeError)):  # awatch wraps them in groups
                    raise
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
        # Tasks begin in this order, and a watcher stands when its task first waits.
        tasks.start_soon(send.send, frozenset(roots))
        tasks.start_soon(until_stopped)
        tasks.start_soon(until_ended)
        async with send, receive:
            async for found in receive:
                wanted = frozenset(p for p in found if _below(p, roots))
                if wanted:
                    yield wanted
                if [_identity(root) for root in roots] != before:
                    break
        ended.set()
        tasks.cancel_scope.cancel()


def _identity(root: str) -> tuple[int, int] | bool:
    """What a watch on a folder hangs on; of all else, whether it is there: editors replace files all the time."""
    try:
        found = os.lstat(root)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else True


def _nearest(root: str) -> str:
    """The folder whose events tell of a root that is a file, a link, or not there yet."""
    folder = os.path.dirname(root)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(f"{root.rstrip('/')}/") for root in roots)
