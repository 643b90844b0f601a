"""Command lines in Compose's style: `-f` before `logs`, options of its `ps` and `logs`, a command after `--`."""

from __future__ import annotations

from collections.abc import Iterator

from devenv.errors import meant

FLAGS = {"ps": {"-w", "--watch"}, "logs": {"-f", "--follow", "-t", "--timestamps"}}
VALUED = {"ps": {"-f", "--file"}, "logs": {"--file", "--since", "-n", "--tail", "--grep"}}
# Options of Compose; newer ones are recognized because they resemble none of devenv's.
COMPOSE = {
    "-a", "--all", "--filter", "--format", "--no-trunc", "--orphans", "-q", "--quiet", "--services", "--status",
    "--index", "--no-color", "--no-log-prefix", "--until",
}  # fmt: skip
SHARED = {"-p", "--project-name", "--profile", "--output"}


def prepared(verb: str | None, before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """The words before and after the verb, rewritten for typer.

    `-f` before `logs` names a file, and after it follows. A second `--` stays for `shell` to find its command by.
    """
    if verb == "logs":
        before = [_long(word) for word in before]
    if verb == "shell" and "--" in after:
        at = after.index("--")
        after = [*after[:at], "--", *after[at:]]
    return before, after


def is_ours(verb: str, before: list[str], after: list[str]) -> bool:
    """Whether devenv runs the verb: with an option that only Compose has, Compose runs `ps` and `logs`."""
    if verb not in FLAGS:
        return True
    flags, valued = {"-h", "--help", "-v", "--verbose", *FLAGS[verb]}, VALUED[verb] | SHARED
    rest = iter([*before, *after])
    for argument in rest:
        if argument == "--":
            break
        for option, value in _options(argument, valued):
            if option not in flags | valued and (option in COMPOSE or meant(option, flags | valued) is None):
                return False
            if option in valued and value is None:
                next(rest, None)
    return True


def _options(argument: str, valued: set[str]) -> Iterator[tuple[str, str | None]]:
    """Each option of an argument (`-ft` is two) with the value in the same argument, or None."""
    if argument.startswith("--"):
        name, sign, value = argument.partition("=")
        yield name, value if sign else None
    elif argument.startswith("-"):
        for index, letter in enumerate(argument[1:], 2):
            yield f"-{letter}", argument[index:] or None
            if f"-{letter}" in valued:
                break


def _long(option: str) -> str:
    if option == "-f":
        return "--file"
    return f"--file={option[2:].removeprefix('=')}" if option.startswith("-f") else option
