"""The line to an engine on another machine, with a program in place of ssh."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from devenv.docker import context, process, ssh_lines
from devenv.docker.connection import dial
from devenv.docker.endpoint import Endpoint, resolve
from devenv.errors import EngineError
from devenv.events import Event, Notice
from devenv.remote.folder import LineFolder
from devenv.remote.forwards import Forward
from devenv.remote.line import SOON, Line, LineState, begun, left, line
from devenv.remote.ssh import Remote

pytestmark = pytest.mark.anyio

# Answers at the socket that it is to listen at; by the name of the machine, it fails in one of several ways.
# The shell starts Python: the path of an interpreter after #! cannot have a space.
FAKE = f"""#!/bin/sh
"exec" "{sys.executable}" "-S" "$0" "$@"
import os, socket, sys
host, log = sys.argv[-1], os.environ["FAKE_SSH_LOG"]
with open(log, "a") as file:
    print(os.getpid(), *sys.argv[1:], file=file)
if "-M" not in sys.argv:
    if "forward" in sys.argv and any(":81:" in word for word in sys.argv):
        sys.exit("mux_client_forward: forwarding request failed: Port forwarding failed")
    print("\\n\\nunix:///elsewhere" if "rootless" in sys.argv else "usable")
    sys.exit()
if host == "refused":
    sys.exit("ann@refused: Permission denied (publickey).")
path, _, remote = sys.argv[sys.argv.index("-L") + 1].partition(":")
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
while True:
    connection = listener.accept()[0]
    if host == "far" or remote == "/elsewhere":
        if connection.recv(1000):  # nothing from one that only looks whether somebody listens
            connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nOK")
    else:
        print("channel 2: open failed: administratively prohibited: open failed", file=sys.stderr, flush=True)
    connection.close()
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """Put the program on PATH; the calls until now, each with the pid before its arguments."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/ssh"
    program.write_text(FAKE, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SSH_LOG", str(tmp_path / "log"))
    monkeypatch.setattr(ssh_lines, "base", lambda: f"/tmp/devenv-test-{os.getpid()}")
    return lambda: [row.split() for row in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]


def nothing(event: Event) -> None:
    """Expect no event."""
    raise AssertionError(event)


async def test_another_kind_of_address() -> None:
    """It has no line, and nothing is started."""
    endpoint = Endpoint("tcp://far:2376")
    async with line(endpoint, nothing) as (reached, opened):
        assert (reached, opened) == (endpoint, None)


async def test_children_use_the_line(calls: Callable[[], list[list[str]]]) -> None:
    """They find its socket in their environment; who the engine is does not change; nothing is left afterwards."""
    async with line(Endpoint("ssh://far", "office"), nothing) as (reached, opened):
        assert (reached.host, reached.context) == ("ssh://far", "office")
        assert opened is not None
        assert opened.state.is_up
        assert reached.dialled == opened.socket
        assert reached.docker_command("ps") == ["docker", "--host", f"unix://{opened.socket}", "ps"]
        done = await process.run(["sh", "-c", 'echo "$DOCKER_HOST:$DOCKER_CONTEXT"'])
        assert done.text.strip() == f"unix://{opened.socket}:"
    assert process.surroundings() == dict(os.environ)
    assert not os.path.exists(os.path.dirname(opened.socket))
    ((pid, *_),) = calls()
    assert process.start_time(int(pid)) is None


async def test_other_commands_borrow_the_line(
    calls: Callable[[], list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They find it by the engine's address while it is up, and go another way once it has ended."""
    monkeypatch.setenv("DOCKER_HOST", "ssh://far")
    assert await resolve() == Endpoint("ssh://far")
    async with line(Endpoint("ssh://far"), nothing) as (reached, _):
        borrowed = await resolve()
        assert context.line_environment("docker") == borrowed.environment
        assert context.line_environment("git") == {}
        assert borrowed == Endpoint("ssh://far", None, reached.line, is_borrowed=True)
        await (await dial(borrowed)).aclose()
        monkeypatch.setenv("DOCKER_HOST", "ssh://other")
        assert await resolve() == Endpoint("ssh://other")
        async with line(borrowed, nothing) as (own, _):
            assert own.line != borrowed.line
            assert not own.is_borrowed
    (program := Path(os.environ["FAKE_SSH_LOG"]).parent / "bin/docker").write_text("#!/bin/sh\necho dialled\n")
    program.chmod(0o755)
    connection = await dial(borrowed)
    assert await connection.receive(100) == b"dialled\n"
    await connection.aclose()


