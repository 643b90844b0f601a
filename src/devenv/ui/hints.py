"""Repeat the options that select the project in the commands that hints propose, so that they can be copied."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from devenv.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class ProjectOptions:
    """Options of a command line that select the project. `verbs`: the commands that take them."""

    files: Sequence[str] = ()
    project_name: str | None = None
    isolated: str | None = None  # the value of `--isolated`, which may be empty
    profiles: Sequence[str] = ()
    verbs: Collection[str] = ()

    def in_hint(self, hint: str | None) -> str | None:
        """The hint; its commands select the same project, unless they name another."""
        return self._selected(hint, "") if hint and self._has_any else hint

    def in_message(self, message: str) -> str:
        """The message; the commands in parentheses, such as `(devenv up)`, select the same project."""
        return self._selected(message, r"(?<=\()") if self._has_any else message

    def in_answer(self, value: Any) -> Any:
        """The value for JSON, with its hints, and with its messages."""
        if isinstance(value, str):
            return self.in_message(value)
        if isinstance(value, Mapping):
            texts = {key: self.in_hint(value[key]) for key in ("hint", "command") if isinstance(value.get(key), str)}
            return {key: self.in_answer(entry) for key, entry in value.items()} | texts
        return [*map(self.in_answer, value)] if isinstance(value, list | tuple) else value

    @property
    def _has_any(self) -> bool:
        return bool(self.files or self.profiles or self.project_name) or self.isolated is not None

    def _selected(self, text: str, before: str) -> str:
        names = "|".join(map(re.escape, self.verbs))
        command = rf"{before}(?<![\w./-])devenv (?P<rest>(?:{names})(?![\w-])[^,;`()&]*)"
        return re.sub(command, self._with_options, text)

    def _with_options(self, command: re.Match[str]) -> str:
        rest = command["rest"]
        if re.match(r"down [\w]", rest):  # the project is its argument
            return command[0]
        words = rest.split()
        own = {word for word in words if not (word == "-f" and words[0] == "logs")}  # which follows them
        return " ".join(["devenv", *self._missing(own), rest])

    def _missing(self, words: Collection[str]) -> Iterable[str]:
        """The options that the command does not have itself."""
        names = {word.partition("=")[0] for word in words}
        if not names & {"-f", "--file"}:
            yield from (f"-f {shlex.quote(path)}" for path in self.files)
        if not names & {"-p", "--project-name", "--isolated"}:
            if self.project_name is not None:
                yield f"-p {shlex.quote(self.project_name)}"
            if self.isolated is not None:
                yield f"--isolated={shlex.quote(self.isolated)}" if self.isolated else "--isolated"
        if "--profile" not in names:
            yield from (f"--profile {shlex.quote(name)}" for name in self.profiles)
