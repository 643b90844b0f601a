"""The engine's client on a real engine: its requests, how it reports refusals, and that it leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from devenv.docker import client, streams
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.transport import CallError
from devenv.errors import EngineError
from support import docker_cli as docker
from support.cli import StartDevenv
from support.dockerd import dockerd
from support.proxy import Proxy
from support.stack import IDLE, Stack, free_port, idle_service, unique_name
from support.trees import tar

pytestmark = [pytest.mark.anyio, pytest.mark.engine]
SCRIPT = [part.replace("$$", "$") for part in IDLE]
COMPRESSED = (b"\x1f\x8b", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd")


def start(boxes: list[str], *options: str) -> str:
    """The id of a new running container."""
    boxes.append(unique_name("api"))
    return docker.docker("run", "-d", f"--name={boxes[-1]}", *options, docker.BASE_IMAGE, *SCRIPT)


# --- what is sent -------------------------------------------------------------------------------------------------


def test_every_put_is_an_uncompressed_tar_at_the_root(stack: Stack, devenv: StartDevenv) -> None:
    """In a whole run, no archive puts a folder in place of a file or has the host's owner ids."""
    stack.compose_file({
        "web": idle_service(user="1000", develop={"watch": [{"path": "src", "target": "/app", "action": "sync"}]})
    })  # fmt: skip
    for i in range(30):
        stack.write(f"src/deep/{i}.txt", str(i))
    with Proxy() as proxy:
        run = devenv("up", cwd=stack.folder, env={**stack.env, "DOCKER_HOST": proxy.host})
        run.wait_for("ready")
        mark = run.mark()
        stack.write("src/new.txt", "new")
        run.wait_for("synced", since=mark)
        (stack.folder / "src/link").symlink_to("new.txt")
        docker.until(lambda: docker.succeeds("exec", stack.container("web"), "test", "-h", "/app/link"))
        assert run.stop() == 130
        puts = [call for call in proxy.calls if call.method == "PUT"]
    assert len(puts) >= 2  # archives go to the created container; a running one gets files through its shell
    for put in puts:
        assert put.status == 200
        assert put.query == {"path": ["/"], "noOverwriteDirNonDir": ["1"], "copyUIDGID": ["0"]}
        assert not put.body.startswith(COMPRESSED)
        assert not put.headers.get("content-encoding")
        with tarfile.open(fileobj=io.BytesIO(put.body), mode="r:") as archive:
            assert {(entry.uid, entry.gid) for entry in archive} == {(1000, 0)}


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.fixture
def full(engine: str) -> Iterator[str]:
    """A volume of one megabyte."""
    name = unique_name("full")
    options = ("--opt=type=tmpfs", "--opt=device=tmpfs", "--opt=o=size=1m")
    docker.docker("volume", "create", *options, name)
    yield name
    docker.succeeds("volume", "rm", "-f", name)


@pytest.mark.parametrize("size", [2_000_000, 60_000_000])
async def test_full_disk_is_reported_in_the_engines_words(
    api: Engine, full: str, boxes: list[str], size: int
) -> None:
    """The message is complete though the engine hangs up during the request; the next put that fits works."""
    box = start(boxes, f"--volume={full}:/data")
    with pytest.raises(CallError, match="no space left on device"):
        await api.archive.put(box, tar("data/big", size))
    docker.execute(box, "rm", "-f", "/data/big")
    await api.archive.put(box, tar("data/small"))


@pytest.mark.parametrize("content", [tar("x"), tar("x", 60_000_000)], ids=["small", "large"])
async def test_read_only_container_is_reported_in_the_engines_words(
    api: Engine, boxes: list[str], content: bytes
) -> None:
    """The message is the engine's."""
    with pytest.raises(CallError, match="read-only") as caught:
        await api.archive.put(start(boxes, "--read-only"), content)
    assert not caught.value.absent


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"garbage" * 5_000_000], ids=["small", "large"])
async def test_invalid_archive_is_reported_in_the_engines_words(
    api: Engine, boxes: list[str], content: bytes
) -> None:
    """The message is the engine's."""
    with pytest.raises(CallError, match="invalid tar header"):
        await api.archive.put(start(boxes), content)


async def test_container_removed_during_a_put_is_an_engine_error(api: Engine, boxes: list[str]) -> None:
    """The error is never a broken pipe."""
    box = start(boxes)
    removal = asyncio.get_running_loop().run_in_executor(None, docker.docker, "rm", "-f", box)
    errors: list[str] = []
    with anyio.fail_after(60):
        while not errors:
            try:
                await api.archive.put(box, tar(size=30_000_000))
            except EngineError as error:
                errors.append(error.message)
    await removal
    assert "roken pipe" not in errors[0]
    assert "cannot reach" not in errors[0]
    with pytest.raises(CallError) as caught_after:
        await api.archive.put(box, tar())
    assert caught_after.value.absent


