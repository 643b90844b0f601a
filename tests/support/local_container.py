"""A container whose file system and shells are those of this machine, for tests of the sync that need no engine."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import stat
import subprocess
import tarfile
from collections.abc import AsyncIterable, AsyncIterator, Callable
from pathlib import Path

import anyio
import anyio.abc

from devenv.docker.endpoint import Endpoint
from devenv.docker.exchange import Body
from devenv.docker.transport import CallError
from devenv.model.containers import Container
from devenv.sync.container.shell import ROOT

MARK = f"m{secrets.token_hex(8)}"  # a shell ends earlier ones with its mark, but not those of another test run
TOOLS = ("sh", "mv", "rm", "rmdir", "mkdir", "chown", "chmod", "ls", "ln", "cat", "touch", "readlink", "grep")


class LocalSession:
    """Stands for `docker.client.Session`: the shell is a child process on this machine."""

    def __init__(self, child: anyio.abc.Process) -> None:
        self.child = child

    async def send(self, data: bytes) -> None:
        """Write to the standard input of the shell. Raises ConnectionError if it has ended."""
        assert self.child.stdin is not None
        try:
            await self.child.stdin.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionResetError from error

    async def receive(self) -> tuple[int, bytes] | None:
        """The next output of the shell, None at its end."""
        assert self.child.stdout is not None
        try:
            return 1, await self.child.stdout.receive()
        except anyio.EndOfStream:
            return None


class LocalEngine:
    """Stands for `docker.client.Engine` and its groups: opens sessions on this machine, or raises the error."""

    def __init__(self, argv: list[str], error: Exception | None = None) -> None:
        self.argv = argv
        self.error = error
        self.children: list[anyio.abc.Process] = []
        self.archive = self.containers = self.exec = self

    async def inspect(self, number: str) -> Container:
        """A running container of that id."""
        return Container(id=number, name=number, service="web", state="running", ours=True)

    def argv_for(self, _user: str) -> list[str]:
        """The command of a session of this user."""
        return self.argv

    @contextlib.asynccontextmanager
    async def session(self, _id: str, argv: list[str], *, user: str, mark: str) -> AsyncIterator[LocalSession]:
        """A shell as a child process."""
        assert argv[1] == "-s"
        assert argv[2].startswith("DEVENV_SESSION=m")
        assert mark
        if self.error is not None:
            raise self.error
        async with await anyio.open_process(self.argv_for(user), stderr=subprocess.STDOUT) as child:
            self.children.append(child)
            yield LocalSession(child)


class LocalContainer(LocalEngine):
    """A `LocalEngine` with the archive requests: container paths are paths of this machine.

    `archived` are the paths that archive requests have written. `on_put` is called before each.
    """

    def __init__(self, argv: list[str], user_argv: list[str] | None = None) -> None:
        super().__init__(argv)
        self.user_argv = user_argv or argv
        self.endpoint = Endpoint("unix:///local")
        self.archived: list[str] = []
        self.on_put: Callable[[], None] = lambda: None

    def argv_for(self, user: str) -> list[str]:
        """The command of root's shell, or of another user's."""
        return self.argv if user == ROOT else self.user_argv

    async def put(self, _id: str, tar: Body, *, size: int = 0) -> None:
        """Extract an archive at the root. Raises CallError if a file is to replace a folder."""
        assert size >= 0
        self.on_put()
        data = b"".join([piece async for piece in tar]) if isinstance(tar, AsyncIterable) else bytes(tar)
        with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
            for info in archive:
                path = f"/{info.name}"
                if os.path.isdir(path) and not os.path.islink(path) and not info.isdir():
                    raise CallError(400, f'cannot overwrite directory "{path}" with non-directory "/"', "writing")
                try:
                    archive.extract(info, "/", filter="fully_trusted")
                except OSError as error:
                    raise CallError(500, str(error), "writing") from error
                self.archived.append(path)

    async def get(self, _id: str, _path: str) -> bytes | None:
        """None: there is no table of users."""
        return None

    async def is_link(self, _id: str, path: str) -> bool | None:
        """Whether the path is a link; None if there is nothing."""
        with contextlib.suppress(OSError):
            return stat.S_ISLNK(os.lstat(path).st_mode)
        return None


def shell_without_perl(folder: Path) -> list[str]:
    """The command of a shell that finds the tools of a small image but no perl; the folder gets links to them."""
    folder.mkdir(exist_ok=True)
    for tool in TOOLS:
        if (path := shutil.which(tool)) and not (folder / tool).exists():
            (folder / tool).symlink_to(path)
    return [str(shutil.which("env")), f"PATH={folder}", str(shutil.which("sh"))]
