"""Host events as sets of paths. They are hints only: stat decides what happened.

On Linux they come from inotify itself; from watchfiles elsewhere, and where the kernel has no watches left.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import AsyncGenerator, Callable, Iterable

import anyio
from watchfiles import awatch

from devenv.concurrent import first
from devenv.watch import inotify
from devenv.watch.inotify import Prune, below, nearest

STEP_MS = 5
DEBOUNCE_MS = 100
RETRY_SECONDS = 1.0
MORE_WATCHES = "sudo sysctl fs.inotify.max_user_watches=1048576 fs.inotify.max_user_instances=1024"

Say = Callable[[str, str], None]


async def changes(
    roots: Iterable[str], prune: Prune, say: Say, *, portable: bool = sys.platform != "linux"
) -> AsyncGenerator[frozenset[str], None]:
    """Sets of absolute paths below (or equal to) the roots that may have changed, until cancelled.

    A root in a set means that anything below it may have changed. All roots come first, once the watcher stands
    (what is looked at from then on misses nothing), and again whenever events were lost or it had to begin anew.
    `say` gets a message and a hint where Linux has no inotify left for us.
    """
    roots = tuple(roots)
    if not portable:
        try:
            async with contextlib.aclosing(inotify.changes(roots, prune)) as batches:
                async for found in batches:
                    yield found
        except OSError as error:
            say(f"inotify has no more watches ({error.strerror}): saves arrive a little later", MORE_WATCHES)
    while True:
        async with contextlib.aclosing(_watched(roots)) as batches:
            async for found in batches:
                yield found


async def _watched(roots: tuple[str, ...]) -> AsyncGenerator[frozenset[str], None]:
    """Events until a root appears, goes or is another folder, or until the watcher fails."""
    before = [_identity(root) for root in roots]
    folders = [root for root in roots if os.path.isdir(root) and not os.path.islink(root)]
    beside = sorted({nearest(root) for root in roots if root not in folders})
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

        async def until_ended() -> None:
            try:
                await ended.wait()
                send.close()
            finally:
                # Also when cancelled: a watcher's thread looks at nothing else until its next event.
                ended.set()

        if folders:
            tasks.start_soon(lambda: pump(folders, recursive=True))
        if beside:
            tasks.start_soon(lambda: pump(beside, recursive=False))
        # Tasks begin in this order, and a watcher stands when its task first waits.
        tasks.start_soon(send.send, frozenset(roots))
        tasks.start_soon(until_ended)
        async with send, receive:
            async for found in receive:
                wanted = frozenset(p for p in found if below(p, roots))
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
