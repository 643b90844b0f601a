"""Fixtures of the tests of `new`, `add` and `remove`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from devenv.__main__ import main
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add import services
from devenv.scaffold.new import render


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


New = Callable[..., Done]


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> New:
    """`devenv new ARGS`, in the folder `work`; templates are rendered without a child process."""

    async def child(_argv: object, *, stdin: bytes, cwd: str) -> SimpleNamespace:
        assert cwd == "/"
        return SimpleNamespace(returncode=0, stdout=json.dumps(render.main(json.loads(stdin))))

    monkeypatch.setattr(render, "process", SimpleNamespace(run=child))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*arguments: str) -> Done:
        code = 0
        try:
            code = main(["new", *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No Compose is asked here (tests/engine does), every port is free, and passwords are known."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))

    async def accepts(*_: object) -> None:
        pass

    monkeypatch.setattr(proposals, "check", accepts)
    monkeypatch.setattr(
        services,
        "free_port",
        lambda _, wanted, besides: next(port for port in range(wanted + 1, 65536) if port not in besides),
    )
    real = secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", lambda count: "s" * 32 if count == 16 else real(count))