async def test_it_comes_back(calls: Callable[[], list[list[str]]]) -> None:
    """A line that was lost is opened again, at the same socket; both changes are reported."""
    async with line(Endpoint("ssh://far"), nothing) as (reached, opened):
        assert opened is not None
        with anyio.fail_after(30):
            while not (await opened.changed()).is_up:
                pass
            os.kill(int(calls()[0][0]), signal.SIGKILL)
            while (await opened.changed()).is_up:
                pass
            while not (await opened.changed()).is_up:
                pass
        assert reached.line == opened.socket
        assert len(calls()) == 2


async def test_forwards(calls: Callable[[], list[list[str]]]) -> None:
    """Ports are added and taken away over the line; the one that fails is named; a new ssh gets those that remain."""
    one, two, bad = (Forward("127.0.0.1", port, "127.0.0.1") for port in (80, 82, 81))
    async with line(Endpoint("ssh://far"), nothing) as (_, opened):
        assert opened is not None
        assert opened.forward(frozenset({one, two})) == {}
        assert len(calls()) == 2
        errors = opened.forward(frozenset({one, bad}))
        assert list(errors) == [bad]
        assert "Port forwarding failed" in errors[bad]
        assert [row[row.index("-O") + 1 :][:3] for row in calls()[2:3]] == [["cancel", "-L", two.argument]]
        opened.forward(frozenset({one}))
        with anyio.fail_after(30):
            os.kill(int(calls()[0][0]), signal.SIGKILL)
            while len([row for row in calls() if "-M" in row]) < 2:  # noqa: ASYNC110 - not our child
                await anyio.sleep(0.02)
        assert calls()[-1][-4:] == ["-L", one.argument, "--", "far"]


async def test_a_login_that_has_begun_is_used(calls: Callable[[], list[list[str]]]) -> None:
    """There is no second login; a line that nobody uses is closed, too."""
    for is_used in (True, False):
        with begun(Endpoint("ssh://far")) as login:
            assert login is not None
            if is_used:
                async with line(Endpoint("ssh://far"), nothing, login) as (_, opened):
                    assert opened is login
                    assert opened.state.is_up
        assert not os.path.exists(login.folder.path)
    assert len(calls()) <= 2
    assert all(process.start_time(int(pid)) is None for pid, *_ in calls())


async def test_a_question_is_asked_ahead(calls: Callable[[], list[list[str]]]) -> None:
    """The next `ask` for it gets the answer, and the one after it asks again."""
    async with line(Endpoint("ssh://far"), nothing) as (_, opened):
        assert opened is not None
        opened.begin_to_ask("date")
        opened.begin_to_ask("date")
        for asked in (2, 3):
            assert opened.ask("date") == "usable\n"
            assert len(calls()) == asked


async def test_a_line_counts_as_lost_after_a_while(tmp_path: Path) -> None:
    """A line that has just gone may be back at once."""
    opened = Line(Remote("far"), LineFolder(str(tmp_path), -1))
    now, early = time.monotonic(), time.monotonic() - SOON - 1
    for is_up, since, is_lost in ((False, now, False), (False, early, True), (True, early, False)):
        opened.state = LineState(is_up=is_up, since=since)
        assert opened.is_lost is is_lost
    opened.close()


