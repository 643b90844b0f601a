"""`devenv down` shows how the keeper of a run ends it, or ends the run itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import anyio
import pytest

from devenv.cli import main
from devenv.cli.commands import down
from devenv.events import Event, Removed, Stopped, Stopping
from devenv.run import client
from devenv.run.view_messages import TimedEvent, encoded

BEGIN = Stopping("down", 1), Removed("container", "shop-web-1")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that were run in this process, which exit with 3."""
    run = list[list[str]]()

    def record(arguments: list[str]) -> int:
        run.append(arguments)
        return 3

    monkeypatch.setattr(main, "run", record)
    return run


def keeper(*events: Event, begin: bytes = b"\n", more: bytes = b"") -> socket.socket:
    """A connection to a keeper that has sent these events and ended."""
    ours, its = socket.socketpair()
    with its:
        its.sendall(begin + b"".join(encoded(TimedEvent(1.0, event)) for event in events) + more)
    return ours


@pytest.mark.parametrize(("survivors", "code"), [((), 0), (("container shop-web-1",), 1)])
def test_the_end_is_shown(
    commands: list[list[str]], capsys: pytest.CaptureFixture[str], survivors: tuple[str, ...], code: int
) -> None:
    """In the chosen form; what this version does not know is left out, and so is a line that was cut off."""
    stream = keeper(*BEGIN, Stopped(survivors), more=b'{"event": "newer", "at": 1.0, "value": {}}\n{}\ncut')
    assert down.show(stream, ["down", "--output", "json"]) == code
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert events == ["stopping", "removed", "stopped"]
    assert commands == []


@pytest.mark.parametrize(
    "stream",
    [
        lambda: keeper(begin=b""),
        lambda: keeper(*BEGIN),
        lambda: keeper(begin=b"", more=b'2\n{"v": 1}\nerror: no such verb'),
    ],
)
@pytest.mark.usefixtures("capsys")
def test_the_command_goes_on_if_the_keeper_does_not(commands: list[list[str]], stream: object) -> None:
    """It was asked for another project, has died, or the run is in the foreground."""
    assert callable(stream)
    assert down.show(stream(), ["down", "-v"]) == 3
    assert commands == [["down", "-v"]]


@pytest.mark.parametrize("has_begun", [True, False])
def test_ctrl_c_does_not_stop_the_keeper(
    commands: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    has_begun: bool,
) -> None:
    """It is said that the run still ends, if it does."""
    monkeypatch.setattr(down, "message_of", raises(KeyboardInterrupt))
    monkeypatch.setattr(anyio, "wait_readable", anyio.wait_readable if has_begun else raises(KeyboardInterrupt))
    assert down.show(keeper(BEGIN[0]), ["down"]) == 130
    assert (down.GOES_ON in capsys.readouterr().out) is has_begun
    assert commands == []


def raises(error: type[BaseException]) -> Callable[..., object]:
    """A function that raises the error."""

    def fail(*_: object) -> object:
        raise error

    return fail


def test_a_keeper_that_hangs(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command does not wait long for its first word."""
    monkeypatch.setattr(client, "PATIENCE", 0.05)
    ours, its = socket.socketpair()
    with its:
        assert down.show(ours, ["down"]) == 3
    assert commands == [["down"]]
