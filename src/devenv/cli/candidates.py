"""A command line that is being typed -> what may come next. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from devenv.cli.completion_table import WORDS

# Verbs of docker compose that go there as they are, and which of their arguments are services.
COMPOSE = {
    **dict.fromkeys(("exec", "run"), ("service", "file*")),
    **dict.fromkeys(("attach", "port"), ("service",)),
    **dict.fromkeys(("cp", "version"), ("text*",)),
    **dict.fromkeys(
        ("create", "events", "kill", "pause", "pull", "restart", "rm", "scale", "start", "stats", "stop", "top"),
        ("service*",),
    ),
    **dict.fromkeys(("scale", "unpause", "wait"), ("service*",)),
}
SHARED = {
    "--file": "file", "-f": "file", "--project-name": "text", "-p": "text", "--profile": "profile",
    "--output": "text|json", "--quiet": "", "-q": "", "--verbose": "", "-v": "",
}  # fmt: skip
HELP = ("", "Show what it takes.")


@dataclass(slots=True)
class Typed:
    """What the words up to the current one say; `expects` is what the option before it takes."""

    verb: str = ""
    arguments: list[str] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)
    expects: str = ""
    is_over: bool = False  # behind `--`

    @property
    def options(self) -> Mapping[str, tuple[str, str]]:
        """What the verb takes of options."""
        if self.verb in COMPOSE:
            return {}
        own = WORDS[self.verb][1] if self.verb in WORDS else {}
        common = {} if self.verb else {name: (taken, "") for name, taken in SHARED.items()}
        return {**common, **own, "--help": HELP, "-h": HELP}

    def takes(self, option: str) -> str:
        """What the option takes; nothing where it is a flag or unknown."""
        return self.options[option][0] if option in self.options else SHARED.get(option, "")

    def take(self, word: str) -> None:
        """One more word."""
        name, sign, value = word.partition("=")
        if self.expects:
            self._keep(self.expects, word)
            self.expects = ""
        elif self.is_over:
            self.arguments.append(word)
        elif word == "--":
            self.is_over = True
        elif word.startswith("-"):
            taken = self.takes(name)
            if taken and sign:
                self._keep(taken, value)
            elif taken:
                self.expects = taken
        elif not self.verb:
            self.verb = word
        elif f"{self.verb} {word}" in WORDS:
            self.verb = f"{self.verb} {word}"
        else:
            self.arguments.append(word)

    def _keep(self, kind: str, value: str) -> None:
        self.values.setdefault(kind, []).append(value)


@dataclass(frozen=True, slots=True)
class Next:
    """`words` that may come, with their help; or `kind` of what is not known here: service, file, profile, ...

    Each candidate begins with `before`, which is no part of the current word for the shell.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    before: str = ""
    current: str = ""
    typed: Typed = field(default_factory=Typed)


def following(words: Sequence[str], *, splits: bool = False) -> Next:
    """What may come in place of the last word. `splits`: the shell takes `--option=value` for three words."""
    whole = _joined(words) if splits else list(words)
    is_split = whole[-1:] != list(words[-1:])
    typed = Typed()
    for word in whole[:-1]:
        typed.take(word)
    current = whole[-1] if whole else ""
    option, sign, value = current.partition("=")
    if sign and option.startswith("--") and not typed.expects and not typed.is_over:
        kind = typed.takes(option)
        return _of(kind, value, typed, "" if is_split else f"{option}=")
    if typed.expects:
        return _of(typed.expects, current, typed)
    if current.startswith("-") and not typed.is_over:
        return Next({name: told for name, (_, told) in typed.options.items()}, current=current, typed=typed)
    if not typed.verb or (typed.verb == "help" and not typed.arguments):
        ours = {name: told for name, (told, *_) in WORDS.items() if name and " " not in name}
        return Next({**ours, **dict.fromkeys(COMPOSE, "As docker compose does.")}, current=current, typed=typed)
    parts = {name.split()[1]: told for name, (told, *_) in WORDS.items() if name.startswith(f"{typed.verb} ")}
    if parts and not typed.is_over:
        return Next(parts, current=current, typed=typed)
    return _of(_argument(typed), current, typed)


def _joined(words: Sequence[str]) -> list[str]:
    """The words with `--option`, `=` and a value as one."""
    found: list[str] = []
    for index, word in enumerate(words):
        is_value = index > 0 and words[index - 1] == "=" and found[-1].endswith("=")
        if found and found[-1].startswith("--") and (word == "=" or is_value):
            found[-1] += word
        else:
            found.append(word)
    return found


def _argument(typed: Typed) -> str:
    kinds = COMPOSE[typed.verb] if typed.verb in COMPOSE else WORDS[typed.verb][2] if typed.verb in WORDS else ()
    if typed.is_over and typed.verb == "shell":
        return "file"
    index = len(typed.arguments)
    if index < len(kinds):
        return kinds[index].rstrip("*")
    return kinds[-1].rstrip("*") if kinds and kinds[-1].endswith("*") else ""


def _of(kind: str, current: str, typed: Typed, before: str = "") -> Next:
    if "|" in kind:
        return Next(dict.fromkeys(kind.split("|"), ""), before=before, current=current, typed=typed)
    return Next(kind=kind, before=before, current=current, typed=typed)


def lines(found: Next, words: Mapping[str, str]) -> Iterator[str]:
    """A candidate a line, and behind a tab its help, if it has one; of the words those that fit.

    Whoever wrote a file chose the names in it: what could be more than a word on a terminal is no candidate.
    """
    for word, told in words.items():
        if word.startswith(found.current) and word.isprintable() and word not in found.typed.arguments:
            yield f"{found.before}{word}" + (f"\t{told}" if told else "")
