"""The engine's client on failures: engines that are silent, slow, old, full, cut off, or answer nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from devenv.docker import client, containers, streams, transport
from devenv.docker.client import Engine
from devenv.docker.connection import CONNECT_TIMEOUT
from devenv.docker.endpoint import Endpoint
from devenv.docker.transport import CallError
from devenv.errors import EngineError
from devenv.model.containers import Container
from support.proxy import Call, FakeEngine, Proxy, answer
from support.trees import tar

pytestmark = pytest.mark.anyio
Play = Callable[[Call, asyncio.StreamWriter], Awaitable[None]]
ApiCall = Callable[[Engine], Awaitable[object]]
BOX = Container(id="box", name="box", service="web", state="running", ours=True)


@contextlib.asynccontextmanager
async def engine_of(play: Play, **options: Any) -> AsyncIterator[tuple[Engine, FakeEngine]]:
    """A client and its fake engine; deadlines are short, so that the tests are fast."""
    with FakeEngine(play, **options) as fake:
        async with Engine.connect(Endpoint(fake.host)) as engine:
            engine.idle = 0.4
            yield engine, fake


def says(status: int, body: object = b"", *, close: bool = False) -> Play:
    """Always give the same answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def play(_: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(status, data, close=close))

    return play


async def session(engine: Engine) -> None:
    async with engine.exec.session("box", ["sh"], user="0", mark="m") as opened:
        await opened.receive()


CALLS: dict[str, ApiCall] = {
    "inspect": lambda e: e.containers.inspect("box"),
    "scene": lambda e: e.project_state("p"),
    "names": lambda e: e.networks.names(),
    "put": lambda e: e.archive.put("box", tar()),
    "large put": lambda e: e.archive.put("box", tar(size=8_000_000)),
    "get": lambda e: e.archive.get("box", "/etc"),
    "is_link": lambda e: e.archive.is_link("box", "/etc"),
    "execute": lambda e: e.exec.run("box", ["true"]),
    "session": session,
    "restart": lambda e: e.containers.restart(BOX),
    "stop": lambda e: e.containers.stop(BOX),
    "remove": lambda e: e.containers.remove("box"),
}


# --- deadlines ----------------------------------------------------------------------------------------------------


