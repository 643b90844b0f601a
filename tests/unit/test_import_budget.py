"""Modules that the quick commands must not import: checked by name, since times differ between machines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "asyncio", "h11", "pydantic", "python_on_whales", "rich", "watchfiles", "yaml",
}  # fmt: skip
PATTERNS = "devenv.explain.log_lines"  # compiles for 6 ms
MODULES_OF_PS = 53  # of devenv
ANSWERED = """
import datetime
from devenv.docker import context
from devenv.model.containers import Container
web = Container("0", "p-web-1", "web", "running", ours=False)
context.local_containers = lambda name: ((web,), datetime.datetime.now(datetime.UTC))
"""

# Runs main() as the entry point does, swallows what it prints, and prints the modules that are loaded by then.
SNIPPET = """
import contextlib, io, sys
out = io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
    try:
        from devenv.__main__ import main
        code = main(sys.argv[1:])
    except SystemExit as end:
        code = end.code
print(repr((code or 0, out.getvalue())))
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize(
    ("argv", "absent"),
    [
        (["--version"], HEAVY | {"typer", "click", "anyio", "json", "subprocess"}),
        (["--help"], HEAVY),
        (["ps", "--help"], HEAVY),
        (["__complete", "bash", ""], HEAVY | {"typer", "click", "anyio", "json", "subprocess", "textwrap"}),
        (["__complete", "bash", "logs", ""], (HEAVY - {"yaml"}) | {"typer", "anyio", "subprocess", "difflib"}),
        (["up", "--help"], HEAVY),
        (["down", "--help"], HEAVY),
        (["new", "--help"], HEAVY | {"jinja2"}),
        (["images", "--help"], HEAVY),
        (["images", "save", "--help"], HEAVY),
        (["help", "down"], HEAVY),
        (["up", "--detch"], HEAVY),
        (["up", "--timeout", "nan", "--output", "json"], HEAVY),
    ],
    ids=" ".join,
)
def test_a_quick_command_loads_no_heavy_module(argv: list[str], absent: set[str]) -> None:
    """In a fresh interpreter it has output, help exits with 0 and a mistake with 2, without these modules."""
    outcome, modules = _fresh_interpreter(argv)
    assert outcome.startswith("(0, " if {"--version", "--help", "help", "__complete"} & {*argv} else "(2, ")
    assert not outcome.endswith(" '')")
    assert modules & absent == set()


def test_devenv_alone_loads_only_what_it_needs() -> None:
    """Modules that parse command lines, draw, watch, scaffold or build are not loaded."""
    outcome, modules = _fresh_interpreter([])
    assert outcome.startswith("(0, ")
    absent = HEAVY - {"asyncio", "h11", "yaml"} | {"typer", "jinja2", "devenv.cli.registry", PATTERNS}
    assert modules & absent == set()


BEFORE_COMPOSE = """
import importlib, os, sys, threading
from devenv.docker import process

async def run(*_, **__):
    print(*sorted(sys.modules))
    sys.stdout.flush()
    os._exit(0)

process.run = run
from devenv.__main__ import main
load = importlib.import_module

def import_module(name, *more):
    if name == "devenv.run.up":
        threading.Event().wait(30)  # what is loaded while Compose is at work, does not count
    return load(name, *more)

importlib.import_module = import_module
main(["up"])
"""


def test_up_loads_only_what_it_needs_before_it_asks_compose(tmp_path: Path) -> None:
    """All that comes later is loaded while Compose reads the project."""
    (tmp_path / "compose.yml").write_text("services: {web: {image: a}}\n")
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_COMPOSE], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    modules = {*done.stdout.split()}
    late = {"devenv.run.up", "devenv.compose.parse", "devenv.sync.rules.lint", "devenv.redact", "jinja2", PATTERNS}
    assert {"yaml", "devenv.run.preload"} <= modules
    assert modules & (HEAVY - {"asyncio", "yaml"} | late) == set()


def test_what_follows_the_build_is_not_loaded_before_it() -> None:
    """The step `build` loads the modules of a running project while BuildKit works."""
    _, modules = _fresh_interpreter(["--version"], before="import devenv.run.up\n")
    assert "devenv.images.prepare" in modules
    assert modules & {"typer", "devenv.run.active.project", "devenv.sync.session", "tarfile"} == set()


def test_ps_loads_only_what_it_needs(tmp_path: Path) -> None:
    """`devenv ps` asks a local engine without an event loop, and loads no event and no other way to an engine."""
    (tmp_path / "compose.yml").write_text("services: {web: {image: a}}\n")
    done = subprocess.run(
        [sys.executable, "-c", ANSWERED + SNIPPET, "ps"], cwd=tmp_path, capture_output=True, text=True, check=True,
        timeout=60, env={**os.environ, "DOCKER_HOST": "unix:///nowhere", "XDG_STATE_HOME": str(tmp_path / "state")},
    )  # fmt: skip
    outcome, modules = done.stdout.splitlines()
    assert outcome.startswith("(0, 'SERVICE")
    ours = {name for name in modules.split() if name.startswith("devenv")}
    absent = HEAVY - {"yaml"} | {"typer", "anyio.abc", "secrets", "devenv.events", "devenv.docker.client", PATTERNS}
    absent |= {"socket", "urllib.parse", "_hashlib"}
    absent |= {"inspect"} if sys.version_info < (3, 13) else set()  # from then on, `dataclasses` calls it
    assert {*modules.split()} & absent == set()
    assert len(ours) <= MODULES_OF_PS, ours


def test_yaml_is_loaded_without_compiling_what_is_not_used() -> None:
    """The reader and the resolver that are written in Python."""
    snippet = (
        "from devenv.compose import outline\nimport yaml\nprint(type(yaml.reader.Reader.NON_PRINTABLE).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "LazyPattern\n"


def test_the_guard_sees_a_loaded_module() -> None:
    """An imported module is in the list that the guard checks."""
    _, modules = _fresh_interpreter(["--version"], before="import yaml, asyncio\n")
    assert {"yaml", "asyncio"} <= modules


def _fresh_interpreter(argv: list[str], before: str = "") -> tuple[str, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", before + SNIPPET, *argv], capture_output=True, text=True, check=True, timeout=60
    )
    outcome, modules = done.stdout.splitlines()
    return outcome, set(modules.split())
