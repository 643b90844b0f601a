"""What `docker compose config` says -> a ConfigError in our words, with the file and line that it means.

Compose names a path of the model at best, and quotes values at worst; no value of an environment is repeated.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from devenv.compose import yaml as yamlcore
from devenv.compose.files import Path, Place, Source, everything, place
from devenv.compose.schema import RULE, dotted
from devenv.docker.compose import clean
from devenv.errors import ConfigError, meant

INSTALLED, NEWER = "the installed Docker Compose", "docker compose version   (a newer one knows it)"
# The keys that Compose knows at a path, `*` standing for any one part.
_KEYS = {
    "": "configs include models name networks secrets services version volumes",
    "services.*": (
        "annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name "
        "cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset "
        "credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname "
        "entrypoint env_file environment expose extends external_links extra_hosts gpus group_add healthcheck "
        "hostname image init ipc isolation label_file labels links logging mac_address mem_limit mem_reservation "
        "mem_swappiness memswap_limit models network_mode networks oom_kill_disable oom_score_adj pid pids_limit "
        "platform ports post_start pre_stop privileged profiles provider pull_policy pull_refresh_after read_only "
        "restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt "
        "sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir"
    ),
    "services.*.build": (
        "additional_contexts args cache_from cache_to context dockerfile dockerfile_inline entitlements extra_hosts "
        "isolation labels network no_cache platforms privileged provenance pull sbom secrets shm_size ssh tags "
        "target ulimits"
    ),
    "services.*.develop": "watch",
    "services.*.develop.watch.*": " ".join(RULE["properties"]),
}

_LOGGED = re.compile(r'time="[^"]*" level=(?P<level>\w+) msg=(?P<message>"(?:[^"\\]|\\.)*")')
_FILE_PREFIX = re.compile(r"\A(?:failed to parse|validating) (?P<file>\S.*?): ")
_PATH = re.compile(r"(?:services|networks|volumes|secrets|configs|include)(?:[.\[][^\s:'\"]+)+")
# Parts of a path that are names or numbers: the service, and the index of a watch rule.
_ANY = (1, 4)
_RULE_NEEDS = {
    "path": "a watch rule needs a `path`",
    "target": "a rule that syncs needs a `target`, the path in the container",
}


def explain(output: str, sources: Sequence[Source]) -> ConfigError:
    """The error that Compose's standard error means."""
    return _Reader(sources).read(_reason(output).removesuffix(": invalid compose project"))


def warnings(output: str, sources: Sequence[Source]) -> tuple[str, ...]:
    """What Compose warned of while it read the files, one line each, without repetition."""
    logged = (match for match in _LOGGED.finditer(clean(output)) if match["level"] == "warning")
    told = (_warning(_unquoted(match["message"]), sources) for match in logged)
    return tuple(dict.fromkeys(told))