async def test_a_refused_login_is_tried_once(calls: Callable[[], list[list[str]]]) -> None:
    """The error has the words of ssh, and a command to type."""
    with pytest.raises(EngineError, match=r"Permission denied \(publickey\)") as caught:
        async with line(Endpoint("ssh://refused"), nothing):
            pass
    assert caught.value.hint is not None
    assert "ssh refused" in caught.value.hint
    assert len(calls()) == 1


async def test_the_engine_of_a_user(calls: Callable[[], list[list[str]]]) -> None:
    """A socket that the machine itself names is used if the usual one does not answer."""
    async with line(Endpoint("ssh://rootless"), nothing) as (_, opened):
        assert opened is not None
        assert opened.remote.socket == "/elsewhere"


async def test_forwarding_is_forbidden(calls: Callable[[], list[list[str]]]) -> None:
    """Requests go the old way then, and a notice says what is missing."""
    events: list[Event] = []
    endpoint = Endpoint("ssh://forbidden")
    async with line(endpoint, events.append) as (reached, opened):
        assert (reached, opened) == (endpoint, None)
    assert [type(event) for event in events] == [Notice]
    assert "AllowStreamLocalForwarding" in str(events[0])


async def test_another_process_goes_on(calls: Callable[[], list[list[str]]]) -> None:
    """It has the same ssh at the same socket, with its ports, and leaves nothing."""
    port = Forward("127.0.0.1", 80, "127.0.0.1")
    async with line(Endpoint("ssh://far"), nothing) as (_, opened):
        assert opened is not None
        opened.forward(frozenset({port}))
        descriptors = [*map(os.dup, opened.leave())]  # by other numbers than those that this process closes
        assert len(descriptors) == 3
    path, before = opened.folder.path, calls()
    assert process.start_time(int(before[0][0])) is not None
    given = json.loads(Path(path, "left").read_text(encoding="utf-8"))
    given |= dict(zip(("pipe", "errors", "lock"), descriptors, strict=True))
    Path(path, "left").write_text(json.dumps(given), encoding="utf-8")
    with left(path, Endpoint("ssh://other")) as none:
        assert none is None
    with left(path, Endpoint("ssh://far")) as login:
        async with line(Endpoint("ssh://far"), nothing, login) as (reached, taken):
            assert taken is login
            assert taken is not None
            assert reached.line == opened.socket
            assert taken.forward(frozenset({port})) == {}
            assert calls() == before
            os.kill(int(before[0][0]), signal.SIGKILL)
            with anyio.fail_after(30):
                while not (taken.state.is_up and len(calls()) > len(before)):
                    await taken.changed()
            assert calls()[-1][-4:] == ["-L", port.argument, "--", "far"]
    assert not os.path.exists(path)
    with anyio.fail_after(30):
        while any(process.start_time(int(pid)) for pid, *_ in calls()):  # noqa: ASYNC110 - not our child
            await anyio.sleep(0.02)


async def test_the_owner_is_killed(calls: Callable[[], list[list[str]]], tmp_path: Path) -> None:
    """Its ssh ends, and its sockets are removed."""
    code = f"""
import anyio, os, signal
from devenv.docker.endpoint import Endpoint
from devenv.docker import ssh_lines
from devenv.remote import line
ssh_lines.base = lambda: {f"/tmp/devenv-test-{os.getpid()}"!r}
async def main():
    async with line.line(Endpoint("ssh://far"), print) as (reached, _):
        open({str(tmp_path / "socket")!r}, "w").write(reached.line)
        os.kill(os.getpid(), signal.SIGKILL)
anyio.run(main)
"""
    done = await process.run([sys.executable, "-c", code])
    assert done.returncode == -signal.SIGKILL, done.error_text
    folder = os.path.dirname((tmp_path / "socket").read_text(encoding="utf-8"))
    ((pid, *_),) = calls()
    with anyio.fail_after(30):
        while process.start_time(int(pid)) is not None or os.path.exists(os.path.dirname(folder)):  # noqa: ASYNC110 - not our child
            await anyio.sleep(0.02)
