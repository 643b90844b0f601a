"""Reports which paths may have changed on the host. These are only hints: stat decides what happened.

They come from inotify on Linux and from watchfiles elsewhere. Changes without an event (a mapped file, a folder
without a watch, a change made on another machine) are found by looking at all paths in turn: slowly at all times,
every second if there are no events.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import StrEnum
from itertools import chain, islice

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import TaskStatus

from devenv.errors import UsageError
from devenv.paths import is_within
from devenv.sync.host import inotify, scan
from devenv.sync.host.file_state import FileState
from devenv.sync.host.inotify import Debouncer, Inotify
from devenv.sync.host.manifest import Manifest
from devenv.sync.host.scan import Prune

STEP_MS = 5
DEBOUNCE_MS = 100
RETRY_SECONDS = 1.0
SLICE = 0.003  # seconds of CPU at a time, so that no save waits for a look at all paths
SLOW = (10.0, 1 / 600)  # seconds for a look at all paths, and the maximum share of a core
FAST = (1.0, 1 / 25)
AT_ONCE = 1000  # paths that are taken from the known ones for the next slices
MORE_WATCHES = "sudo sysctl fs.inotify.max_user_watches=1048576 fs.inotify.max_user_instances=1024"
LONGER_QUEUE = "if it happens often: sudo sysctl fs.inotify.max_queued_events=131072"
LOCAL = "a project on a disk of this system is watched without delay"

Say = Callable[[str, str], None]
Tell = Callable[[Collection[str]], None]


class Watcher(StrEnum):
    """The source of events; AUTO is the best that the system has.

    POLL is our own look at all paths in turn, not the polling of watchfiles (`force_polling`). The latter only
    compares modification times in whole seconds: with watchfiles 1.3 it missed a changed mode, new content under the
    old time, and the second of two saves within a second.
    """

    AUTO = "auto"
    INOTIFY = "inotify"
    WATCHFILES = "watchfiles"
    POLL = "poll"


class TreeWatcher:
    """Reports paths at and below the roots; `known` are the last seen states. `say` gets messages and hints."""

    def __init__(
        self,
        roots: Iterable[str],
        prune: Prune,
        say: Say,
        known: Manifest,
        watcher: str = Watcher.AUTO,
    ) -> None:
        self._roots = tuple(roots)
        self._prune = prune
        self._say = say
        self._known = known
        self._kind = watcher
        self._watches: Inotify | None = None
        self._rest = Debouncer()
        self._lack: OSError | None = None
        self._pace = FAST if watcher == Watcher.POLL else SLOW
        if watcher == Watcher.INOTIFY and sys.platform != "linux":
            raise UsageError("this system has no inotify", hint="devenv up --watcher auto")

    async def watch(self, tell: Tell, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Report paths that may have changed, until cancelled; started once no change can be missed.

        A folder among them has to be walked. All roots are reported at the beginning and whenever events were lost.
        """
        kind = self._kind
        if kind == Watcher.AUTO:
            kind = Watcher.INOTIFY if sys.platform == "linux" else Watcher.WATCHFILES
            if elsewhere := await anyio.to_thread.run_sync(scan.eventless_filesystem, self._roots):
                self._look_often(f"the sources are on {elsewhere}, which does not report all changes", LOCAL)
        async with anyio.create_task_group() as tasks:
            if kind == Watcher.INOTIFY:
                await tasks.start(self._inotify, tell)
            elif kind == Watcher.WATCHFILES:
                await tasks.start(self._watchfiles, tell)
            else:
                tell(self._roots)
            tasks.start_soon(self._look_at_all, tell)
            task_status.started()

    def is_behind(self) -> bool | None:
        """Whether reports of past changes are still to come; None if only a look at all paths can tell."""
        if self._watches is None or self._lack is not None:
            return None
        return self._watches.has_unread() or self._rest.seconds() is not None

    def enter(self, folder: str, mask: int = inotify.INSIDE) -> None:
        """Watch the folder from now on; called from any thread before the folder is listed."""
        try:
            if self._watches is not None:
                self._watches.add(folder, mask)
        except OSError as error:
            self._lack = error

    async def _inotify(self, tell: Tell, *, task_status: TaskStatus[None]) -> None:
        """Report events until cancelled. If some were lost, start again, so that no watch has an outdated name."""
        while True:
            try:
                self._watches = Inotify()
            except OSError as error:
                self._lack = error
                break
            with contextlib.closing(self._watches):
                self._watch_above(self._roots)
                tell(self._roots)
                task_status.started()
                task_status = anyio.TASK_STATUS_IGNORED
                await self._until_lost(self._watches, tell)
            self._say("events lost, since too much changed at once: everything is checked again", LONGER_QUEUE)
        tell(self._roots)
        task_status.started()

    async def _until_lost(self, watches: Inotify, tell: Tell) -> None:
        self._rest = rest = Debouncer()
        while True:
            with anyio.move_on_after(rest.seconds()):
                await anyio.wait_readable(watches.descriptor)
            batch = watches.read()
            if batch.lost:
                return
            paths = rest.over(batch)
            changed = [root for root in self._roots if is_within(root, *paths)]
            self._watch_above(changed)
            if wanted := {*changed, *(path for path in paths if is_within(path, *self._roots))}:
                tell(wanted)

    def _watch_above(self, roots: Iterable[str]) -> None:
        """Watch the folder whose events report that the root is created or removed, even during this call."""
        for root in roots:
            watched = ""
            while (folder := nearest(root)) != watched:
                self.enter(folder, inotify.ABOVE)
                watched = folder

    async def _watchfiles(self, tell: Tell, *, task_status: TaskStatus[None]) -> None:
        """Report events until cancelled; start again after a failure, or if a root comes, goes or is replaced."""
        while True:
            before, ended = self._places(), anyio.Event()
            folders = [root for root in self._roots if _identity(root)]
            beside = sorted({nearest(root) for root in self._roots if root not in folders})

            def told(paths: set[str], before: object = before, ended: anyio.Event = ended) -> None:
                tell({path for path in paths if is_within(path, *self._roots)})
                if self._places() != before:
                    ended.set()

            async with anyio.create_task_group() as tasks:
                if folders:
                    tasks.start_soon(_pump, folders, told, ended, True)
                if beside:
                    tasks.start_soon(_pump, beside, told, ended, False)
                await anyio.lowlevel.checkpoint()  # both tasks begin; a watcher is active when its task first waits
                tell(self._roots)
                task_status.started()
                task_status = anyio.TASK_STATUS_IGNORED
                try:
                    await ended.wait()
                finally:
                    ended.set()  # also when cancelled: otherwise a watcher's thread runs until its next event

    def _places(self) -> list[object]:
        return [(_identity(root), nearest(root)) for root in self._roots]

    async def _look_at_all(self, tell: Tell) -> None:
        """Look at all known paths in turn, a few milliseconds at a time, and list folders that changed."""
        listed: dict[str, int] = {}
        while True:
            end = time.monotonic() + self._at_pace()[0]
            while time.monotonic() < end and (self._lack is None or self._pace is FAST):  # noqa: ASYNC110 - a thread's
                await anyio.sleep(min(FAST[0], max(0.0, end - time.monotonic())))
            missing = [root for root in self._roots if root not in self._known]
            states: Iterator[tuple[str, FileState | None]] = chain(
                dict.fromkeys(missing).items(), self._known.items()
            )
            while todo := [*islice(states, AT_ONCE)]:
                while todo:
                    changed = await anyio.to_thread.run_sync(
                        scan.differing, todo, self._known, self._prune, listed, SLICE
                    )
                    if changed:
                        tell(changed)
                    await anyio.sleep(SLICE / self._at_pace()[1])

    def _at_pace(self) -> tuple[float, float]:
        if self._lack is not None:
            self._look_often(f"inotify has no more watches ({self._lack.strerror})", MORE_WATCHES)
        return self._pace

    def _look_often(self, reason: str, hint: str) -> None:
        if self._pace is SLOW:
            self._pace = FAST
            self._say(f"{reason}: changes are looked for every second", hint)


def nearest(root: str) -> str:
    """The folder whose events report changes of a root that is a file, a link, or missing."""
    folder = os.path.dirname(root)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


async def _pump(paths: list[str], tell: Callable[[set[str]], None], ended: anyio.Event, recursive: bool) -> None:
    from watchfiles import awatch  # noqa: PLC0415 - on Linux it is memory for nothing

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
            tell({path for _, path in batch})
    except* (OSError, RuntimeError):  # awatch wraps them in groups
        # A name that is not UTF-8, or a removed folder: the watcher has ended, but its roots may exist.
        await anyio.sleep(RETRY_SECONDS)
    ended.set()


def _identity(root: str) -> tuple[int, int] | None:
    """The device and inode of a root that is a folder; else None, since editors replace files."""
    with contextlib.suppress(OSError):
        status = os.lstat(root)
        return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
    return None