async def test_missing_paths_and_containers_give_no_archive(api: Engine, boxes: list[str]) -> None:
    """A missing path, a path below a file, and a missing container give None, not an error."""
    box = start(boxes)
    for path in ("/no/such", "/etc/passwd/below"):
        assert await api.archive.get(box, path) is None
        assert await api.archive.is_link(box, path) is None
    assert await api.archive.is_link(box, "/etc/passwd") is False
    assert await api.containers.inspect("nobody") is None


async def test_exec_in_a_paused_or_stopped_container_is_an_error(api: Engine, boxes: list[str]) -> None:
    """The error has the engine's message; a put still works."""
    box = start(boxes)
    docker.docker("pause", box)
    with pytest.raises(CallError, match="is paused"):
        await api.exec.run(box, ["true"])
    await api.archive.put(box, tar())
    docker.docker("unpause", box)
    docker.docker("kill", box)
    with pytest.raises(CallError, match="is not running"):
        await api.exec.run(box, ["true"])
    await api.archive.put(box, tar())


async def test_large_sync_does_not_block_other_calls(api: Engine, boxes: list[str]) -> None:
    """The engine locks a container while it reads a body: bodies are complete before they are sent, and short."""
    box = start(boxes)
    slowest = 0.0
    parts = [tar(f"tmp/{i}", 8_000_000) for i in range(25)]
    async with Engine.connect() as other, anyio.create_task_group() as tasks:

        async def look() -> None:
            nonlocal slowest
            while True:
                began = time.monotonic()
                await other.containers.inspect(box)
                slowest = max(slowest, time.monotonic() - began)
                await anyio.sleep(0.02)

        tasks.start_soon(look)
        for part in parts:
            await api.archive.put(box, part)
        tasks.cancel_scope.cancel()
    assert 0 < slowest < 0.5


