"""A large file put into a container while it is read, by whichever way leads there."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from devenv.docker.client import Engine
from devenv.sync.container import perl_helper, shell_commands
from devenv.sync.container.access import do, run
from devenv.sync.container.archive import Item
from devenv.sync.container.large import Large
from devenv.sync.container.shell import Shell

MOST_BY_SHELL = 1 << 30  # bytes: a shell without perl writes some ten megabytes a second
TOO_LARGE = "too large for a container whose image has no perl, and whose service is not root"
NOT_WRITTEN = "it cannot be written"


@dataclass(frozen=True, slots=True)
class Way:
    """`shell`: through it, since somebody else than root could put a link there; None: by the archive request."""

    engine: Engine
    container: str
    shell: Shell | None
    is_root: bool


async def put(way: Way, item: Item, target: str, owner: tuple[int, int]) -> int:
    """The file put at the item's path, by a shell then renamed to its target; the bytes of its content.

    Raises OSError if the file cannot be read as a whole or the container does not take it, and CallError.
    """
    uid, gid = owner
    async with Large(item, uid=uid, gid=gid) as file:
        if way.shell is None:
            await way.engine.archive.put(way.container, file.packed(), size=file.size)
            await file.verify()
        elif way.shell.has_helper:
            await _by_helper(way.shell, file, item.path, target)
        else:
            await _by_shell(way, way.shell, file, item.path, target)
        return file.size


async def _by_helper(shell: Shell, file: Large, place: str, target: str) -> None:
    _must(await do(shell, [perl_helper.begin(place)]))
    async for piece in file.content():
        _must(await do(shell, [perl_helper.more(piece)]))
    await file.verify()
    _must(await do(shell, [perl_helper.finish(file.entry, place, target)]))


async def _by_shell(way: Way, shell: Shell, file: Large, place: str, target: str) -> None:
    if file.size > MOST_BY_SHELL:
        raise OSError(0, TOO_LARGE)
    stage, owner = posixpath.basename(place), (file.entry.uid, file.entry.gid)
    enter, begin, *rest = (o for o, _ in shell_commands.puts(stage, {target: file.entry}, owner, as_root=way.is_root))
    _must(await run(shell, [enter, begin]))
    async for piece in file.content():
        _must(await run(shell, shell_commands.more(stage, target, piece)))
    await file.verify()
    _must(await run(shell, rest))


def _must(failures: list[int] | dict[int, str]) -> None:
    """Raises OSError if anything has failed, with the first reason."""
    if failures:
        reason = next(iter(failures.values())) if isinstance(failures, dict) else ""
        raise OSError(0, reason or NOT_WRITTEN)
