"""`devenv` without arguments."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from devenv.cli import bare
from devenv.errors import StateError

Capture = pytest.CaptureFixture[str]


def test_the_status_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Capture) -> None:
    """On stdout, with what can be typed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    assert bare.run() == 0
    out, err = capfd.readouterr()
    assert "devenv new" in out
    assert err == ""
    bare.print_status((), None, as_json=False, quiet=True)
    assert capfd.readouterr().out == out.splitlines(keepends=True)[0]


@pytest.mark.parametrize(
    ("error", "code", "text"), [(KeyboardInterrupt(), 130, ""), (StateError("no room"), 3, "error: no room\n")]
)
def test_errors_are_those_of_other_commands(
    monkeypatch: pytest.MonkeyPatch, capfd: Capture, error: BaseException, code: int, text: str
) -> None:
    """One line and the exit code; Ctrl-C is 130 without a word."""

    async def here(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(bare, "here", here)
    assert (bare.run(), capfd.readouterr().err) == (code, text)
