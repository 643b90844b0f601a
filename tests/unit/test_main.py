"""The command as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_no_crash(tmp_path: Path, closed: str) -> None:
    """Where the shell closed a stream, the command does and answers what it would otherwise."""
    command = f'exec "$0" -m devenv images --file {tmp_path}/missing.yml'
    expected = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, check=False)
    ended = subprocess.run(
        ["sh", "-c", f"{command} {closed}", sys.executable], capture_output=True, text=True, check=False
    )
    assert ended.returncode == expected.returncode == 5
    assert "Traceback" not in ended.stdout + ended.stderr


def test_the_end_is_quick() -> None:
    """At exit nothing is left for the interpreter to look through."""
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 1000)); "
    code += "from devenv.__main__ import main; main(['images', '--file', 'missing.yml'])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1] == "True"
