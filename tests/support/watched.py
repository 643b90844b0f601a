"""A watched tree: the state of the host as a sync session keeps it.

As a script, `watched.py ROOT WATCHER IGNORED UID` answers each line on standard input, once all is known, with the
errors, the messages and the state; so tests can stop it, limit it, or run it as another user.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path

import anyio

from devenv.sync.host import manifest, scan
from devenv.sync.host.manifest import Manifest
from devenv.sync.host.watcher import TreeWatcher


def everything(_folder: str) -> bool:
    """No folder is ignored."""
    return False


class Watched:
    """The messages, changes and state of one or more roots since the watcher started."""

    def __init__(self, *roots: Path, watcher: str = "auto", prune: Callable[[str], bool] = everything) -> None:
        self.roots = [str(root) for root in roots]
        self.prune = prune
        self.known = Manifest()
        self.reported: set[str] = set()
        self.messages: list[str] = []
        self.seen: dict[str, int] = {}  # how often each path was reported as changed
        self.source = TreeWatcher(self.roots, prune, self._say, self.known, watcher)
        self._raw: set[str] = set()
        self._arrived = anyio.Event()

    def _say(self, message: str, hint: str) -> None:
        self.messages.append(f"{message} | {hint}")

    def _tell(self, paths: Collection[str]) -> None:
        self._raw.update(paths)
        self._arrived.set()

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Run as a sync session does: the watcher, a scan, then rescans."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.source.watch, self._tell)
            assert self._raw >= set(self.roots), "all roots come first"
            self._arrived, self._raw = anyio.Event(), set()
            args = (self.prune, self.source.enter)
            self.known.update(await anyio.to_thread.run_sync(scan.scan, self.roots, *args))
            task_status.started()
            while True:
                await self._arrived.wait()
                self._arrived = anyio.Event()
                paths, self._raw = self._raw, set()
                fresh = await anyio.to_thread.run_sync(scan.look, paths, self.known, *args)
                changes = manifest.diff(self.known, fresh)
                manifest.apply(self.known, changes)
                for path, _ in (*changes.present, *changes.gone):
                    self.seen[path] = self.seen.get(path, 0) + 1
                self.reported |= paths

    def wrong(self) -> list[str]:
        """The paths whose known state is wrong."""
        known, now = Manifest(self.known), scan.scan(self.roots, self.prune)
        changes = manifest.diff(known, {**dict.fromkeys(known), **now})
        return [path for path, _ in (*changes.present, *changes.gone)]

    async def until(self, met: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait until the condition is met."""
        with anyio.fail_after(seconds):
            while not met():  # noqa: ASYNC110 - the file system has no such event
                await anyio.sleep(0.005)

    async def until_right(self, seconds: float = 10.0) -> None:
        """Wait until the known state is exact."""
        with anyio.move_on_after(seconds):
            while self.wrong():  # noqa: ASYNC110 - the file system has no such event
                await anyio.sleep(0.05)
        wrong = self.wrong()
        assert not wrong, f"{len(wrong)} wrong, among them {wrong[:3]}"


@contextlib.asynccontextmanager
async def watching(
    *roots: Path, watcher: str = "auto", prune: Callable[[str], bool] = everything
) -> AsyncIterator[Watched]:
    """Watch the roots, fully scanned, for the block."""
    watched = Watched(*roots, watcher=watcher, prune=prune)
    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(30):
            await tasks.start(watched.run)
        yield watched
        tasks.cancel_scope.cancel()


def kernel_watches() -> int:
    """The number of inotify watches of this process, as the kernel counts them."""
    count = 0
    for number in os.listdir("/proc/self/fdinfo"):
        with contextlib.suppress(OSError):
            count += Path(f"/proc/self/fdinfo/{number}").read_text().count("inotify wd:")
    return count


async def _answer(root: str, watcher: str, ignored: str, uid: str) -> None:
    if int(uid):  # only now: this user may not be able to read the interpreter
        os.setgroups([])
        os.setgid(int(uid))
        os.setuid(int(uid))
    begun = time.monotonic()
    async with watching(
        Path(root), watcher=watcher, prune=lambda folder: os.path.basename(folder) == ignored
    ) as site:
        print(json.dumps({"seconds": time.monotonic() - begun}), flush=True)  # noqa: T201 - for the test
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            with anyio.move_on_after(float(line)):
                while await anyio.to_thread.run_sync(site.wrong):  # noqa: ASYNC110 - there is no such event
                    await anyio.sleep(0.05)
            answer = {
                "wrong": [os.fsencode(path).decode("ascii", "backslashreplace") for path in site.wrong()],
                "messages": site.messages,
                "watches": kernel_watches(),
                "known": len(site.known),
                "reported": len(site.reported),
            }
            print(json.dumps(answer), flush=True)  # noqa: T201 - for the test


if __name__ == "__main__":
    anyio.run(lambda: _answer(*sys.argv[1:]))
