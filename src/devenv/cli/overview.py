"""The overview of all commands and of groups, and the pages of the documentation, without typer."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Iterator, Sequence

from devenv import docs_folder
from devenv.cli import registry
from devenv.errors import UsageError, closest
from devenv.lazy_imports import LazyImports

with LazyImports():
    import textwrap

COMMANDS, CHINESE = "commands", "zh-CN"  # folders of pages
HELP = """Run Docker Compose projects while you develop: start, sync, save, clean up.

Any other command (exec, run, stop, ...) runs `docker compose` with the files
and the name of this project.
"""
MORE = (
    ("help [TOPIC]", "Print a page of the documentation, or list the pages."),
    ("COMMAND --help", "Print the options of a command."),
    ("--version", "Print the version and exit."),
)


def quick(arguments: Sequence[str]) -> str | None:
    """The overview for a command line that asks only for the overview; None for any other command line."""
    *words, last = arguments
    if last not in ("-h", "--help", "help") or (words and (len(words) > 1 or words[0] not in registry.GROUPS)):
        return None
    return "\n".join(lines(*words)) if last != "help" or not words else None


def lines(group: str = "") -> Iterator[str]:
    """The lines of the overview of all commands, or of a group; the commands are not imported."""
    yield f"Usage: {f'devenv {group}'.rstrip()} [OPTIONS] COMMAND [ARGS]..."
    if group:
        yield from ("", f"  {registry.GROUPS[group].help}", "")
        yield from _rows((name, command.help) for name, command in registry.members(group).items())
        return
    yield from ("", *(f"  {line}".rstrip() for line in HELP.splitlines()))
    for name, text in registry.names().items():
        if name in registry.SECTIONS:
            yield from ("", f"{registry.SECTIONS[name]}:")
        yield from _rows([(name, text)])
    yield from ("", "Help:", *_rows(MORE), "")
    pages = [name for name in topics() if not name.startswith(f"{COMMANDS}/")]
    translated = [name for name in pages if "/" in name]
    named = [f"{name}.md" if name in registry.names() else name for name in pages if name not in translated]
    for text in (f"Topics: {', '.join(named)}", f"In Chinese: {', '.join(translated)}"):
        yield from textwrap.wrap(text, 78, subsequent_indent="  ", break_on_hyphens=False)


def _rows(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"  {name:<16} {text}" for name, text in rows)


def topics() -> dict[str, str]:
    """The paths of the documentation's pages by name: `network`, `commands/up`, `zh-CN/network`."""
    folders = {"reference": "", "guides": "", "": "", COMMANDS: f"{COMMANDS}/", CHINESE: f"{CHINESE}/"}
    pages = {
        prefix + name.removesuffix(".md"): os.path.join(docs_folder(), folder, name)
        for folder, prefix in folders.items()
        for name in os.listdir(os.path.join(docs_folder(), folder))
        if name.endswith(".md")
    }
    return {name: pages[name] for name in sorted(pages) if name != "index"}


def _topic(word: str, pages: Container[str]) -> str:
    """The name of the page that a user asks for, in the user's language if it is translated."""
    name = word.removesuffix(".md")
    if name not in pages:  # the path in a link, such as `../guides/ci.md`
        *_, folder, name = f"/{name}".split("/")
        name = f"{folder}/{name}" if f"{folder}/{name}" in pages else name
    language = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    translated = f"{CHINESE}/{name}"
    return translated if language.startswith("zh") and translated in pages else name


def page(word: str) -> str:
    """The page of a topic; with `#ANCHOR`, the section with this anchor. Raises UsageError for an unknown topic."""
    name, _, anchor = word.partition("#")
    pages = topics()
    if (topic := _topic(name, pages)) not in pages:
        close = closest(word, [*registry.names(), *registry.OTHER_NAMES, *registry.COMPOSE])
        if close is None and (similar := closest(topic, pages)):
            close = f"help {similar}"
        hint = f"Did you mean `devenv {close}`?" if close else "devenv help"
        raise UsageError(f"no command or topic `{word}`", hint=hint)
    with open(pages[topic], encoding="utf-8") as file:
        text = file.read()
    parts = re.split(r"^(?=#+ )", text, flags=re.MULTILINE)
    text = next((part for part in parts if anchor and f'id="{anchor}"' in part), text)
    return re.sub(r'<a id="[^"]*"></a>|<!--.*?-->\n*', "", text)
