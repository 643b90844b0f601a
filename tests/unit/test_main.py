"""The command as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from devenv.__main__ import main


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_no_crash(tmp_path: Path, closed: str) -> None:
    """If the shell closed a stream, the command closes it too, and otherwise behaves as usual."""
    command = f'exec "$0" -m devenv images --file {tmp_path}/missing.yml'
    expected = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, check=False)
    ended = subprocess.run(
        ["sh", "-c", f"{command} {closed}", sys.executable], capture_output=True, text=True, check=False
    )
    assert ended.returncode == expected.returncode == 5
    assert "Traceback" not in ended.stdout + ended.stderr


def test_exit_is_quick() -> None:
    """At exit nothing is left for the interpreter to look through."""
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 1000)); "
    code += "from devenv.__main__ import main; main(['images', '--file', 'missing.yml'])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1] == "True"


def test_no_collection_while_modules_are_imported() -> None:
    """What a command imports is never looked through for garbage."""
    code = "import gc; from devenv.__main__ import main; seen = lambda: [s['collections'] for s in gc.get_stats()]; "
    code += "gc.collect(); was = seen(); main(['images', '--file', 'missing.yml']); print(seen() == was)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1] == "True"


INTERRUPT = """
import builtins, os, signal, sys
from devenv.__main__ import main
real = builtins.__import__
def interrupted(name, *context, **more):
    if name == "devenv.cli":  # before the command
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *context, **more)
builtins.__import__ = interrupted
sys.exit(main(sys.argv[1:]))
"""


def test_an_interrupt_while_modules_are_imported_is_silent() -> None:
    """Ctrl-C right after the start ends the process as the signal does, without a traceback."""
    ended = subprocess.run([sys.executable, "-c", INTERRUPT, "ps"], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGINT
    assert ended.stderr == ended.stdout == ""


def test_the_handler_of_a_caller_stays() -> None:
    """Python's own handler is back for the command; another handler and that of a caller in a thread stay."""
    before = signal.getsignal(signal.SIGINT)
    assert main(["images", "--file", "missing.yml"]) == 5
    assert signal.getsignal(signal.SIGINT) is before
    codes: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        thread = threading.Thread(target=lambda: codes.append(main(["images", "--file", "missing.yml"])))
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert codes == [5]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has this device")
@pytest.mark.parametrize("line", ["--version", "--help", "help sync", "ps --help", "", "ls --output json", "ls"])
def test_an_answer_that_cannot_be_written_is_an_error_without_a_traceback(line: str) -> None:
    """The disk of a redirected output is full."""
    with open("/dev/full", "wb") as full:
        argv = [sys.executable, "-m", "devenv", *line.split()]
        ended = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr == "error: the answer cannot be written: No space left on device\n"
    assert ended.returncode == 1
