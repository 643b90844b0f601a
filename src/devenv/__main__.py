"""The command `devenv`: `--version`, the overview, completion and the bare status without typer; else `cli.main`."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # `signal` imports more, which Ctrl-C could interrupt
import atexit
import gc
import os
import sys

from devenv import __version__
from devenv.lazy_imports import LazyImports

TYPE_CHECKING = False  # `typing` takes longer than all else before a command
if TYPE_CHECKING:
    from collections.abc import Callable

with LazyImports():  # `--version` needs none of these
    import functools

    from devenv.cli import main as app
    from devenv.cli import overview
    from devenv.cli.commands import completion, down, show
    from devenv.run import client

LOADED = 100_000  # objects: more than all imports create, which stay, so that to look for garbage is a waste of time


def main(argv: list[str] | None = None) -> int:
    """Run a command line (without the program's name) and return its exit code.

    Without `argv`, that of the process: a command that only prints an answer ends the process.
    """
    if python_handler := _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # an interrupted import would print a traceback
        atexit.register(_signal.signal, _signal.SIGINT, _signal.SIG_DFL)
    gc.set_threshold(LOADED)
    run = _prepared(sys.argv[1:] if argv is None else argv, answer=_answer_and_exit if argv is None else _answer)
    if python_handler:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    return run()


def _prepared(arguments: list[str], answer: Callable[..., Callable[[], int]]) -> Callable[[], int]:
    """The function for a command line, with most of the modules that it needs."""
    if arguments == ["--version"]:
        return answer(f"devenv {__version__}")
    _open_standard_streams()
    if arguments[:1] == ["__complete"]:
        return answer("\n".join(completion.candidates(arguments[1:])))
    if arguments[:1] == ["settle"] and (settled := client.quick(arguments[1:])) is not None:
        return answer(settled[1], settled[0])
    if arguments[:1] == ["down"] and (stream := client.begin_down(arguments[1:])) is not None:
        return functools.partial(down.show, stream, arguments)
    if arguments and (text := overview.quick(arguments)) is not None:
        return answer(text)
    atexit.register(gc.freeze)  # no collection at exit: it takes longer than `--version`
    return functools.partial(app.run, arguments) if arguments else show.bare


def _answer(text: str, code: int = 0) -> Callable[[], int]:
    try:
        print(text, flush=True)  # noqa: T201 - the console takes longer than the answer
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the flush at exit fails, too
    except OSError as error:  # a full disk
        os.write(2, f"error: the answer cannot be written: {error.strerror}\n".encode())
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 1
    return lambda: code


def _answer_and_exit(text: str, code: int = 0) -> Callable[[], int]:
    """Exit without taking the interpreter down, which takes a fifth of the time of such a command."""
    os._exit(_answer(text, code)())


def _open_standard_streams() -> None:
    """Open closed standard streams as /dev/null: the first socket would get their descriptor otherwise."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)  # open returns the lowest free one, mostly this
            mode = "r" if descriptor == 0 else "w"
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115 - open until exit


if __name__ == "__main__":
    sys.exit(main())
