"""The commands and their modules."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

from devenv.cli import registry

EVERY = {**registry.COMMANDS, "": registry.STATUS}


@pytest.mark.parametrize("name", EVERY)
def test_the_help_is_the_docstring_of_the_function(name: str) -> None:
    """`devenv --help` shows what `devenv NAME --help` begins with."""
    module, _, function = EVERY[name].function.partition(":")
    command = getattr(importlib.import_module(f"devenv.cli.commands.{module}"), function)
    assert (inspect.getdoc(command) or "").partition("\n\n")[0].replace("\n", " ") == EVERY[name].help


def test_a_group_has_members_and_its_default_is_a_member() -> None:
    """A word that names no group has no members."""
    assert {name for name in registry.names() if registry.members(name)} == set(registry.GROUPS)
    assert [*registry.members("images")] == ["list", "pull", "save", "load"]
    defaults = {name: group.default for name, group in registry.GROUPS.items() if group.default}
    assert all(default in registry.members(name) for name, default in defaults.items())


def test_each_help_is_short_and_the_sections_begin_with_commands() -> None:
    """It fits beside the name of the command on a terminal of 80 columns."""
    texts = [
        *(command.help for command in registry.COMMANDS.values()),
        *(command.help for command in registry.GROUPS.values()),
    ]
    assert [text for text in texts if len(text) > 55] == []
    assert registry.SECTIONS.keys() <= registry.names().keys()
    assert next(iter(registry.names())) in registry.SECTIONS


def test_no_command_module_loads_what_only_a_run_needs() -> None:
    """All of them together import no library of ours but typer, so that `--help` of each is quick."""
    modules = sorted({command.function.partition(":")[0] for command in EVERY.values()})
    code = f"import sys, {', '.join(f'devenv.cli.commands.{name}' for name in modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "typer" in loaded
    assert loaded & {"anyio", "asyncio", "h11", "jinja2", "python_on_whales", "rich", "watchfiles", "yaml"} == set()
