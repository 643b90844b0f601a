"""Calls of the docker CLI, and what their failures become."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from devenv.docker import cli, process
from devenv.errors import EngineError

pytestmark = pytest.mark.anyio


class Child:
    """Stands in for `process.run`: prints this, and ends with that code."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, printed: bytes = b"", errors: bytes = b"", code: int = 0
    ) -> None:
        self.argv: list[str] = []
        self.env: dict[str, str] = {}

        async def run(argv: list[str], *, env: dict[str, str] | None = None) -> process.Completed:
            self.argv, self.env = argv, env or {}
            return process.Completed(code, printed, errors)

        monkeypatch.setattr(process, "run", run)


async def test_files_of_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """No container stays, nothing is pulled, and nothing reaches the network."""
    child = Child(monkeypatch, b"a\nb\n\0\0")
    assert await cli.read("image", "/there", "/missing") == ["a\nb\n", ""]
    assert {"--rm", "--pull=never", "--network=none"} <= {*child.argv}
    assert child.argv[-2:] == ["/there", "/missing"]


async def test_a_build_asks_no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(monkeypatch)
    await cli.build("/context", "image", args={"A": "b"}, labels={"l": "v"})
    assert {"--network=none", "--tag=image", "/context", "--build-arg=A=b", "--label=l=v"} <= {*child.argv}
    assert child.env.items() >= {("BUILDKIT_NO_CLIENT_TOKEN", "1")}


async def test_an_archive_is_imported_with_its_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(monkeypatch)
    await cli.import_archive("/root.tar", "image", ["ENV A=b"])
    assert child.argv == ["docker", "import", "--change=ENV A=b", "/root.tar", "image"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cli.read("image", "/x"), "image cannot be read: why"),
        (lambda: cli.build("/x", "image", args={}, labels={}), "`docker build` failed: why"),
        (lambda: cli.import_archive("/x", "image", []), "`docker import` failed: why"),
    ],
)
async def test_the_last_line_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], Awaitable[object]], message: str
) -> None:
    Child(monkeypatch, errors=b"first\n why \n\n", code=1)
    with pytest.raises(EngineError) as raised:
        await call()
    assert raised.value.message == message


def test_a_reason_has_an_end() -> None:
    assert cli.last_line("x" * 300) == "x" * 200
    assert cli.last_line(" \n") == "no reason given"
