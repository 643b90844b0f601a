"""How the engine's streams become lines."""

from __future__ import annotations

import pytest

from devenv.docker import inspect
from devenv.docker.client import Read, _joined, _lines

pytestmark = pytest.mark.anyio

AT = b"2026-11-29T09:40:05.123456789Z "
SAID = AT.decode()


def reader(*frames: tuple[int, bytes]) -> Read:
    """Hands out the frames, then nothing."""
    left = list(frames)

    async def read() -> tuple[int, bytes] | None:
        return left.pop(0) if left else None

    return read


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([(1, AT + b"one\n"), (1, AT + b"two\n")], [("stdout", "one"), ("stdout", "two")]),
        (
            [(1, AT + b"a long "), (2, AT + b"other\n"), (1, AT + b"line\n")],
            [("stderr", "other"), ("stdout", "a long line")],
        ),
        ([(1, AT + b"x" * 9), (1, AT + b"y"), (1, AT + b"z")], [("stdout", "xxxxxxxxxyz")]),
        ([(1, AT + b"said " + AT + b"\n")], [("stdout", f"said {SAID}")]),
        ([(1, AT + b"\r\n"), (1, AT + b"\n")], [("stdout", ""), ("stdout", "")]),
        ([(1, b"2026-11-29T11:40:05+02:00 first "), (1, b"2026-11-29T11:40:05+02:00 piece\n")], None),
    ],
)
async def test_a_long_line_has_its_time_once(
    frames: list[tuple[int, bytes]], expected: list[tuple[str, str]] | None
) -> None:
    """The engine hands it out in pieces with a time before each; what the container itself printed stays."""
    found = [line async for line in _lines(_joined(reader(*frames)))]
    if expected is None:
        assert found == [("stdout", "2026-11-29T11:40:05+02:00 first piece")]
    else:
        assert found == [(stream, SAID + text) for stream, text in expected]


def test_a_container_that_is_killed_at_once_has_no_grace_period() -> None:
    """`stop_grace_period: 0s` is no period of ten seconds, which is what it means to name none."""

    def stop_timeout(config: dict[str, int]) -> float:
        return inspect.container(
            {"Id": "1", "Name": "/x", "State": {"Status": "running"}, "Config": config}
        ).stop_timeout

    assert [stop_timeout({"StopTimeout": 0}), stop_timeout({"StopTimeout": 3}), stop_timeout({})] == [0, 3, 10]


def test_published_ports_are_read_by_their_protocol() -> None:
    """Each on its own side; a port that is only exposed is none."""
    ports = {
        "80/tcp": [{"HostIp": "::", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "", "HostPort": "53"}],
        "9/udp": None,
    }
    shown = {"Id": "1", "Name": "/x", "State": {"Status": "running"}, "NetworkSettings": {"Ports": ports}}
    found = inspect.container({**shown, "Config": {}})
    assert (found.ports, found.udp_ports) == ((("::", 8080, 80),), (("", 53, 53),))
