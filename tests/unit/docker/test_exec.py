"""Commands in containers of an engine in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from devenv.docker.exec import COMMAND_MARK, OWN_VARIABLES, SESSION_MARK
from devenv.docker.transport import CallError
from devenv.errors import EngineError
from devenv.model.containers import Container
from support.engine import Container as MemoryContainer
from support.engine import Fails, Fault, MemoryEngine, MemoryHost
from support.memory.played import placed

pytestmark = pytest.mark.anyio


class Box:
    """A running container; each command in it is noted in `asked`, prints `printed` and ends with `code`."""

    def __init__(self) -> None:
        self.host = MemoryHost()
        self.engine = MemoryEngine(self.host)
        self.id = placed(self.host, "web").id
        self.asked: list[Mapping[str, Any]] = []
        self.code = 0
        self.printed: bytes | Sequence[tuple[int, bytes]] = b""
        self.host.execution = self._execute

    def _execute(
        self, _: MemoryContainer, __: Sequence[str], options: Mapping[str, Any]
    ) -> tuple[int, bytes | Sequence[tuple[int, bytes]]]:
        self.asked.append(options)
        return self.code, self.printed

    async def container(self) -> Container:
        """The container as the engine describes it."""
        container = await self.engine.containers.inspect(self.id)
        assert container is not None
        return container


@pytest.fixture
def box() -> Box:
    return Box()


async def test_a_command_that_ran_to_its_end(box: Box) -> None:
    """Its exit code, and its output as a whole and by lines."""
    box.code, box.printed = 3, [(1, b"o\xffne\nt"), (2, b"error\n"), (1, b"wo")]
    lines: list[tuple[str, str]] = []
    result = await box.engine.exec.run(
        box.id,
        ["x", "y"],
        user="0",
        working_dir="/srv",
        environment={"A": "b"},
        mark="m",
        on_line=lambda line, stream: lines.append((stream, line)),
    )
    assert result == (3, "o\\xffne\nterror\nwo")
    assert lines == [("stdout", "o\\xffne"), ("stderr", "error"), ("stdout", "two")]
    (asked,) = box.asked
    assert (asked["Cmd"], asked["User"], asked["WorkingDir"]) == (["x", "y"], "0", "/srv")
    assert asked["Env"] == ["A=b", f"{COMMAND_MARK}=m"]


async def test_a_connection_that_is_lost(box: Box) -> None:
    """The error says that the command may still run."""
    box.printed = [(1, b"a"), (1, b"b")]
    box.engine.faults.on("/start", Fault.LOST)
    with pytest.raises(EngineError, match="cannot reach the Docker engine"):
        await box.engine.exec.run(box.id, ["x"])


async def test_a_container_that_does_not_run(box: Box) -> None:
    box.host.containers[box.id].state = "exited"
    with pytest.raises(CallError, match="is not running"):
        await box.engine.exec.run(box.id, ["x"])
    await box.engine.exec.end_leftovers(box.id, user="0", privileged=False, mark="m")
    assert box.asked == []


async def test_a_session_has_our_own_variables(box: Box) -> None:
    """The image's PATH may lead to files that the service can write. A program that cannot be run says nothing."""
    box.code = 127
    async with box.engine.exec.session(box.id, ["sh"], user="1000", mark="m") as session:
        assert await session.receive() is None
    (asked,) = box.asked
    assert asked["AttachStdin"]
    assert asked["Env"] == [*(f"{name}={value}" for name, value in OWN_VARIABLES.items()), f"{SESSION_MARK}=m"]


async def test_a_session_whose_process_has_ended(box: Box) -> None:
    """Its output is read first."""
    box.printed = b"last words"
    async with box.engine.exec.session(box.id, ["sh"], user="0", mark="m") as session:
        assert await session.receive() == (1, b"last words")
        with pytest.raises(ConnectionAbortedError):
            await session.receive()


async def test_leftover_commands_are_ended_by_a_script(box: Box) -> None:
    """It gets the name of the variable that marks our commands, and the mark of this run."""
    await box.engine.exec.end_leftovers(box.id, user="1000", privileged=True, mark="m")
    (asked,) = box.asked
    assert (asked["Cmd"][-2:], asked["User"], asked["Privileged"]) == ([COMMAND_MARK, "m"], "1000", True)


async def test_the_best_shell(box: Box) -> None:
    """The first line that a probe prints; the probe itself if it prints nothing."""
    box.printed = b"/bin/bash\n/bin/sh\n"
    assert await box.engine.exec.best_shell(box.id) == "/bin/bash"
    box.printed = b""
    box.engine.faults.on("/exec", Fails(400, "executable file not found"))
    assert await box.engine.exec.best_shell(box.id) == "/busybox/sh"
    box.code = 127
    assert await box.engine.exec.best_shell(box.id) is None
