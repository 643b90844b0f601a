"""Commands in running containers: commands that run to their end, and sessions with a stdin."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio

from devenv import package_text
from devenv.docker import inspect as answers
from devenv.docker.exchange import Exchange, LostError
from devenv.docker.process import OnOutput
from devenv.docker.streams import Frame, Frames, lines
from devenv.docker.transport import LONG_TIMEOUT, CallError, EngineGroup
from devenv.errors import EngineError

CANNOT_RUN = (126, 127)
EXIT_PAUSES = (0.0, 0.05, 0.2, 0.5)
SESSION_MARK = "DEVENV_SESSION"
COMMAND_MARK = "DEVENV_COMMAND"
SHELL = "/bin/sh"
BEST_SHELL = 'for shell in bash zsh ash sh; do command -v "$shell" && exit; done'
PROBES = ("sh", "/busybox/sh", "bash", "/usr/bin/bash")
HAS = 'case $1 in */*) [ -e "$1" ];; *) command -v -- "$1" >/dev/null;; esac || exit 3'
ABSENT = 3
PROBE_SECONDS = 10.0
# For commands of devenv itself: PATH and the loader's variables of an image may name folders that the service can
# write to.
OWN_VARIABLES = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin:/busybox",
    "LC_ALL": "C",
    "LD_PRELOAD": "",
    "LD_LIBRARY_PATH": "",
    "LD_AUDIT": "",
}
LEFTOVERS = package_text("docker/leftovers.sh")


class Session:
    """A running command in a container, with its stdin and output."""

    def __init__(self, answer: Exchange, code: Callable[[], Awaitable[int | None]]) -> None:
        self._answer = answer
        self._frames = Frames(answer)
        self._code = code

    async def send(self, data: bytes) -> None:
        """Write to the command's stdin. Raises ConnectionError if the process has ended."""
        await self._answer.send(data)

    async def receive(self) -> tuple[int, bytes] | None:
        """(1 for stdout or 2 for stderr, bytes), or None if the program could not be started.

        Raises ConnectionAbortedError if the process has ended or the engine is gone.
        """
        with contextlib.suppress(LostError):
            if (frame := await self._frames.next()) is not None:
                return frame
        with contextlib.suppress(EngineError):
            if await self._code() in CANNOT_RUN:
                return None
        raise ConnectionAbortedError


class ContainerExec(EngineGroup):
    """Commands in running containers."""

    @contextlib.asynccontextmanager
    async def session(
        self, container_id: str, argv: Sequence[str], *, user: str, mark: str
    ) -> AsyncIterator[Session]:
        """Run a command with a stdin and `OWN_VARIABLES` while the block lasts."""
        action = "opening a shell in a container"
        variables = {**OWN_VARIABLES, SESSION_MARK: mark}
        options = {"AttachStdin": True, "User": user, "WorkingDir": "/", "Env": _listed(variables)}
        async with contextlib.AsyncExitStack() as stack:
            with self._api.translate_errors(action):
                execution, answer = await stack.enter_async_context(self._start(container_id, argv, action, options))
            yield Session(answer, lambda: self._exit_code(execution, action))

    async def run(
        self,
        container_id: str,
        argv: Sequence[str],
        *,
        user: str = "",
        working_dir: str | None = None,
        environment: Mapping[str, str] | None = None,
        privileged: bool = False,
        mark: str = "",
        timeout: float = LONG_TIMEOUT,
        on_line: OnOutput = lambda _, __: None,
    ) -> tuple[int, str]:
        """Run a command to its end and return its exit code and output; `on_line` gets each line as it comes.

        Raises EngineError after `timeout` seconds.
        """
        action = f"running `{argv[0]}`"
        variables = {**(environment or {}), COMMAND_MARK: mark}
        options = {
            "User": user,
            "WorkingDir": working_dir or "",
            "Env": _listed(variables),
            "Privileged": privileged,
        }
        output: list[bytes] = []
        code = None
        with self._api.translate_errors(action), anyio.move_on_after(timeout) as limit:
            async with self._start(container_id, argv, action, options) as (execution, answer):
                frames = Frames(answer)

                async def read() -> Sequence[Frame]:
                    arrived = await frames.arrived()
                    output.extend(data for _, data in arrived)
                    return arrived

                async for stream, line in lines(read):
                    on_line(line, stream)
            code = await self._exit_code(execution, action)
        if code is None:
            reason = f"not finished after {timeout:.0f} s" if limit.cancelled_caught else "the connection was lost"
            raise EngineError(f"{action}: {reason}; the command may still run in the container")
        return code, b"".join(output).decode(errors="backslashreplace")

    async def end_leftovers(self, container_id: str, *, user: str, privileged: bool, mark: str) -> None:
        """Kill commands that an earlier run started as this user: the engine does not end them with their client."""
        argv = [SHELL, "-c", LEFTOVERS, "sh", COMMAND_MARK, mark]
        with contextlib.suppress(CallError):
            await self.run(container_id, argv, user=user, privileged=privileged, mark=mark, environment=OWN_VARIABLES)

    async def best_shell(self, container_id: str) -> str | None:
        """The path of the best shell in the container; None if it has no shell."""
        for probe in PROBES:
            with contextlib.suppress(CallError):  # raised by some engines for a missing program
                code, output = await self.run(container_id, [probe, "-c", BEST_SHELL], timeout=PROBE_SECONDS)
                if code not in CANNOT_RUN:
                    return output.strip().splitlines()[0] if output.strip() else probe
        return None

    async def lacks(self, container_id: str, program: str) -> bool:
        """Whether the program is missing in the container; False if the container has no `sh` to tell."""
        with contextlib.suppress(CallError):
            code, _ = await self.run(container_id, ["sh", "-c", HAS, "sh", program], timeout=PROBE_SECONDS)
            return code == ABSENT
        return False

    @contextlib.asynccontextmanager
    async def _start(
        self, container_id: str, argv: Sequence[str], action: str, options: Mapping[str, Any]
    ) -> AsyncIterator[tuple[str, Exchange]]:
        config = {"Cmd": list(argv), "AttachStdout": True, "AttachStderr": True, **options}
        created = await self._api.create(f"containers/{container_id}/exec", action, config, answers.object_id)
        execution = f"exec/{created}"
        start: dict[str, Any] = {"body": b'{"Detach": false}', "idle": self._api.idle, "upgrade": True}
        async with self._api.request("POST", f"{execution}/start", action, **start) as answer:
            yield execution, answer

    async def _exit_code(self, execution: str, action: str) -> int | None:
        """The exit code of a command whose output has ended; None if it is still running."""
        for pause in EXIT_PAUSES:  # the engine records an exit a moment after the end of the output
            await anyio.sleep(pause)
            answer = await self._api.ask(f"{execution}/json", action, dict)
            if not answer.get("Running"):
                return int(answer.get("ExitCode") or 0)
        return None


def _listed(variables: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]
