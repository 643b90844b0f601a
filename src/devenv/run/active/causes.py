"""Why a service failed or could not start, and what to do, from the table of causes `service`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

from devenv.explain import table
from devenv.explain.table import Explanation, TableEntry
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import bare
from devenv.model.project import Mount

TABLE = "service"
LINE_LIMIT = 500  # characters
SHOWN_SERVICES = 8
_LOOPBACK = re.compile(r"localhost|127\.\S*|::1|0\.0\.0\.0")
_LOCAL = re.compile(r"(?:\A|[/@,=\s])(?:localhost|127\.0\.0\.1|\[::1\])(?:[:/,]|\Z)")
_FOR_BROWSERS = re.compile(r"PUBLIC|VITE_|REACT_APP|ORIGIN|CORS|ALLOWED|CALLBACK|REDIRECT")
_MYSQL_MAJOR = 10000  # version 8.0.36 is written 80036
_SIGNALS = {132: "SIGILL", 134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE", 139: "SIGSEGV"}


@dataclass(frozen=True, slots=True)
class FailureFacts:
    """The facts about a service that failed. Platforms are written `linux/amd64`."""

    service: str
    exit_code: int = 0
    out_of_memory: bool = False
    limited: bool = False  # has a memory limit: engines do not always report that it was the reason for a kill
    refusal: str = ""  # why the engine or Compose refused to create or start the service
    lines: tuple[str, ...] = ()  # the last lines of its log
    check: str = ""  # output of its failing health check
    user: str = ""
    platform: str = ""
    engine_platform: str = ""
    mounts: tuple[Mount, ...] = ()
    services: tuple[str, ...] = ()
    owners: Mapping[tuple[str, str], str] = field(default_factory=dict)
    local_variables: tuple[str, ...] = ()  # whose values name localhost
    find_script: Callable[[str], Script | None] = lambda _: None  # the file of a program in its container


@dataclass(frozen=True, slots=True)
class Script:
    """A file of the project, as messages name it, and its first line with the carriage return at its end, if any."""

    path: str
    first_line: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the service failed (`what`), and what to do about it."""

    what: str
    hint: str
    paths: tuple[tuple[str, ...], ...] = ()  # in the model, that may be the cause; the most likely first
    exit_code: int = 5  # of a refusal: 4 if only the engine lacks something, 1 if a program in the image is broken
    line: int = -1  # index of the log line that shows the cause


def explain(facts: FailureFacts) -> Cause | None:
    """The cause according to the first matching entry of the table; None if no entry matches."""
    if (explanation := find(facts)) is None:
        return None
    entry, options = explanation.entry, explanation.entry.options
    paths = (
        *_defined(facts, entry, explanation.words["thing"]),
        *(
            ("services", facts.service, *key.format_map(explanation.words).split("."))
            for key in options.get("keys", ())
        ),
    )
    line = explanation.line - 1 if entry.text == table.OUTPUT else -1  # its first line is the refusal
    exit_code = 4 if options.get("outside") else options.get("exits", 5)
    return Cause(explanation.cause, explanation.hint, paths, exit_code, line)


def find(facts: FailureFacts) -> Explanation | None:
    """The explanation by the first matching entry of the table; None if no entry matches."""
    find_words = functools.partial(words, facts)
    return table.explain(table.load(TABLE), _texts(facts), find_words, exit_code=facts.exit_code)


def words(facts: FailureFacts, entry: TableEntry, groups: Mapping[str, str], _line: int = 0) -> dict[str, str] | None:
    """The words for the messages of an entry; None if the project has no top-level element to blame."""
    host = groups.get("host", "")
    is_cut = len(facts.services) > SHOWN_SERVICES
    values = {
        "service": facts.service,
        "services": ", ".join((*facts.services[:SHOWN_SERVICES], *(["..."] if is_cut else []))),
        "user": facts.user or "root",
        "image": facts.platform,
        "engine": facts.engine_platform,
        "foreign": facts.platform if facts.engine_platform not in ("", facts.platform) else "",
        "variable": next(iter(facts.local_variables), ""),
        "thing": "",
        "peer": host if host in facts.services else "",
        "self": host if _LOOPBACK.fullmatch(host) else "",
        "signal": _SIGNALS.get(facts.exit_code, ""),
        **_mount_words(facts.mounts, groups.get("path", "")),
        **_script_words(facts, groups.get("program", "")),
        **groups,
        **{name: _version(groups[name]) for name in ("old", "new") if groups.get(name)},
    }
    if "sections" not in entry.options:
        return values
    section, key = next(iter(_defined(facts, entry, values["thing"])), ("", ""))
    return {**values, "kind": section.removesuffix("s"), "key": key} if key else None


def _mount_words(mounts: Iterable[Mount], path: str) -> dict[str, str]:
    mount = _mount(mounts, path) or Mount("", "", "")
    return {
        "mount": mount.target,
        "source": "a volume without a name" if mount.source is None else mount.source,
        "tmpfs": mount.target if mount.type == "tmpfs" else "",
        "every_tmpfs": ", ".join(m.target for m in mounts if m.type == "tmpfs"),
    }


def _script_words(facts: FailureFacts, program: str) -> dict[str, str]:
    script = facts.find_script(program) if program else None
    first_line = script.first_line if script else ""
    has_cr = first_line.endswith("\r")
    return {
        "file": script.path if script else "FILE",
        "script": f"`{script.path if script else program}`" if program else "a script",
        "crlf": "yes" if has_cr else "",
        "shebang": first_line if first_line.startswith("#!") and not has_cr else "",
    }


def local_variables(model: Mapping[str, Any], service: str) -> tuple[str, ...]:
    """The variables of the service whose values name localhost, except those for browsers."""
    environment = ((model.get("services") or {}).get(service) or {}).get("environment") or {}
    return tuple(
        name for name, value in environment.items() if _LOCAL.search(str(value)) and not _FOR_BROWSERS.search(name)
    )


def owners(model: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Keys of the model by section and name: the name on the engine, a file, or a variable."""
    return {("services", name): name for name in model.get("services") or {}} | {
        (section, str(entry[part])): key
        for section in ("networks", "volumes", "secrets", "configs")
        for key, entry in (model.get(section) or {}).items()
        for part in ("environment", "file", "name")
        if entry and part in entry
    }


def _defined(facts: FailureFacts, entry: TableEntry, thing: str) -> list[tuple[str, str]]:
    """The sections that the entry names, each with the key under which it defines the thing."""
    keys = ((section, facts.owners.get((section, thing), "")) for section in entry.options.get("sections", ()))
    return [(section, key) for section, key in keys if key]


def _texts(facts: FailureFacts) -> dict[str, str]:
    lines = (bare(line)[:LINE_LIMIT] for line in (facts.refusal, *facts.lines))
    memory = ", out of memory" if facts.out_of_memory else ", memory limit" if facts.limited else ""
    end = f"exit code {facts.exit_code}{memory}"
    return {table.OUTPUT: "\n".join(lines), "check": facts.check, "end": end}


def _mount(mounts: Iterable[Mount], path: str) -> Mount | None:
    mounts = [m for m in mounts if f"{path}/".startswith(f"{m.target.rstrip('/')}/")] if path else []
    return max(mounts, key=lambda mount: len(mount.target), default=None)


def _version(text: str) -> str:
    number = int(text) if text.isdecimal() else 0
    if number < _MYSQL_MAJOR:
        return text
    return f"{number // _MYSQL_MAJOR}.{number // 100 % 100}.{number % 100}"
