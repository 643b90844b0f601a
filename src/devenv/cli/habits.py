"""What people type out of habit: `ps` and `logs` as for Compose, and a command after `--`."""

from __future__ import annotations

from devenv.cli import options

FLAGS = {"ps": {"-w", "--watch"}, "logs": {"-f", "--follow", "-t", "--timestamps"}}
VALUED = {"ps": {"-f", "--file"}, "logs": {"--file", "--since", "-n", "--tail", "--grep"}}
SHARED = {"-p", "--project-name", "--profile", "--output"}


def prepared(verb: str | None, before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """The options before and after the verb so that typer understands them.

    `-f` before `logs` names a file, and after it follows. A second `--` stays for `shell` to find its command by.
    """
    if verb == "logs":
        before = [_long(one) for one in before]
    if verb == "shell" and "--" in after:
        at = after.index("--")
        after = [*after[:at], "--", *after[at:]]
    return before, after


def is_ours(verb: str, before: list[str], after: list[str]) -> bool:
    """Whether it is: with an option that only Compose has, `ps` and `logs` are Compose's own."""
    if verb not in FLAGS:
        return True
    rest = iter([*before, *after])
    for argument in rest:
        name, sign, value = argument.partition("=")
        if name in VALUED[verb] | SHARED:
            value = value if sign else next(rest, "")
            if name == "--output" and value not in tuple(options.Output):
                return False
        elif argument.startswith("-") and argument not in {"-h", "--help", *FLAGS[verb]}:
            return False
    return True


def _long(option: str) -> str:
    if option == "-f":
        return "--file"
    return f"--file={option[2:].removeprefix('=')}" if option.startswith("-f") else option
