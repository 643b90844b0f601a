"""What `devenv up` says about an isolated project: what was changed, what has old names, which files are missing."""

from __future__ import annotations

import functools
import glob
import itertools
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import anyio

from devenv.compose import resolve
from devenv.compose.files import ComposeFile, text_of
from devenv.compose.isolation import Isolation, commands_on, fixed_addresses, moved_addresses
from devenv.compose.outline import Selection, name_in_files
from devenv.compose.positions import shown, variable_place
from devenv.compose.worktrees import Worktree, git_worktree
from devenv.docker import process
from devenv.events import Emit, Notice
from devenv.model.project import Project
from devenv.paths import is_below, written
from devenv.run.desired import DesiredState
from devenv.state.all_runs import every_runs
from devenv.state.run_dir import began_in, place_of

INCLUDE = ".worktreeinclude"  # which ignored files a new worktree needs, in the syntax of `.gitignore`
SCRIPTS = (
    "Makefile",
    "makefile",
    "justfile",
    "package.json",
    "Taskfile.y*ml",
    "*.sh",
    "*/*.sh",
    "scripts/*",
    "bin/*",
)
SCRIPT_LIMIT = 200
SHOWN = 5


async def report(desired: DesiredState, selection: Selection, emit: Emit, *, is_first: bool) -> None:
    """Report what isolation means for this run; missing files only until the first start has succeeded."""
    isolation, project = desired.loaded.isolation, desired.project
    sources = await anyio.to_thread.run_sync(resolve.selected_files, selection) if desired.auto else ()
    lines = [isolation.words] if isolation is not None and isolation.words else []
    for line in dict.fromkeys([*lines, *stale_addresses(desired, sources)]):
        emit(Notice(line))
    if isolation is None:
        return
    if isolation.containers and (notice := await anyio.to_thread.run_sync(_old_names, project, isolation)):
        emit(notice)
    tree = None if selection.isolated else git_worktree(project.directory)
    for other in _other_runs(project, name_in_files(sources)) if tree else ():
        message = f"this tree is also up as {other}, with the data of that project"
        emit(Notice(message, f"devenv down -p {other}"))
    if tree and is_first and (missing := await _missing(tree, project.directory)):
        names = ", ".join(written(path, project.directory) for path in missing)
        emit(Notice(f"the main worktree has files that this one lacks: {names}", copies(missing, tree, os.getcwd())))


def stale_addresses(desired: DesiredState, sources: Sequence[ComposeFile]) -> Iterator[str]:
    """A line for each variable of a container or a build whose value names a moved port, or a dropped address."""
    changes = {(change.service, change.target): int(change.published) for change in desired.ports}
    moved, isolation = dict(_moved(desired.project, changes)), desired.loaded.isolation
    dropped = isolation.addresses if isolation else frozenset()
    services: Mapping[str, Any] = desired.loaded.model["services"]
    for name in sorted(desired.own) if moved or dropped else ():
        for path in ("environment",), ("build", "args"):
            variables = functools.reduce(lambda value, key: value.get(key) or {}, path, services[name])
            for key, value in variables.items():
                found = [f"{old}, which is {new} in this run" for old, new in moved_addresses(str(value), moved)]
                found += [f"{ip}, which no container has in this run" for ip in fixed_addresses(str(value), dropped)]
                where = shown(variable_place(sources, ("services", name, *path), key)) if found else ""
                yield from (f"{where}: {key} names {what}" for what in found)


def _moved(project: Project, changes: Mapping[tuple[str, int], int]) -> Iterator[tuple[int, int]]:
    """The host ports in the files that were changed, with the new ones."""
    for service in project.services:
        for port in service.ports:
            old, new = port.published or "", changes.get((service.name, port.target))
            if new and old.isdecimal() and int(old) not in (0, new):
                yield int(old), new


def copies(paths: Sequence[str], tree: Worktree, here: str) -> str:
    """The commands that copy the paths from the main worktree; no path exists in this tree."""
    commands = []
    for path in paths:
        source, target = shlex.quote(tree.in_main(path)), os.path.relpath(path, here)
        if not os.path.isdir(folder := os.path.dirname(path)):
            commands.append(f"mkdir -p {shlex.quote(os.path.relpath(folder, here))}")
        is_folder = os.path.isdir(tree.in_main(path))
        commands.append(f"cp {'-R ' if is_folder else ''}{source} {shlex.quote(target)}")
    return " && ".join(dict.fromkeys(commands))


def _old_names(project: Project, isolation: Isolation) -> Notice | None:
    """The notice about hooks and scripts of the project that give docker a dropped container name."""
    hooks = [(hook.where, hook.typed) for hook in project.hooks if hook.service is None]
    found = (path for pattern in SCRIPTS for path in glob.iglob(pattern, root_dir=project.directory))
    scripts = [*itertools.islice(dict.fromkeys(found), SCRIPT_LIMIT)]
    texts = ((path, "\n".join(text_of(path, project.directory))) for path in scripts)
    mentions = [(where, name) for where, text in hooks for _, name in commands_on(text, isolation.containers)]
    for path, text in texts:
        mentions += ((f"{path}:{number}", name) for number, name in commands_on(text, isolation.containers))
    if not mentions:
        return None
    places = [f"{where} ({name})" for where, name in mentions[:SHOWN]]
    places += [f"{len(mentions) - SHOWN} more"] if len(mentions) > SHOWN else []
    _, name = mentions[0]
    hint = f"devenv exec {isolation.containers[name]} ...   (in place of docker exec {name} ...)"
    return Notice(f"docker finds no container of this tree by the names in {', '.join(places)}", hint)


def _other_runs(project: Project, name: str) -> list[str]:
    """The name in the files if a run of that name is up from this folder, as devenv 0.1 did it in a worktree."""
    place = place_of(project.directory)
    return [r.project for _, r in every_runs() if began_in(r, place) and r.project == name != project.name]


async def _missing(tree: Worktree, directory: str) -> list[str]:
    """The paths that only the main worktree has: `.env`, and ignored files that are named in the include file."""
    if not tree.main:
        return []
    wanted = [os.path.join(directory, ".env")]
    include = os.path.join(tree.main, INCLUDE)
    if os.path.isfile(include):
        options = ("--others", "--ignored", "--directory", f"--exclude-from={include}")
        listed = await process.git(tree.main, "ls-files", "-z", *options)
        ignored = await process.git(tree.main, "check-ignore", "-z", "--stdin", stdin=listed) if listed else b""
        names = (os.fsdecode(name).rstrip("/") for name in (ignored or b"").split(b"\0") if name)
        wanted += (os.path.join(tree.root, name) for name in names)
    missing = [path for path in wanted if os.path.exists(tree.in_main(path)) and not os.path.lexists(path)]
    return [path for path in dict.fromkeys(missing) if not any(is_below(path, other) for other in missing)]
