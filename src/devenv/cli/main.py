"""The typer app, and the verbs that go to docker compose as they are."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from devenv import __version__
from devenv.cli import errors, named, options, passthrough
from devenv.cli.commands import one_off
from devenv.cli.commands.add import add, remove
from devenv.cli.commands.doctor import doctor
from devenv.cli.commands.graph import graph
from devenv.cli.commands.images import images
from devenv.cli.commands.layers import layers
from devenv.cli.commands.logs import logs
from devenv.cli.commands.new import new
from devenv.cli.commands.open import open_
from devenv.cli.commands.ps import ps
from devenv.cli.commands.release import build, push
from devenv.cli.commands.rules import config, explain
from devenv.cli.commands.shell import shell
from devenv.cli.commands.snapshot import snapshot
from devenv.cli.commands.sync import sync
from devenv.cli.commands.up import down, gc, up
from devenv.cli.completion import completion
from devenv.cli.options import Files, Format, Name, Output, Profiles, Quiet
from devenv.errors import DevenvError

HELP = """A development environment for any Compose project: up, in sync with your editor, gone without a trace.

Any other command (exec, run, stop, ...) goes to `docker compose` with this project's files and name.
"""

app = typer.Typer(
    name="devenv",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
BUG = 70
INTERRUPTED = 130
COMMANDS = frozenset({
    "up", "down", "gc", "images", "sync", "explain", "config", "snapshot", "build", "push", "layers", "graph",
    "doctor", "new", "add", "remove", "ps", "logs", "shell", "open", "completion",
})  # fmt: skip
GROUPS: dict[str, list[str]] = {
    "snapshot": [],
    "images": ["list"],
}  # and the command of each that is meant without one
FINISHERS = frozenset({"up", "down", "gc", errors.HERE})  # these tell of what an earlier run left themselves
app.command("new")(new)
app.command("up")(up)
app.command("down")(down)
app.command("gc")(gc)
app.command("ps")(ps)
app.command("logs")(logs)
app.command("shell")(shell)
app.command("open")(open_)
app.command("completion")(completion)
app.command("layers")(layers)
app.command("graph")(graph)
app.command("add")(add)
app.command("remove")(remove)
app.command("build")(build)
app.command("push")(push)
app.command("explain")(explain)
app.command("config")(config)
app.command("sync")(sync)
app.add_typer(images, name="images", help="List the images that the project needs; pull, save and load them.")
app.command("doctor")(doctor)
app.add_typer(snapshot, name="snapshot", help="Save, list and restore the content of volumes.")


@app.callback(help=HELP)
def shared(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """Keeps typer from folding a single command into the program itself."""


@app.command(errors.HERE, hidden=True)
def here(
    file: Files = None,
    project_name: Name = None,
    _profile: Profiles = None,
    output: Format = Output.TEXT,
    *,
    quiet: Quiet = False,
) -> None:
    """Say what stands here, and what can be done about it."""
    from devenv.cli.commands.status import tell  # noqa: PLC0415 - `--help` must not pay for it

    tell(tuple(file or ()), project_name, as_json=output is Output.JSON, quiet=quiet)


def run(arguments: list[str]) -> int:
    """The exit code; errors are said, in JSON too where that was asked for."""
    options.begin(arguments)
    try:
        return _run(arguments)
    except DevenvError as error:
        options.console().error(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:  # noqa: BLE001 - the last line of defence: nobody is to see a traceback
        options.console().error(_crash(error))
        return BUG


def _run(arguments: list[str]) -> int:
    before, verb, after = options.split(arguments)
    verbosity, before = options.verbosity(before)
    options.trace(verbosity)
    before, after = passthrough.prepared(verb, before, after)
    wants_help = bool({"-h", "--help"} & {*before, *after})
    if verb in (None, "help"):
        if "--version" in before:
            options.console().line(f"devenv {__version__}")
            return 0
        if verb or wants_help:
            return errors.invoke(app, [*after, "--help"])
        verb = errors.HERE
    if verb in GROUPS:  # common options are those of its own command
        own, command, rest = options.split(after)
        if command:
            errors.require_options(own, f"devenv {verb}")
        default = [] if wants_help else GROUPS[verb]
        before, after = [*([command] if command else default), *own, *before], rest
    is_ours = verb in {errors.HERE, *COMMANDS} and passthrough.is_ours(verb, before, after)
    is_ours = is_ours and (verb != "config" or options.are_shared([*before, *after]))
    if not is_ours:
        errors.require_options(before)
        errors.require_verb(verb, COMMANDS)
        named.require_known(verb, before, after)
    if verb not in FINISHERS and not wants_help:
        _tell_of_earlier_runs()
    return errors.invoke(app, [verb, *before, *after]) if is_ours else _pass_through(before, verb, after)


def _tell_of_earlier_runs() -> None:
    import contextlib  # noqa: PLC0415 - only where a command runs

    from devenv.state.run_dir import Run  # noqa: PLC0415 - as above

    with contextlib.suppress(DevenvError):  # the state folder cannot be used: whoever needs it says so
        if any(Run.dead(("up", "left"))):
            import anyio  # noqa: PLC0415 - rarely needed

            from devenv.run.cleanup.remains import everywhere  # noqa: PLC0415 - as above

            for line in anyio.run(everywhere):
                options.console().aside(line)


def _crash(error: Exception) -> DevenvError:
    """A bug of ours in one line; the traceback lies in the state folder, if there is room for it."""
    import os  # noqa: PLC0415 - only on the way out
    import traceback  # noqa: PLC0415 - as above

    from devenv import private_files  # noqa: PLC0415 - as above
    from devenv.state.home import state_folder  # noqa: PLC0415 - as above
    from devenv.ui.text import clean_lines  # noqa: PLC0415 - as above

    try:
        path = os.path.join(state_folder(), "crash.log")
        said = clean_lines("".join(traceback.format_exception(error)))  # it is read with `cat`
        private_files.replace(path, f"{said}\n", durable=False)
    except (DevenvError, OSError):
        return DevenvError(f"devenv itself failed ({type(error).__name__}: {error}); this is a bug")
    return DevenvError(f"devenv itself failed ({type(error).__name__}); this is a bug", hint=f"cat {path}")


def _pass_through(before: list[str], verb: str, after: list[str]) -> NoReturn:
    from devenv.docker import process  # noqa: PLC0415 - only for verbs that are not ours

    options.asked.output = options.wanted_output(before)
    theirs: list[str] = []
    rest = iter(before)
    for argument in rest:
        value = [next(rest, "")] if argument in options.WITH_VALUE else []
        if argument.partition("=")[0] not in options.OURS_ALONE:
            theirs += [argument, *value]
    if name := options.worktree_name(before):
        theirs += ["-p", name]
    if verb in one_off.VERBS:
        one_off.run(verb, before, after)
    process.replace(["docker", "compose", *theirs, verb, *after])