async def silent(call: Call, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def trickle(call: Call, writer: asyncio.StreamWriter) -> None:
    for byte in answer(200, b'{"message": "slow", "rest": "' + b"x" * 100 + b'"}'):
        writer.write(bytes([byte]))
        await asyncio.sleep(0.1)


async def half_a_head(call: Call, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 O")
    writer.close()


async def half_a_body(call: Call, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(200, b"x" * 100)[:-50])
    writer.close()


async def nothing(call: Call, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def garbage(call: Call, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n" * 3)
    writer.close()


@pytest.mark.parametrize("play", [silent, trickle, half_a_head, nothing, garbage], ids=lambda play: play.__name__)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_every_call_ends_by_its_deadline_with_our_error(
    play: Play, call: ApiCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call never waits without end, and never raises an exception of a library."""
    monkeypatch.setattr(transport, "REMOVAL", 0.1)
    monkeypatch.setitem(globals(), "BOX", replace(BOX, stop_timeout=0.1))
    async with engine_of(play) as (engine, _):
        with (
            anyio.fail_after(20),
            pytest.raises(EngineError) as caught,
        ):  # else thirty seconds
            await call(engine)
        assert caught.value.hint
        assert engine.endpoint.host in caught.value.message


async def test_connecting_has_a_shorter_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting fails sooner than a call, since nothing has begun yet."""
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT", 0.2)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    with FakeEngine(silent) as fake:
        fake.serve = serve  # type: ignore[method-assign]
        with anyio.fail_after(2), pytest.raises(EngineError, match=r"connecting to the engine: .* does not answer"):
            async with Engine.connect(Endpoint(fake.host)):
                pass


def test_default_deadlines_are_five_and_thirty_seconds() -> None:
    """Five seconds to connect, thirty of silence."""
    assert (CONNECT_TIMEOUT, client.IDLE_TIMEOUT) == (5, 30)


async def test_archive_may_take_long_but_not_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """While bytes arrive the idle time does not count; there is a total limit, too."""

    async def slow(call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200, b"x" * 10)[:-10])
        for _ in range(10):
            writer.write(b"x")
            await asyncio.sleep(pause)

    pause = 0.1
    async with engine_of(slow) as (engine, _):
        assert await engine.archive.get("box", "/") == b"x" * 10
        pause = 60.0
        with anyio.fail_after(20), pytest.raises(EngineError, match="does not answer"):
            await engine.archive.get("box", "/")
        pause = 0.1
        monkeypatch.setattr(containers, "LONG_TIMEOUT", 0.6)
        with pytest.raises(EngineError, match="does not answer"):
            await engine.archive.get("box", "/")


async def test_slow_stop_gets_its_grace_period() -> None:
    """The grace period is added to the deadline."""

    async def slow(call: Call, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.8)
        writer.write(answer(204))

    async with engine_of(slow) as (engine, _):
        await engine.containers.stop(BOX, 1)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_cancelled_call_ends_at_once(call: ApiCall) -> None:
    """A cancelled call ends at any point of its wait, so that Ctrl-C does not wait."""
    async with engine_of(silent) as (engine, _):
        engine.idle = 30
        began = time.monotonic()
        with anyio.move_on_after(0.2) as scope:
            await call(engine)
        assert scope.cancelled_caught
        assert time.monotonic() - began < 15


async def test_missing_engine_is_reported_with_its_address() -> None:
    """The error has the address, and the hint says how to start an engine."""
    with pytest.raises(EngineError, match=r"cannot reach the Docker engine at unix:///no/such\.sock") as caught:
        async with Engine.connect(Endpoint("unix:///no/such.sock")):
            pass
    assert caught.value.hint


# --- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 30_000_000])
async def test_early_refusal_is_reported_with_its_text(size: int) -> None:
    """An engine that refuses and hangs up during the request is reported with its message, not as a broken pipe."""
    reason = "write /data/x: no space left on device"
    with FakeEngine(says(200)) as fake:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/version" in head:
                writer.write(answer(200, b'{"ApiVersion": "1.45"}', close=True))
            else:
                await reader.readexactly(10)
                writer.write(answer(500, json.dumps({"message": reason}).encode(), close=True))
            await writer.drain()

        fake.serve = serve  # type: ignore[method-assign]
        async with Engine.connect(Endpoint(fake.host)) as engine:
            with pytest.raises(CallError, match="no space left on device") as caught:
                await engine.archive.put("box", b"x" * size)
    assert (caught.value.status, caught.value.reason) == (500, reason)


@pytest.mark.parametrize("body", [b"<html>", b"{", b"[]", b"null", b"3", b'{"Id": 4}', b"\xff\xfe"])
@pytest.mark.parametrize("call", ["inspect", "scene", "names", "execute"])
async def test_invalid_answer_with_status_200_is_an_error(call: str, body: bytes) -> None:
    """HTML, truncated or wrong JSON is an error that says so (or no result), without a traceback."""
    async with engine_of(says(200, body)) as (engine, _):
        with contextlib.suppress(EngineError):
            assert await CALLS[call](engine) is not None


async def test_redirect_is_an_error() -> None:
    """No engine redirects a valid request."""
    async with engine_of(says(301)) as (engine, _):
        with pytest.raises(CallError):
            await engine.archive.put("box", tar())


@pytest.mark.parametrize(("status", "reason"), [
    (404, "No such container: box"),
    (404, "Could not find the file /x in container box"),
    (500, "lstat /etc/passwd/x: not a directory"),
    (400, "lstat /x: no such file or directory"),
    (500, "No such container: box"),
])  # fmt: skip
async def test_missing_objects_are_recognized_by_code_or_text(status: int, reason: str) -> None:
    """A missing object is recognized, though engines and versions differ in the code."""
    async with engine_of(says(status, {"message": reason})) as (engine, _):
        assert await engine.containers.inspect("box") is None
        assert await engine.archive.get("box", "/x") is None
        assert await engine.archive.is_link("box", "/x") is None
        await engine.containers.remove("box")
        await engine.containers.stop(BOX)


async def test_stop_of_an_ended_container_succeeds() -> None:
    """An answer with code 304 is a success."""
    async with engine_of(says(304)) as (engine, _):
        await engine.containers.stop(BOX)


@pytest.mark.parametrize("reason", [
    "container rootfs is marked read-only",
    "mounted volume is marked read-only",
    "write /data/x: no space left on device",
    "archive/tar: invalid tar header",
])  # fmt: skip
@pytest.mark.parametrize("status", [400, 403, 500])
async def test_refused_put_keeps_the_engines_message(status: int, reason: str) -> None:
    """With any code, the reason is shown to the user, and the engine does not count as lost."""
    async with engine_of(says(status, {"message": reason})) as (engine, _):
        with pytest.raises(CallError) as caught:
            await engine.archive.put("box", tar())
    assert (caught.value.reason, caught.value.absent) == (reason, False)


@pytest.mark.parametrize("status", [409, 500])
@pytest.mark.parametrize("reason", ["Container box is paused, unpause it first", "container box is not running"])
async def test_refused_exec_keeps_the_engines_message(status: int, reason: str) -> None:
    """A refusal for a paused or stopped container is an error to retry, not an image without a shell."""
    async with engine_of(says(status, {"message": reason})) as (engine, _):
        for call in (session, CALLS["execute"]):
            with pytest.raises(CallError, match="is") as caught:
                await call(engine)
            assert caught.value.reason == reason


# --- connections --------------------------------------------------------------------------------------------------


async def test_call_on_a_closed_connection_is_repeated_if_safe() -> None:
    """A safe call is repeated on a new connection, and an unsafe call uses a new connection at once."""

    async def once(call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(200, b"{}"))
        await writer.drain()
        writer.close()

    async with engine_of(once) as (engine, fake):
        for _ in range(3):
            await engine.archive.put("box", tar())
            await anyio.sleep(0.05)
            await engine.containers.restart(BOX)
        made = [call.method for call in fake.calls[1:]]
        assert made == ["PUT", "POST"] * 3


async def test_unsafe_calls_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose connection ends after it was carried out is not repeated."""
    monkeypatch.setattr(containers, "AGAIN", ())  # looks at the container

    async def hangs_up(call: Call, writer: asyncio.StreamWriter) -> None:
        if call.method == "POST":
            writer.close()
        else:
            writer.write(answer(200))

    async with engine_of(hangs_up) as (engine, fake):
        await engine.archive.put("box", tar())
        with pytest.raises(EngineError, match="cannot reach"):
            await engine.containers.restart(BOX)
        assert [call.method for call in fake.calls[1:]] == ["PUT", "POST"]


async def test_late_answer_never_goes_to_another_call() -> None:
    """The connection of a cancelled call is closed."""

    async def late(call: Call, writer: asyncio.StreamWriter) -> None:
        path = call.query["path"][0]
        await asyncio.sleep(0.3 if path == "/slow" else 0)
        writer.write(answer(200, path.encode()))

    async with engine_of(late) as (engine, _):
        with anyio.move_on_after(0.1):
            await engine.archive.get("box", "/slow")
        for i in range(5):
            assert await engine.archive.get("box", f"/{i}") == f"/{i}".encode()
            await anyio.sleep(0.1)


async def test_sequential_calls_share_one_connection() -> None:
    """A hundred sequential calls need one connection."""
    connections = set()

    async def note(call: Call, writer: asyncio.StreamWriter) -> None:
        connections.add(id(writer))
        writer.write(answer(200))

    async with engine_of(note) as (engine, _):
        for _ in range(100):
            await engine.archive.put("box", tar())
    assert len(connections) == 1


# --- versions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("newest", "oldest", "spoken"), [
    ("1.41", "1.12", "1.41"),
    ("1.44", "1.24", "1.44"),
    ("1.52", "1.44", "1.52"),
    ("1.99", "1.44", "1.52"),
    ("1.99", "1.60", "1.60"),
    ("1.41", None, "1.41"),
])  # fmt: skip
async def test_newest_common_api_version_is_used(newest: str, oldest: str | None, spoken: str) -> None:
    """With an engine that has dropped our version, its oldest version is used."""
    versions = {"ApiVersion": newest, **({"MinAPIVersion": oldest} if oldest else {})}
    async with engine_of(says(200), versions=versions) as (engine, fake):
        await engine.archive.put("box", tar())
        assert fake.calls[-1].path == f"/v{spoken}/containers/box/archive"


async def test_too_old_engine_is_reported() -> None:
    """The error has the engine's version and what to do, in one line."""
    with pytest.raises(EngineError, match=r"too old: its API version is 1\.40, devenv needs 1\.41$") as caught:
        async with engine_of(says(200), versions={"ApiVersion": "1.40", "MinAPIVersion": "1.12"}):
            pass
    assert caught.value.hint == "upgrade Docker to 20.10 or newer"


@pytest.mark.parametrize("versions", [{"ApiVersion": ""}, {"ApiVersion": 3}, {"ApiVersion": "a.b"}, []])
async def test_server_that_is_not_an_engine_is_reported(versions: object) -> None:
    """The error says that the server is no engine."""
    with pytest.raises(EngineError, match=r"unexpected answer|too old"):
        async with engine_of(says(200), versions=versions or "no engine"):
            pass


# --- processes in containers --------------------------------------------------------------------------------------


def frames(*pieces: bytes) -> bytes:
    """The engine's frames of a process's output on stdout."""
    return b"".join(b"\1\0\0\0" + len(piece).to_bytes(4, "big") + piece for piece in pieces)


def runs(stream: bytes, shown: object) -> Play:
    """An engine that runs one exec: with this stream, then these answers of inspect."""

    async def play(call: Call, writer: asyncio.StreamWriter) -> None:
        if call.path.endswith("/start"):
            head = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            for byte in head + stream:
                writer.write(bytes([byte]))
                await writer.drain()
            writer.close()
        else:
            writer.write(answer(200, json.dumps({"Id": "e"} if call.path.endswith("/exec") else shown).encode()))

    return play


async def test_output_and_exit_code_of_a_command_are_complete() -> None:
    """Output is complete, however the stream is cut into pieces."""
    async with engine_of(runs(frames(b"one\n", b"", b"two\xff"), {"Running": False, "ExitCode": 3})) as (engine, _):
        assert await engine.exec.run("box", ["x"]) == (3, "one\ntwo\\xff")


async def test_exit_code_that_arrives_late_is_awaited() -> None:
    """The exit code is awaited if the stream ends before the engine knows it."""
    shown: dict[str, object] = {"Running": True}
    play = runs(frames(b"one\n"), shown)

    async def late(call: Call, writer: asyncio.StreamWriter) -> None:
        await play(call, writer)
        if call.method == "GET":
            shown.update(Running=False, ExitCode=4)

    async with engine_of(late) as (engine, _):
        assert await engine.exec.run("box", ["x"]) == (4, "one\n")


async def test_command_with_a_cut_connection_is_an_error() -> None:
    """The error says that the command keeps running, with an unknown exit code."""
    async with engine_of(runs(frames(b"one\n")[:-2], {"Running": True, "ExitCode": None})) as (engine, _):
        with pytest.raises(EngineError, match="running `x`: the connection was lost"):
            await engine.exec.run("box", ["x"])


async def test_command_has_a_deadline() -> None:
    """The error says that the command may keep running."""

    async def play(call: Call, writer: asyncio.StreamWriter) -> None:
        if call.path.endswith("/exec"):
            writer.write(answer(200, b'{"Id": "e"}'))
        else:
            writer.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(60)

    async with engine_of(play) as (engine, _):
        with pytest.raises(EngineError, match="not finished after 1 s; the command may still run"):
            await engine.exec.run("box", ["x"], timeout=0.6)


@pytest.mark.parametrize("code", [126, 127])
async def test_missing_shell_differs_from_a_lost_connection(code: int) -> None:
    """A missing shell is recognized by the exit code at the end of the stream."""
    words = b'OCI runtime exec failed: exec: "sh": executable file not found in $PATH\r\n'
    async with (
        engine_of(runs(frames(words), {"Running": False, "ExitCode": code})) as (engine, _),
        engine.exec.session("box", ["sh"], user="0", mark="m") as opened,
    ):
        assert await opened.receive() == (1, words)
        assert await opened.receive() is None


@pytest.mark.parametrize(
    "shown", [{"Running": True}, {"Running": False, "ExitCode": 0}, {"Running": False, "ExitCode": 137}]
)
async def test_cut_connection_of_a_shell_is_not_a_missing_shell(shown: object) -> None:
    """A cut connection does not count as a missing shell: every later save would lose its atomic rename."""
    async with (
        engine_of(runs(b"", shown)) as (engine, _),
        engine.exec.session("box", ["sh"], user="0", mark="m") as opened,
    ):
        with pytest.raises(ConnectionAbortedError):
            await opened.receive()


# --- events -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-3600, 0, 3600])
async def test_events_continue_after_a_cut(skew: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next stream begins at the last event, by the engine's own clock, even if that is wrong."""
    monkeypatch.setattr(client, "EVENTS_PAUSE", 0.01)
    nano = int((time.time() + skew) * 1e9)

    async def play(call: Call, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(2):
            event = json.dumps({"Action": "start", "timeNano": nano + i}).encode() + b"\n"
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        writer.write(b"ff\r\n{")
        await writer.drain()
        writer.close()

    seen: list[dict[str, Any]] = []
    async with engine_of(play) as (engine, fake):
        async for event in engine.events("p"):
            seen.append(event)
            if len(seen) == 6:
                break
        asked = [call.query.get("since", [""])[0] for call in fake.calls[1:]]
    assert [bool(event) for event in seen] == [False, True, True] * 2
    assert asked[0] == ""
    assert float(asked[1]) == pytest.approx(nano / 1e9 - 1, abs=0.01)


async def test_dead_network_ends_waiting_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote engine is checked during silence: without an answer, calls end and the event stream restarts."""
    monkeypatch.setattr(streams, "QUIET", 0.2)
    monkeypatch.setattr(client, "CONNECT_TIMEOUT", 0.3)
    monkeypatch.setattr(Endpoint, "has_files", False)

    async def play(call: Call, writer: asyncio.StreamWriter) -> None:
        if call.path.endswith("/events"):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        elif call.path.endswith("/_ping"):
            writer.write(answer(200))
        else:
            proxy.frozen = True

    with FakeEngine(play) as fake, Proxy(engine=fake.path) as proxy:
        async with Engine.connect(Endpoint(proxy.host)) as engine:
            beginnings: list[float] = []

            async def listen() -> None:
                async for _ in engine.events("p"):
                    beginnings.append(time.monotonic())  # noqa: PERF401 - read during the loop

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listen)
                await anyio.sleep(1)
                assert len(beginnings) == 1, "silence alone is no reason"
                with anyio.fail_after(20), pytest.raises(EngineError, match="cannot reach"):
                    await engine.archive.put("box", tar())
                proxy.frozen = False
                with anyio.fail_after(3):
                    while len(beginnings) == 1:  # noqa: ASYNC110 - there is no such event
                        await anyio.sleep(0.05)
                tasks.cancel_scope.cancel()