@pytest.mark.long
def test_files_get_the_containers_owner_with_remapped_users(
    stack: Stack, devenv: StartDevenv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files get the owner even if their host ids do not exist in containers."""
    if os.getuid() != 0:
        pytest.skip("an engine of its own needs root")
    develop = {"watch": [{"path": "src", "target": "/app", "action": "sync"}]}
    users = {"root": ("0:0", "0"), "number": ("33:33", "33"), "name": ("www-data", "33")}
    stack.compose_file({
        name: idle_service(user=user, network_mode="none", develop=develop) for name, (user, _) in users.items()
    })  # fmt: skip
    for path in (stack.write("src/deep/a", "a"), stack.write("src/b", "b")):
        os.chown(path, 1_516_583_083, 1_516_583_083)
    image = subprocess.run(["docker", "save", docker.BASE_IMAGE], capture_output=True, check=True).stdout
    folder = Path(tempfile.mkdtemp(prefix="devenv-test-"))
    folder.chmod(0o711)  # the remapped root must be able to enter
    with dockerd(folder, remapped=300_000) as own:
        monkeypatch.setenv("DOCKER_HOST", own.host)
        subprocess.run(["docker", "load", "-q"], input=image, capture_output=True, check=True)
        run = devenv("up", cwd=stack.folder, env=stack.env)
        run.wait_for("ready")
        os.chown(stack.write("src/c", "c"), 1_516_583_083, 1_516_583_083)
        for name, (_, uid) in users.items():
            run.wait_for("synced", service=name, paths=["src/c"])
            paths = ("/app", "/app/deep", "/app/deep/a", "/app/b", "/app/c")
            assert stack.execute(name, "stat", "-c", "%u:%g", *paths).split() == [f"{uid}:{uid}"] * 5
        assert run.stop() == 130
    assert not run.all("problem")


# --- what is missed -----------------------------------------------------------------------------------------------


async def test_no_event_is_missed_when_the_stream_is_cut(boxes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If the stream is cut twenty times while containers start and die, every event arrives at least once."""
    monkeypatch.setattr(client, "EVENTS_PAUSE", 0.2)
    project, rounds = unique_name("events"), 20
    made = await anyio.to_thread.run_sync(start, boxes, f"--label={docker.PROJECT_LABEL}={project}")
    seen: set[tuple[str, int]] = set()
    beginnings = 0
    with Proxy() as proxy:
        async with Engine.connect(Endpoint(proxy.host)) as engine, anyio.create_task_group() as tasks:

            async def listen() -> None:
                nonlocal beginnings
                async for event in engine.events(project):
                    beginnings += not event
                    seen.update({(event["Action"], event["timeNano"])} if event else ())

            tasks.start_soon(listen)
            began = time.time() - 1
            for i in range(rounds):
                await anyio.to_thread.run_sync(docker.docker, "kill" if i % 2 == 0 else "start", made)
                assert proxy.drop("/events") == 1 or i
                await anyio.sleep(0.05 * (i % 8))
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
    output = docker.docker(
        "events", f"--since={began:.3f}", f"--until={time.time():.3f}", f"--filter=container={made}",
        "--format={{json .}}",
    )  # fmt: skip
    happened = {(event["Action"], event["timeNano"]) for event in map(json.loads, output.splitlines())}
    assert {"kill", "die", "start"} <= {action for action, _ in happened}
    assert happened <= seen
    assert beginnings > 5


async def test_calls_end_on_a_dead_tcp_network(boxes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls end soon after the network fails, and work again when it is back."""
    monkeypatch.setattr(streams, "QUIET", 0.5)
    monkeypatch.setattr(client, "CONNECT_TIMEOUT", 1.0)
    box = await anyio.to_thread.run_sync(start, boxes)
    with Proxy() as proxy:
        port = free_port()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_unix_connection(proxy.path)
            with contextlib.suppress(OSError):
                await asyncio.wait(
                    [asyncio.ensure_future(pump(reader, back)), asyncio.ensure_future(pump(there, writer))],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            for end in (writer, back):
                end.transport.abort()

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while chunk := await source.read(65536):
                    sink.write(chunk)
                    await sink.drain()

        server = await asyncio.start_server(serve, "127.0.0.1", port)
        far = Endpoint(f"tcp://127.0.0.1:{port}")
        async with server, Engine.connect(far) as engine, anyio.create_task_group() as tasks:

            async def listen() -> None:
                async for _ in engine.events("nobody"):
                    pass

            tasks.start_soon(listen)
            await anyio.sleep(0.5)
            await engine.archive.put(box, tar())
            proxy.frozen = True
            began = time.monotonic()
            with pytest.raises(EngineError):
                await engine.archive.put(box, tar())
            assert time.monotonic() - began < 5
            proxy.frozen = False
            await engine.archive.put(box, tar())
            tasks.cancel_scope.cancel()


# --- what is left -------------------------------------------------------------------------------------------------


def waiting(box: str) -> list[str]:
    """The numbers of the `sleep 77x` processes in the container."""
    return sorted(re.findall(r"^\d+ +sleep (77\d)", docker.docker("top", box, "-o", "pid,args"), re.MULTILINE))


def shells(box: str) -> int:
    """The number of shells in the container."""
    return len(re.findall(r" sh$", docker.docker("top", box, "-o", "pid,comm"), re.MULTILINE))


async def test_commands_of_a_dead_client_are_ended(api: Engine, boxes: list[str]) -> None:
    """Commands of this run, of others, and those left on purpose continue."""
    box = start(boxes)
    commands = [
        ("0", "dead", "sleep 771; sleep 1"),
        ("1000", "dead", "sleep 772; sleep 1"),
        ("0", "alive", "sleep 773"),
        ("0", "dead", "sleep 774 >/dev/null 2>&1 & exit"),
        ("0", "dead", "setsid sleep 776 >/dev/null 2>&1 & exit"),
    ]
    for user, mark, script in commands:
        docker.docker("exec", "-d", "-u", user, "-e", f"DEVENV_COMMAND={mark}", box, "sh", "-c", script)
    docker.docker("exec", "-d", box, "sleep", "775")
    docker.until(lambda: waiting(box), lambda numbers: len(numbers) == 6)
    await api.exec.end_leftovers(box, user="0", privileged=False, mark="alive")
    assert waiting(box) == ["772", "773", "774", "775", "776"]
    await api.exec.end_leftovers(box, user="1000", privileged=False, mark="alive")
    assert waiting(box) == ["773", "774", "775", "776"]


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.long)])
def test_killed_client_leaves_nothing_permanently(stack: Stack, devenv: StartDevenv, kills: int) -> None:
    """A long command continues until the next run ends it; shells end by themselves."""
    watch = {"path": "src", "target": "/app", "action": "sync+exec", "exec": {"command": "sleep 777", "user": "1000"}}
    stack.compose_file({"web": idle_service(develop={"watch": [watch]})})
    stack.write("src/a", "0")
    assert stack.compose("up", "-d").returncode == 0
    box = stack.container("web")
    before = shells(box)
    for i in range(kills):
        run = devenv("up", "--no-logs", cwd=stack.folder, env=stack.env)
        run.wait_for("ready")
        docker.until(lambda: waiting(box), lambda numbers: not numbers, timeout=10)
        stack.write("src/a", str(i))
        docker.until(lambda: waiting(box), timeout=10)
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.survivors()
        assert waiting(box) == ["777"]
    run = devenv("up", "--no-logs", cwd=stack.folder, env=stack.env)
    run.wait_for("ready")
    docker.until(lambda: waiting(box), lambda numbers: not numbers, timeout=10)
    assert run.stop() == 130
    docker.until(lambda: shells(box), lambda count: count == before, timeout=5)


async def test_usage_of_a_container_is_measured(api: Engine, boxes: list[str]) -> None:
    """Memory and CPU time come from one call without a wait; a missing container is an error."""
    busy = start(boxes)
    docker.docker("exec", "-d", busy, "sh", "-c", "while :; do :; done")
    before = await api.containers.usage(busy)
    await anyio.sleep(0.5)
    after = await api.containers.usage(busy)
    assert after.memory > 0
    assert after.cpus >= 1
    assert after.percent_since(before) > 1
    with pytest.raises(CallError):
        await api.containers.usage("there-is-none")
