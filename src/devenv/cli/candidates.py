"""The candidates for the next word of a command line that is being typed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

from devenv.cli import completion_table, registry
from devenv.lazy_dataclass import dataclass

HELP = ("", "Show this message and exit.")
Options = Mapping[str, tuple[str, str]]  # spelling -> what the option takes ("" for a flag), its help


def _by_spelling(options: Options) -> Options:
    return {spelling: option for spellings, option in options.items() for spelling in spellings.split()}


SHARED = _by_spelling(completion_table.SHARED)


@dataclass(slots=True)
class Typed:
    """The words before the cursor: `values` of options by kind; `expects`, the kind of the value that is missing."""

    verb: str = ""
    arguments: list[str] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)
    expects: str = ""
    is_after_dashes: bool = False  # after `--`

    @property
    def options(self) -> Options:
        """The options of the verb."""
        if self.verb not in completion_table.COMMANDS:
            return {} if self.verb in registry.COMPOSE else {"--help": HELP, "-h": HELP}
        own, shared, _ = completion_table.COMMANDS[self.verb]
        common = {spelling: SHARED[spelling] for spelling in (shared.split() if self.verb else SHARED)}
        return {**common, **_by_spelling(own), "--help": HELP, "-h": HELP}

    @property
    def argument(self) -> str:
        """The kind of the next argument; "" if there is none."""
        if self.is_after_dashes and self.verb == "shell":
            return "file"
        known = completion_table.COMMANDS
        kinds = known[self.verb][2] if self.verb in known else registry.COMPOSE.get(self.verb, ())
        index = len(self.arguments)
        if index < len(kinds):
            return kinds[index].rstrip("*")
        return kinds[-1].rstrip("*") if kinds and kinds[-1].endswith("*") else ""

    def takes(self, option: str) -> str:
        """The kind of value that the option takes; "" for a flag and for an unknown option."""
        return self.options.get(option, SHARED.get(option, HELP))[0]

    def add(self, word: str) -> None:
        """Add the next word."""
        name, sign, value = word.partition("=")
        if self.expects:
            self._keep(self.expects, word)
            self.expects = ""
        elif self.is_after_dashes:
            self.arguments.append(word)
        elif word == "--":
            self.is_after_dashes = True
        elif word.startswith("-"):
            kind = self.takes(name)
            if kind and sign:
                self._keep(kind, value)
            else:
                self.expects = kind
        elif not self.verb:
            self.verb = registry.ALIASES.get(word, word)
        elif word in registry.members(self.verb):
            self.verb = f"{self.verb} {word}"
        else:
            self.arguments.append(word)

    def _keep(self, kind: str, value: str) -> None:
        self.values.setdefault(kind, []).append(value)


@dataclass(frozen=True, slots=True)
class Next:
    """The candidates: `words` with their help, or the `kind` of names that are looked up: service, file, ...

    Each candidate begins with `before`: the shell does not replace this part of the `current` word.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    before: str = ""
    current: str = ""
    typed: Typed = field(default_factory=Typed)


def following(words: Sequence[str], *, splits: bool = False) -> Next:
    """The candidates for the last word. `splits`: the shell passes `--option=value` as three words."""
    whole = _joined(words) if splits else list(words)
    typed = Typed()
    for word in whole[:-1]:
        typed.add(word)
    current = whole[-1] if whole else ""
    option, sign, value = current.partition("=")
    if sign and option.startswith("--") and not typed.expects and not typed.is_after_dashes:
        is_split = whole[-1:] != list(words[-1:])
        return _of_kind(typed.takes(option), value, typed, "" if is_split else f"{option}=")
    if typed.expects:
        return _of_kind(typed.expects, current, typed)
    if (known := _words(typed, current)) is not None:
        return Next(known, current=current, typed=typed)
    return _of_kind(typed.argument, current, typed)


def _words(typed: Typed, current: str) -> Mapping[str, str] | None:
    """The options, commands or members of a group, with their help; None if an argument is expected."""
    if typed.is_after_dashes:
        return None
    if current.startswith("-"):
        return {name: text for name, (_, text) in typed.options.items()}
    if not typed.verb or (typed.verb == "help" and not typed.arguments):
        return {**registry.names(), **dict.fromkeys(registry.COMPOSE, "Passed to docker compose.")}
    return {name: command.help for name, command in registry.members(typed.verb).items()} or None


def _joined(words: Sequence[str]) -> list[str]:
    """The words, with `--option`, `=` and a value as one word."""
    joined: list[str] = []
    for index, word in enumerate(words):
        is_value = index > 0 and words[index - 1] == "=" and joined[-1].endswith("=")
        if joined and joined[-1].startswith("--") and (word == "=" or is_value):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _of_kind(kind: str, current: str, typed: Typed, before: str = "") -> Next:
    if "|" in kind:
        return Next(dict.fromkeys(kind.split("|"), ""), before=before, current=current, typed=typed)
    return Next(kind=kind, before=before, current=current, typed=typed)


def lines(wanted: Next, words: Mapping[str, str]) -> Iterator[str]:
    """The words that begin with the current word, one per line, with their help after a tab.

    Names with control characters, which a Compose file may have, are left out.
    """
    for word, text in words.items():
        if word.startswith(wanted.current) and word.isprintable() and word not in wanted.typed.arguments:
            yield f"{wanted.before}{word}" + (f"\t{text}" if text else "")