@dataclass(frozen=True)
class _Reader:
    """The rules below, applied to the files that the project is made of."""

    sources: Sequence[Source]

    @property
    def files(self) -> list[Source]:
        """All files, the one that counts most first."""
        return everything(self.sources)[::-1]

    def read(self, reason: str) -> ConfigError:
        prefix = _FILE_PREFIX.match(reason)
        scoped = _Reader(self._only(prefix["file"])) if prefix else self
        rest = reason[prefix.end() :] if prefix else reason
        for pattern, handler in (*_LOOKED_INTO, *((plain.said, plain.error) for plain in _PLAIN)):
            if match := re.match(pattern, rest):
                return handler(scoped, match)
        return scoped.other(rest)

    def _only(self, file: str) -> Sequence[Source]:
        """The file that Compose names; all of them where it is none of ours (`-` is standard input)."""
        return [source for source in self.files if source.path == file] or self.sources

    def unknown_key(self, match: re.Match[str]) -> ConfigError:
        path, key = self.path(match["path"]), match["key"]
        if path == ("services",):
            rule = "A service's name is made of letters, digits, `.`, `_` and `-`."
            return self.error(f"`{key}` is not a name for a service", (*path, key), hint=rule)
        where = f"in {dotted(path)}" if path else "at the top level"
        known = _KEYS.get(".".join("*" if n in _ANY else str(part) for n, part in enumerate(path)), "").split()
        if key in known:
            return self.error(f"{INSTALLED} does not know the key `{key}` {where}", (*path, key), hint=NEWER)
        return self.error(f"unknown key `{key}` {where}", (*path, key), hint=_meant(key, known))

    def wrong_choice(self, match: re.Match[str]) -> ConfigError:
        path = self.path(match["path"])
        values = ", ".join(re.findall(r"[\"']([^\"']+)[\"']", match["values"]))
        written = self.texts(path)
        what = f"`{written[0]}` is" if written else "this is"
        return self.error(f"{dotted(path)}: {what} not one of {values}", path)

    def wrong_type(self, match: re.Match[str]) -> ConfigError:
        path = self.path(match["path"])
        filled = " after its variables are filled in" if any("$" in text for text in self.texts(path)) else ""
        return self.error(f"{dotted(path)} has the wrong type{filled}", path)

    def depends(self, match: re.Match[str]) -> ConfigError:
        service, name = match["service"], match["name"]
        needs = ("depends_on", "links", "volumes_from", "network_mode", "pid", "ipc")
        paths = (self.naming(("services", service, key), name) for key in needs)
        path = max(paths, key=len)
        if profiles := self.texts(("services", name, "profiles")):
            message = f"`{service}` needs the service `{name}`, whose profile is not on"
            return self.error(message, path, hint=f"Add --profile {profiles[0]}.")
        services = sorted({name for _, name, _ in self.services()})
        hint = _meant(name, services) or f"Services here: {', '.join(services)}."
        return self.error(f"`{service}` needs the service `{name}`, which does not exist", path, hint=hint)

    def env_file(self, match: re.Match[str]) -> ConfigError:
        """Compose counts the line where it gave up: for an open quote that is the last one."""
        files = {match["file"]} if match["file"] else {file for file, _ in self.named(("env_file",))}
        words = re.sub(r"( near |: ?\").*", "", match["what"])
        words = re.sub(r"unterminated quoted value.*", "a quote is not closed", words)
        line = int(match["line"])
        if len(files) == 1:
            return ConfigError(words, file=self.shown(files.pop()), line=line)
        return ConfigError(f"an env_file, line {line}: {words}")

    def port(self, match: re.Match[str]) -> ConfigError:
        text = next(filter(None, match.groups()), "")
        lists = ((source, yamlcore.strings(ports)) for source, _, ports in self.services("ports"))
        written = ((entry.value, _line(source, entry)) for source, entries in lists for entry in entries)
        fallback = (text, place(self.sources, ("services",)))
        value, at = next((entry for entry in written if text in entry[0]), fallback)
        hint = 'Write "HOST:CONTAINER", for example "8080:80"; ports are 1 to 65535, protocols tcp and udp.'
        return self.error_at(f"`{value}` is not a port mapping", at, hint=hint)

    def healthcheck(self, _: re.Match[str]) -> ConfigError:
        wrong = (
            _line(source, test)
            for source, _, test in self.services("healthcheck", "test")
            if isinstance(test, yaml.SequenceNode)
            and [word.value for word in yamlcore.strings(test)[:1]] not in (["CMD"], ["CMD-SHELL"], ["NONE"])
        )
        message = "healthcheck.test must begin with CMD, CMD-SHELL or NONE, or be one line of text"
        return self.error_at(message, next(wrong, None) or place(self.sources, ("services",)))

    def watch_rule(self, match: re.Match[str]) -> ConfigError:
        """Compose says in which service a rule lacks a key, not which rule."""
        rules = (
            (source, rule)
            for source, name, found in self.services("develop", "watch")
            if name == match["service"] and isinstance(found, yaml.SequenceNode)
            for rule in found.value
        )
        wrong = (_line(source, rule) for source, rule in rules if _lacks(rule, match["key"]))
        at = next(wrong, None) or place(self.sources, ("services", match["service"], "develop", "watch"))
        return self.error_at(_RULE_NEEDS[match["key"]], at)

    def other(self, reason: str) -> ConfigError:
        """A complaint that no rule knows, in Compose's words; what it quotes may be a value, so it goes."""
        found = _PATH.search(reason)
        service = re.match(r'service "?([^\s"]+)', reason)
        path = self.path(found[0]) if found else ("services", service[1]) if service else ()
        if re.search(r"environment|env.?file|secret|\.env\b", reason):
            reason = re.sub(r"\"[^\"]*\"|'[^']*'", "…", reason)
        return self.error(reason or "Compose refuses the project and gives no reason", path)

    def path(self, text: str) -> tuple[str | int, ...]:
        """Compose's spelling of a path -> its parts; the name of a service may hold dots."""
        text = re.sub(r"\[([^\]\d][^\]]*)\]", r".\1", text).replace("(root)", "").strip(".")
        parts: list[str | int] = []
        for name in sorted({name for _, name, _ in self.services()}, key=len, reverse=True):
            if re.match(rf"services\.{re.escape(name)}(?![^.\[])", text):
                parts = ["services", name]
                text = text[len(f"services.{name}") :]
                break
        parts += (int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", text))
        return tuple(parts)

    def naming(self, path: Path, name: str) -> Path:
        """The path with the entry that names `name`: a key, a list item, or a text that begins with it."""
        for node in self.nodes(path):
            if isinstance(node, yaml.MappingNode) and yamlcore.at(node, [name]):
                return (*path, name)
            for index, item in enumerate(node.value if isinstance(node, yaml.SequenceNode) else ()):
                entry = yamlcore.at(item, ["source"]) or item
                if isinstance(entry, yaml.ScalarNode) and re.match(rf"{re.escape(name)}(?::|\Z)", entry.value):
                    return (*path, index)
            if isinstance(node, yaml.ScalarNode) and name in node.value.split(":"):
                return (*path, name)
        return path

    def nodes(self, path: Path) -> Iterator[yaml.Node]:
        """What stands at the path, from the file that counts most on."""
        return filter(None, (yamlcore.at(source.node, path) for source in self.files))

    def texts(self, path: Path) -> list[str]:
        return [scalar.value for node in self.nodes(path) for scalar in yamlcore.strings(node)]

    def services(self, *path: str) -> Iterator[tuple[Source, str, yaml.Node]]:
        """File, name and the node at `path` of every service that has one."""
        for source in self.files:
            for name, service in yamlcore.items(yamlcore.at(source.node, ["services"])):
                if node := yamlcore.at(service, path):
                    yield source, name.value, node

    def named(self, keys: Sequence[str]) -> Iterator[tuple[str, Place]]:
        """The files that are named anywhere under one of the keys, and where."""
        for source in self.files:
            for scalar in yamlcore.scalars_under(source.node, keys):
                yield os.path.normpath(os.path.join(source.folder, scalar.value)), _line(source, scalar)

    def shown(self, file: str) -> str:
        for source in self.sources:
            if file.startswith(source.folder.rstrip("/") + "/"):
                return file.removeprefix(source.path.removesuffix(source.shown))
        return file

    def error(self, message: str, path: Path, *, hint: str | None = None) -> ConfigError:
        only = self.sources[0].shown if len(self.sources) == 1 else None
        return self.error_at(message, place(self.sources, path) if path else (only, None), hint=hint)

    def error_at(self, message: str, at: Place, *, hint: str | None = None) -> ConfigError:
        return ConfigError(message, hint=hint, file=at[0], line=at[1])


class _Say(NamedTuple):
    """A complaint that needs no second look; the groups of `said` fill all other texts.

    To blame is the path `at`, or the entry below it that says the group `name`; or the line that names the group
    `file` under one of the keys `under`; or that file itself.
    """

    said: str
    message: str
    at: str = "{path}"
    hint: str | None = None
    under: tuple[str, ...] = ()

    def error(self, reader: _Reader, match: re.Match[str]) -> ConfigError:
        told = {"path": "", "file": "", **{key: value or "" for key, value in match.groupdict().items()}}
        path, shown = reader.path(self.at.format_map(told)), reader.shown(told["file"])
        words = told | {"file": shown, "path": dotted(reader.path(told["path"]))}
        message, hint = self.message.format_map(words), self.hint and self.hint.format_map(words)
        if path:
            return reader.error(message, reader.naming(path, told["name"]) if "name" in told else path, hint=hint)
        own: Place = (None if self.under else shown or None, None)
        places = (at for named, at in reader.named(self.under) if named == os.path.normpath(told["file"]))
        return reader.error_at(message, next(places, own), hint=hint)


_P = r"(?P<path>\S+)"
_S = r'service "(?P<service>.*)"'
_IN_ENV_FILE = r"(?:failed to read (?P<file>.*?): )?"
_ENV_READ = r"(?:failed to read .*?: )?(?:read|open) (?P<file>.*): "
_UNKNOWN = r"(?P<path>\S*)\s+[Aa]dditional propert(?:y|ies) '?(?P<key>[^']*?)'?(?: is|,.*)? not allowed"
_NO_PORT = (
    r"[Ii]nvalid (?:hostPort|containerPort|proto|range)[^:]*: (.*)"
    r"|[Ii]nvalid (?:ip|IP) address:? (\S+?)(?:: .*)?\Z"
    r"|No port specified: (.*)<empty>"
)

# Tried first, in this order.
_LOOKED_INTO: tuple[tuple[str, Callable[[_Reader, re.Match[str]], ConfigError]], ...] = (
    (_UNKNOWN, _Reader.unknown_key),
    (rf"{_P} (?:\S+ must be|value must be) one of(?: the following:)? (?P<values>.*)", _Reader.wrong_choice),
    (r"services\.(?P<service>.+)\.develop\.watch(?:: |\.\[\]\.)(?P<key>target|path)\b", _Reader.watch_rule),
    (rf'{_S} depends on undefined service "?(?P<name>[^"]+)"?', _Reader.depends),
    (rf".*interpolating {_P}: failed to cast to expected type", _Reader.wrong_type),
    (rf"{_IN_ENV_FILE}line (?P<line>\d+): (?P<what>.*)", _Reader.env_file),
    (_NO_PORT, _Reader.port),
    (r"healthcheck\.test must start", _Reader.healthcheck),
)
_PLAIN = (
    _Say(r"services must be a mapping", "`services` must be a mapping of names to services", "services"),
    _Say(rf"{_P} must be an? (?:array|list)\Z", "{path} must be a list"),
    _Say(rf"{_P} must be (?P<kind>.*)", "{path} must be {kind}"),
    _Say(rf"{_P} missing property '(?P<key>\w+)'", "{path}: the key `{key}` is missing"),
    _Say(rf"{_P} (?P<key>\w+) is required", "{path}: the key `{key}` is missing"),
    _Say(rf"{_P} '(?P<value>.*)' does not match pattern", "{path}: `{value}` is not one of its values"),
    _Say(rf"service ports {_P} is missing a target port", "{path} names no container port"),
    _Say(r"(?:error decoding )?'(?P<path>services\S+)':? (?:time: )?(?P<what>.*)", "{path}: {what}"),
    _Say(rf"{_S} has neither an image", "`{service}` has neither `image` nor `build`", "services.{service}"),
    _Say(
        rf"{_S} refers to undefined (?P<kind>\w+) (?P<name>[^\s:]+)",
        "`{service}` uses the {kind} `{name}`, which is not defined",
        "services.{service}.{kind}s",
        "Define it at the top level, under `{kind}s:`.",
    ),
    _Say(
        rf'cannot extend {_S} in .*?: service "(?P<base>.*)" not found(?P<where> in .*)?',
        "`{service}` extends the service `{base}`, which does not exist{where}",
        "services.{service}.extends",
    ),
    _Say(
        r"services\.scale: can't set container_name and (?P<service>\S+) as",
        "`{service}` has a `container_name`, so it cannot have several containers",
        "services.{service}.container_name",
    ),
    _Say(
        r"dependency cycle detected: (?P<cycle>(?P<service>\S+) -> .*)",
        "services wait for each other in a circle: {cycle}",
        "services.{service}.depends_on",
    ),
    _Say(
        rf"[Nn]on-string key in {_P}: (?P<key>.*)",
        "the key `{key}` must be text",
        "{path}.{key}",
        "Put it in quotes.",
    ),
    _Say(
        rf"(?:.*interpolating {_P}: |{_IN_ENV_FILE})required variable (?P<key>\w+) is missing a value(?P<why>.*)",
        "the variable {key} has no value{why}",
        hint="Set {key} in your shell or in the file .env beside the compose file.",
    ),
    _Say(
        r"invalid interpolation format for (?P<path>\S+?)\.?\Z",
        "{path}: a `$` that begins no variable",
        hint="A variable is written ${{NAME}}; a plain dollar sign is written $$.",
    ),
    _Say(
        r"env file (?P<file>.*) not found",
        "the env_file {file} does not exist",
        hint="Create it, or write `env_file: [{{path: ..., required: false}}]` (Compose 2.24 and later).",
        under=("env_file",),
    ),
    _Say(rf"{_ENV_READ}is a directory", "{file} is a folder", under=("env_file",)),
    _Say(rf"{_ENV_READ}permission denied", "{file} cannot be read: permission denied", under=("env_file",)),
    _Say(
        r"(?:open|stat|lstat) (?P<file>.*): no such file or directory",
        "the file {file} does not exist",
        under=("include", "extends"),
    ),
    _Say(
        r'invalid project name "(?P<project>.*)":',
        "`{project}` is not a name for a project",
        hint="It is made of a-z, 0-9, `_` and `-` and begins with a letter or digit; see -p and `name:`.",
    ),
    _Say(
        r"project name must not be empty",
        "the project has no name",
        hint="The folder's name holds no letter or digit; give one with -p NAME or a line `name: NAME`.",
    ),
)


def _reason(output: str) -> str:
    """The one line that says why; what follows an interpolation error is the value, and is dropped."""
    lines = [line.strip() for line in clean(output).splitlines()]
    told = [line for line in lines if line and not _LOGGED.match(line) and not line.startswith("decoding failed")]
    return told[0] if told else ""


def _warning(message: str, sources: Sequence[Source]) -> str:
    if unset := re.match(r'The "(\w+)" variable is not set', message):
        at = _first_use(unset[1], sources)
        return f"the variable {unset[1]} is not set, so it counts as empty{at}"
    if "attribute `version` is obsolete" in message:
        return "the key `version` has no meaning any more"
    return message


def _first_use(name: str, sources: Sequence[Source]) -> str:
    use = re.compile(rf"(?<!\$)\$(?:{name}\b|\{{{name}\b)")
    for source in everything(sources):
        if found := use.search(source.text):
            return f" ({source.shown}:{source.text.count(chr(10), 0, found.start()) + 1})"
    return ""


def _unquoted(message: str) -> str:
    try:
        return str(json.loads(message))
    except ValueError:
        return message.strip('"')


def _meant(word: str, known: Sequence[str]) -> str | None:
    close = meant(word, known)
    return f"Did you mean `{close}`?" if close else None


def _lacks(rule: yaml.Node, key: str) -> bool:
    action, value = yamlcore.at(rule, ["action"]), yamlcore.at(rule, [key])
    return not (value and value.value) and (key == "path" or bool(action and "sync" in action.value))


def _line(source: Source, node: yaml.Node) -> Place:
    return source.shown, node.start_mark.line + 1
