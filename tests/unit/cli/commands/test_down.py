"""`devenv down` shows how the keeper of a run ends it, or ends the run itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

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


def keeper(*events: Event, more: bytes = b"") -> socket.socket:
    """A connection to a keeper that has sent these events and ended."""
    ours, its = socket.socketpair()
    with its:
        its.sendall(b"".join(encoded(TimedEvent(1.0, event)) for event in events) + more)
    return ours


@pytest.mark.parametrize(("survivors", "code"), [((), 0), (("container shop-web-1",), 1)])
def test_the_end_is_shown(
    commands: list[list[str]], capsys: pytest.CaptureFixture[str], survivors: tuple[str, ...], code: int
) -> None:
    """In the chosen form; what this version does not know is left out."""
    stream = keeper(*BEGIN, Stopped(survivors), more=b'{"event": "newer", "at": 1.0, "value": {}}\n{}\n')
    assert down.show(stream, ["down", "--output", "json"]) == code
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert events == ["stopping", "removed", "stopped"]
    assert commands == []


@pytest.mark.parametrize(
    "stream", [keeper, lambda: keeper(*BEGIN), lambda: keeper(more=b'2\n{"v": 1}\nerror: no such verb')]
)
@pytest.mark.usefixtures("capsys")
def test_the_command_goes_on_if_the_keeper_does_not(commands: list[list[str]], stream: object) -> None:
    """It was asked for another project, has died, or the run is in the foreground."""
    assert callable(stream)
    assert down.show(stream(), ["down", "-v"]) == 3
    assert commands == [["down", "-v"]]


def test_ctrl_c_does_not_stop_the_keeper(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said that the run still ends."""

    def interrupted(_: socket.socket) -> Iterator[bytes]:
        yield encoded(TimedEvent(1.0, BEGIN[0]))
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "lines", interrupted)
    with keeper() as stream:
        assert down.show(stream, ["down"]) == 130
    assert down.GOES_ON in capsys.readouterr().out
    assert commands == []
