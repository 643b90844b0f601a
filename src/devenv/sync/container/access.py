"""The user whose shell changes files in a container, and the folders that are not behind a foreign link."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Collection, Iterable, Sequence

from devenv.docker.client import Engine
from devenv.errors import EngineError
from devenv.model.containers import Container
from devenv.paths import is_below, relative_to, with_parents
from devenv.sync.container import perl_helper, shell_commands, tar
from devenv.sync.container.shell import ROOT, Shell
from devenv.sync.container.shell_commands import call

DENIED = re.compile("(?i)permission denied|not permitted")


class Access:
    """Access to a container by a shell of the service's user (ids: `owner`), or of root if that user cannot write."""

    def __init__(
        self, engine: Engine, container: Container, owner: tuple[int, int], mark: str, rule_targets: Sequence[str]
    ) -> None:
        self.owner = owner
        self._engine = engine
        self._mark = mark
        self._rule_targets = rule_targets
        self._user = container.user if owner[0] else ROOT
        self._shell: Shell | None = None
        self._is_tried = False
        self.is_closed = False
        self._real_targets: dict[str, str] = {}  # rule target -> real path, for targets behind links created by root

    async def close(self) -> None:
        """Close the shell for good."""
        self.is_closed = True
        if self._shell is not None:
            await self._shell.close()

    @property
    def is_root(self) -> bool:
        """Whether the shell runs as root."""
        return self._user == ROOT

    @property
    def is_broken(self) -> bool:
        """Whether the shell has ended; it may have done more than it has confirmed."""
        return self._shell is not None and self._shell.broken

    @property
    def has_moves(self) -> bool:
        """Whether the target of a rule is behind a link."""
        return bool(self._real_targets)

    async def open(self, container: Container) -> Shell | None:
        """The open shell, or None if the container cannot have one. Raises EngineError if it cannot be opened now."""
        if not container.running:
            return None
        if self._shell is not None and self._shell.broken:
            await self._shell.close()
            self._shell, self._is_tried = None, False
        if not self._is_tried and not self.is_closed:
            for user in dict.fromkeys((self._user, ROOT)):
                self._user = user  # `_resolve_targets` reads it
                self._shell = await Shell.open(
                    self._engine,
                    container.id,
                    self._mark,
                    user=user,
                    check=self._resolve_targets,
                    started_at=container.started_at,
                )
                if self._shell is not None:
                    break
            self._is_tried = True
        if self.is_closed:
            await self.close()
            raise EngineError("")  # no message: another target serves the container now
        return self._shell

    async def _resolve_targets(self, shell: Shell) -> bool:
        failures = await shell.run([call(shell_commands.RESOLVE, target) for target in self._rule_targets])
        real = {self._rule_targets[index]: shell_commands.resolved(text) for index, text in failures.items()}
        self._real_targets = {target: path for target, path in real.items() if path}
        if self.is_root:
            return True
        places = map(self.real, self._rule_targets or ["/"])
        return not await shell.run([call(shell_commands.IS_WRITABLE, place) for place in places])

    async def become_root(self, reasons: Iterable[str]) -> bool:
        """Use root's shell from now on if a reason is "permission denied". Return whether that is a change."""
        if self._shell is None or self.is_root or not any(map(DENIED.search, reasons)):
            return False
        await self._shell.close()
        self._user, self._shell, self._is_tried = ROOT, None, False
        return True

    async def run_as_root(self, container_id: str, commands: Sequence[bytes]) -> dict[int, str]:
        """Like `Shell.run`, in a temporary shell of root. If that cannot be opened, all commands fail."""
        with contextlib.suppress(EngineError):  # a save must not fail for lack of a shell of root
            shell = await Shell.open(self._engine, container_id, f"{self._mark}-root", by_helper=False)
            if shell is not None:
                try:
                    return await shell.run(commands)
                finally:
                    await shell.close()
        return dict.fromkeys(range(len(commands)), "")

    def real(self, path: str) -> str:
        """The real path for a container path below a rule's target as written."""
        return _moved(path, self._real_targets.items())

    def given(self, path: str) -> str:
        """The path below a rule's target as written, for a real path."""
        return _moved(path, ((real, target) for target, real in self._real_targets.items()))

    async def root_only(self, shell: Shell, folders: Collection[str]) -> set[str]:
        """The folders that only root can replace by links: the engine may write files there."""
        wanted = sorted(folders)
        if not wanted or not self.is_root:
            return set()
        failed: Collection[int]
        if shell.has_helper:
            failed = await shell.do([perl_helper.operation(perl_helper.IS_ROOT_ONLY, folder) for folder in wanted])
        else:
            failed = await shell.run([call(shell_commands.IS_ROOT_ONLY, folder) for folder in wanted])
        return {folder for index, folder in enumerate(wanted) if index not in failed}

    async def find_links(
        self, container_id: str, targets: Iterable[str], known: Collection[str], new: Collection[str] = ()
    ) -> dict[str, bool | None]:
        """For each parent folder of the targets, without a shell: whether it is a link, None if it is missing.

        `known` are folders that need no check; `new` are those among them that have no folders but known ones. If
        the service runs as root, links at and above the targets of the rules are accepted, since only root can have
        created them: such folders are left out if they exist.
        """
        seen: dict[str, bool | None] = {}
        inner = {posixpath.dirname(target) for target in targets}
        for folder in sorted(with_parents(inner).difference(known, ["/"])):
            outer = None if posixpath.dirname(folder) in new else seen.get(posixpath.dirname(folder), False)
            if outer is None or outer:
                seen[folder] = outer
            else:
                is_link = await self._engine.archive.is_link(container_id, folder)
                targets_of_root = self._rule_targets if self.is_root else ()
                if is_link is None or not targets_of_root or any(is_below(folder, top) for top in targets_of_root):
                    seen[folder] = is_link
        return seen


def _moved(path: str, moves: Iterable[tuple[str, str]]) -> str:
    for source, target in sorted(moves, key=lambda move: -len(move[0])):
        inside = relative_to(path, source)
        if inside is not None:
            return f"{target.rstrip('/')}/{inside}" if inside else target
    return path


async def owner(engine: Engine, container: Container) -> tuple[int, int]:
    """The uid and gid of the container's user; names are looked up in the image's passwd and group files."""
    user, _, group = container.user.partition(":")
    if user in ("", "0", "root") and group in ("", "0", "root"):
        return 0, 0
    uid, gid = user, group
    if not user.isdigit() or not group:
        passwd = await _table(engine, container, "/etc/passwd")
        row = next((r for r in passwd if user in (r[0], r[2])), None)
        uid = row[2] if row else user
        gid = group or (row[3] if row else "0")
    if not gid.isdigit():
        rows = await _table(engine, container, "/etc/group")
        gid = next((r[2] for r in rows if r[0] == gid), "0")
    return (int(uid) if uid.isdigit() else 0), int(gid)


async def _table(engine: Engine, container: Container, path: str) -> list[list[str]]:
    data = await engine.archive.get(container.id, path)
    text = tar.content(data).decode(errors="replace") if data else ""
    return [row for row in (line.split(":") for line in text.splitlines()) if len(row) > 3]  # noqa: PLR2004
