"""What `docker compose config` says -> a ConfigError in our words, with the file and line that it means.

Compose names a path of the model at best, and quotes values at worst; no value of an environment is repeated.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import yaml

from devenv.config import yamlcore
from devenv.config.parse import dotted
from devenv.config.sources import Path, Place, Source, everything, place
from devenv.errors import ConfigError

_TOP_KEYS = "configs include models name networks secrets services version volumes"
_SERVICE_KEYS = (
    "annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name "
    "cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset "
    "credential_spec depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname "
    "entrypoint env_file environment expose extends external_links extra_hosts gpus group_add healthcheck hostname "
    "image init ipc isolation label_file labels links logging mac_address mem_limit mem_reservation mem_swappiness "
    "memswap_limit models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports "
    "post_start pre_stop privileged profiles provider pull_policy pull_refresh_after read_only restart runtime "
    "scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty "
    "ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir"
)
_BUILD_KEYS = (
    "additional_contexts args cache_from cache_to context dockerfile dockerfile_inline entitlements extra_hosts "
    "isolation labels network no_cache platforms privileged provenance pull sbom secrets shm_size ssh tags target "
    "ulimits"
)
_RULE_KEYS = "action exec ignore include initial_sync path target"

_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_LOGGED = re.compile(r'time="[^"]*" level=(?P<level>\w+) msg=(?P<message>"(?:[^"\\]|\\.)*")')
_FILE_PREFIX = re.compile(r"\A(?:failed to parse|validating) (?P<file>\S.*?): ")
_PATH = re.compile(r"(?:services|networks|volumes|secrets|configs|include)(?:[.\[][^\s:'\"]+)+")

_UNKNOWN = re.compile(
    r"(?P<path>\S*)\s+(?:Additional property (?P<old>.*) is|additional properties '(?P<new>[^']*)'.*) not allowed"
)
_MISSING = re.compile(r"(?P<path>\S+) (?:missing property '(?P<new>\w+)'|(?P<old>\w+) is required)")
_CHOICE = re.compile(r"(?P<path>\S+) (?:\S+ must be|value must be) one of(?: the following:)? (?P<values>.*)")
_PATTERN = re.compile(r"(?P<path>\S+) '(?P<value>.*)' does not match pattern")
_KIND = re.compile(r"(?P<path>\S+) must be an? (?P<kind>.*)")
_UNDEFINED = re.compile(r'service "(?P<service>.*)" refers to undefined (?P<kind>\w+) (?P<name>\S+)')
_DEPENDS = re.compile(r'service "(?P<service>.*)" depends on undefined service "?(?P<name>[^"]+)"?')
_NEITHER = re.compile(r'service "(?P<service>.*)" has neither an image nor a build context')
_UNIQUE = re.compile(r"services\.scale: can't set container_name and (?P<service>\S+) as")
_NOT_TEXT = re.compile(r"[Nn]on-string key in (?P<path>\S+): (?P<key>.*)")
_CYCLE = re.compile(r"dependency cycle detected: (?P<cycle>(?P<service>\S+) -> .*)")
_REQUIRED = re.compile(
    r"(?:.*interpolating (?P<path>\S+): |failed to read (?P<file>.*?): )?"
    r"required variable (?P<name>\w+) is missing a value(?:: (?P<why>.*))?"
)
_CAST = re.compile(r".*interpolating (?P<path>\S+): failed to cast to expected type")
_TEMPLATE = re.compile(r"invalid interpolation format for (?P<path>\S+?)\.?\Z")
_NO_ENV_FILE = re.compile(r"env file (?P<file>.*) not found")
_ENV_FILE = re.compile(r"(?:failed to read (?P<file>.*?): )?line (?P<line>\d+): (?P<what>.*)")
_ENV_READ = re.compile(
    r"(?:failed to read (?P<file>.*?): )?(?:read|open) (?P<path>.*): (?P<what>is a directory|permission denied)"
)
_NO_FILE = re.compile(r"(?:open|stat|lstat) (?P<file>.*): no such file or directory")
_PORT = re.compile(
    r"[Ii]nvalid (?:hostPort|containerPort|proto|range)[^:]*: (?P<text>.*)"
    r"|[Ii]nvalid (?:ip|IP) address:? (?P<address>\S+?)(?:: .*)?\Z"
    r"|No port specified: (?P<none>.*)<empty>"
)
_NO_TARGET = re.compile(r"service ports (?P<path>\S+) is missing a target port")
_DECODING = re.compile(r"(?:error decoding )?'(?P<path>services\S+)':? (?P<what>.*)")
_EXTENDS = re.compile(
    r'cannot extend service "(?P<service>.*)" in .*?: service "(?P<name>.*)" not found(?: in (?P<file>.*))?'
)
_PROJECT_NAME = re.compile(r'invalid project name "(?P<name>.*)":')

Handler = Callable[["_Reader", re.Match[str]], ConfigError]


def explain(output: str, sources: Sequence[Source]) -> ConfigError:
    """The error that Compose's standard error means."""
    return _Reader(sources).read(_reason(output).removesuffix(": invalid compose project"))


def warnings(output: str, sources: Sequence[Source]) -> tuple[str, ...]:
    """What Compose warned of while it read the files, one line each, without repetition."""
    logged = (match for match in _LOGGED.finditer(_ESCAPE.sub("", output)) if match["level"] == "warning")
    told = (_warning(_unquoted(match["message"]), sources) for match in logged)
    return tuple(dict.fromkeys(told))


@dataclass(frozen=True)
class _Reader:
    """The rules below, applied to the files that the project is made of."""

    sources: Sequence[Source]

    def read(self, reason: str) -> ConfigError:
        prefix = _FILE_PREFIX.match(reason)
        scoped = _Reader(self._only(prefix["file"])) if prefix else self
        rest = reason[prefix.end() :] if prefix else reason
        for pattern, handler in _RULES:
            if match := pattern.match(rest):
                return handler(scoped, match)
        return scoped.other(rest)

    def _only(self, file: str) -> Sequence[Source]:
        """The file that Compose names; all of them where it is none of ours (`-` is standard input)."""
        return [source for source in everything(self.sources) if source.path == file] or self.sources

    def unknown_key(self, match: re.Match[str]) -> ConfigError:
        path = self.path(match["path"])
        key = str(match["old"] if match["new"] is None else match["new"])
        if path == ("services",):
            hint = "A service's name is made of letters, digits, `.`, `_` and `-`."
            return self.error(f"`{key}` is not a name for a service", (*path, key), hint=hint)
        known = _known_keys(path).split()
        close = difflib.get_close_matches(key, known, n=1)
        meant = f"Did you mean `{close[0]}`?" if close else None
        return self.error(f"unknown key `{key}`{_within(path)}", (*path, key), hint=meant)

    def missing_key(self, match: re.Match[str]) -> ConfigError:
        path = self.path(match["path"])
        return self.error(f"{dotted(path)}: the key `{match['new'] or match['old']}` is missing", path)

    def wrong_choice(self, match: re.Match[str]) -> ConfigError:
        path = self.path(match["path"])
        values = ", ".join(re.findall(r"[\"']([^\"']+)[\"']", match["values"]))
        written = self.written(path)
        what = f"`{written}` is" if written else "this is"
        return self.error(f"{dotted(path)}: {what} not one of {values}", path)

    def wrong_kind(self, match: re.Match[str]) -> ConfigError:
        path = self.path(match["path"])
        kind = {"array": "list", "list": "list"}.get(match["kind"], match["kind"])
        return self.error(f"{dotted(path)} must be a {kind}", path)

    def undefined(self, match: re.Match[str]) -> ConfigError:
        kind, name = match["kind"], match["name"]
        path = self.naming(("services", match["service"], f"{kind}s"), name)
        hint = f"Define it at the top level, under `{kind}s:`."
        return self.error(f"`{match['service']}` uses the {kind} `{name}`, which is not defined", path, hint=hint)

    def depends(self, match: re.Match[str]) -> ConfigError:
        service, name = match["service"], match["name"]
        path: Path = ("services", service)
        for key in ("depends_on", "links", "volumes_from", "network_mode", "pid", "ipc"):
            if len(found := self.naming((*path, key), name)) > len(path) + 1:
                path = found
                break
        profiles = self.texts(("services", name, "profiles"))
        if profiles:
            message = f"`{service}` needs the service `{name}`, whose profile is not on"
            return self.error(message, path, hint=f"Add --profile {profiles[0]}.")
        close = difflib.get_close_matches(name, self.services(), n=1)
        hint = f"Did you mean `{close[0]}`?" if close else f"Services here: {', '.join(self.services())}."
        return self.error(f"`{service}` needs the service `{name}`, which does not exist", path, hint=hint)

    def pattern(self, match: re.Match[str]) -> ConfigError:
        path = self.path(match["path"])
        return self.error(f"{dotted(path)}: `{match['value']}` is not one of its values", path)

    def unique(self, match: re.Match[str]) -> ConfigError:
        message = f"`{match['service']}` has a `container_name`, so it cannot have several containers"
        return self.error(message, ("services", match["service"], "container_name"))

    def not_text(self, match: re.Match[str]) -> ConfigError:
        path = (*self.path(match["path"]), match["key"])
        return self.error(f"the key `{match['key']}` must be text", path, hint="Put it in quotes.")

    def neither(self, match: re.Match[str]) -> ConfigError:
        message = f"`{match['service']}` has neither `image` nor `build`"
        return self.error(message, ("services", match["service"]))

    def cycle(self, match: re.Match[str]) -> ConfigError:
        message = f"services wait for each other in a circle: {match['cycle']}"
        return self.error(message, ("services", match["service"], "depends_on"))

    def required(self, match: re.Match[str]) -> ConfigError:
        why = f": {match['why']}" if match["why"] else ""
        hint = f"Set {match['name']} in your shell or in the file .env beside the compose file."
        message = f"the variable {match['name']} must be set{why}"
        if match["path"]:
            return self.error(message, self.path(match["path"]), hint=hint)
        return ConfigError(message, hint=hint, file=self.shown(match["file"]) if match["file"] else None)

    def cast(self, match: re.Match[str]) -> ConfigError:
        path = self.path(match["path"])
        written = self.written(path) or ""
        message = f"{dotted(path)} has the wrong type" + (
            " after its variables are filled in" if "$" in written else ""
        )
        return self.error(message, path)

    def template(self, match: re.Match[str]) -> ConfigError:
        path = self.path(match["path"])
        hint = "A variable is written ${NAME}; a plain dollar sign is written $$."
        return self.error(f"{dotted(path)}: a `$` that begins no variable", path, hint=hint)

    def no_env_file(self, match: re.Match[str]) -> ConfigError:
        file = match["file"]
        hint = "Create it, or write `env_file: [{path: ..., required: false}]` (Compose 2.24 and later)."
        message = f"the env_file {self.shown(file)} does not exist"
        return self.error_at(message, self.file_scalar(file, "env_file"), hint=hint)

    def env_file(self, match: re.Match[str]) -> ConfigError:
        what = re.sub(
            r"( near |quoted value|: ?\").*",
            lambda found: "" if found[1] != "quoted value" else found[1],
            match["what"],
        )
        files = {match["file"]} if match["file"] else set(self.env_files())
        file = self.shown(files.pop()) if len(files) == 1 else None
        line = int(match["line"])
        words = what.replace("unterminated quoted value", "a quote is not closed")
        # Compose counts the line where it gave up: for an open quote that is the last one
        return ConfigError(
            words if file else f"an env_file, line {line}: {words}", file=file, line=line if file else None
        )

    def env_read(self, match: re.Match[str]) -> ConfigError:
        words = {"is a directory": "is a folder", "permission denied": "cannot be read: permission denied"}
        file = match["path"]
        return self.error_at(f"{self.shown(file)} {words[match['what']]}", self.file_scalar(file, "env_file"))

    def no_file(self, match: re.Match[str]) -> ConfigError:
        file = match["file"]
        return self.error_at(
            f"the file {self.shown(file)} does not exist", self.file_scalar(file, "include", "extends")
        )

    def port(self, match: re.Match[str]) -> ConfigError:
        text = match["text"] or match["address"] or match["none"] or ""
        hint = 'Write "HOST:CONTAINER", for example "8080:80"; ports are 1 to 65535, protocols tcp and udp.'
        for source in reversed(everything(self.sources)):
            for _, service in yamlcore.items(yamlcore.at(source.node, ["services"])):
                for entry in yamlcore.strings(yamlcore.at(service, ["ports"])):
                    if text in entry.value:
                        at = (source.shown, entry.start_mark.line + 1)
                        return self.error_at(f"`{entry.value}` is not a port mapping", at, hint=hint)
        return self.error(f"`{text}` is not a port mapping", ("services",), hint=hint)

    def no_target(self, match: re.Match[str]) -> ConfigError:
        path = self.path(match["path"])
        return self.error(f"{dotted(path)} names no container port", path)

    def decoding(self, match: re.Match[str]) -> ConfigError:
        path = self.path(match["path"])
        return self.error(f"{dotted(path)}: {match['what'].removeprefix('time: ')}", path)

    def extends(self, match: re.Match[str]) -> ConfigError:
        where = f" in {match['file']}" if match["file"] else ""
        message = f"`{match['service']}` extends the service `{match['name']}`, which does not exist{where}"
        return self.error(message, ("services", match["service"], "extends"))

    def project_name(self, match: re.Match[str]) -> ConfigError:
        hint = (
            "A project's name is made of a-z, 0-9, `_` and `-` and begins with a letter or digit; see -p and `name:`."
        )
        return ConfigError(f"`{match['name']}` is not a name for a project", hint=hint)

    def no_project_name(self, _: re.Match[str]) -> ConfigError:
        hint = "The folder's name holds no letter or digit; give one with -p NAME or a line `name: NAME`."
        return ConfigError("the project has no name", hint=hint)

    def no_services(self, _: re.Match[str]) -> ConfigError:
        return self.error("`services` must be a mapping of names to services", ("services",))

    def watch_target(self, match: re.Match[str]) -> ConfigError:
        return self._rule(match["service"], "target", "a rule that syncs needs a `target`, the path in the container")

    def watch_path(self, match: re.Match[str]) -> ConfigError:
        return self._rule(match["service"], "path", "a watch rule needs a `path`")

    def _rule(self, service: str, key: str, message: str) -> ConfigError:
        path = ("services", service, "develop", "watch")
        for source in reversed(everything(self.sources)):
            rules = yamlcore.at(source.node, path)
            for rule in rules.value if isinstance(rules, yaml.SequenceNode) else ():
                action = yamlcore.at(rule, ["action"])
                value = yamlcore.at(rule, [key])
                if not (value and value.value) and (key == "path" or (action and "sync" in action.value)):
                    return self.error_at(message, (source.shown, rule.start_mark.line + 1))
        return self.error(message, path)

    def healthcheck(self, _match: re.Match[str]) -> ConfigError:
        message = "healthcheck.test must begin with CMD, CMD-SHELL or NONE, or be one line of text"
        for source in reversed(everything(self.sources)):
            for _, service in yamlcore.items(yamlcore.at(source.node, ["services"])):
                test = yamlcore.at(service, ["healthcheck", "test"])
                first = yamlcore.strings(test)[:1] if isinstance(test, yaml.SequenceNode) else []
                if first and first[0].value not in ("CMD", "CMD-SHELL", "NONE"):
                    return self.error_at(message, (source.shown, first[0].start_mark.line + 1))
        return self.error(message, ("services",))

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
        if not text:
            return ()
        parts: list[str | int] = []
        for name in sorted(self.services(), key=len, reverse=True):
            if text == f"services.{name}" or text.startswith((f"services.{name}.", f"services.{name}[")):
                parts = ["services", name]
                text = text[len(f"services.{name}") :]
                break
        for part in re.findall(r"[^.\[\]]+", text):
            parts.append(int(part) if part.isdecimal() else part)
        return tuple(parts)

    def naming(self, path: Path, name: str) -> Path:
        """The path with the entry that names `name`: a key, a list item, or a text that begins with it."""
        for source in everything(self.sources):
            node = yamlcore.at(source.node, path)
            if node is None:
                continue
            if isinstance(node, yaml.MappingNode) and yamlcore.at(node, [name]):
                return (*path, name)
            for index, item in enumerate(node.value if isinstance(node, yaml.SequenceNode) else ()):
                entry = yamlcore.at(item, ["source"]) or item
                if isinstance(entry, yaml.ScalarNode) and re.match(rf"{re.escape(name)}(?::|\Z)", entry.value):
                    return (*path, index)
            if isinstance(node, yaml.ScalarNode) and name in node.value.split(":"):
                return (*path, name)
        return path

    def file_scalar(self, file: str, *keys: str) -> Place:
        """Where a file is named: the scalar under one of the keys that leads to it."""
        for source in reversed(everything(self.sources)):
            for scalar in _scalars_under(source.node, keys):
                if os.path.normpath(os.path.join(source.folder, scalar.value)) == os.path.normpath(file):
                    return source.shown, scalar.start_mark.line + 1
        return None, None

    def env_files(self) -> Iterator[str]:
        for source in everything(self.sources):
            for scalar in _scalars_under(source.node, ("env_file",)):
                yield os.path.normpath(os.path.join(source.folder, scalar.value))

    def services(self) -> list[str]:
        return sorted(
            {
                key.value
                for source in everything(self.sources)
                for key, _ in yamlcore.items(yamlcore.at(source.node, ["services"]))
            }
        )

    def texts(self, path: Path) -> list[str]:
        nodes = (yamlcore.at(source.node, path) for source in everything(self.sources))
        return [scalar.value for node in nodes for scalar in yamlcore.strings(node)]

    def written(self, path: Path) -> str | None:
        nodes = (yamlcore.at(source.node, path) for source in reversed(everything(self.sources)))
        return next((str(node.value) for node in nodes if isinstance(node, yaml.ScalarNode)), None)

    def shown(self, file: str) -> str:
        for source in self.sources:
            if file.startswith(source.folder.rstrip("/") + "/"):
                base = source.path.removesuffix(source.shown)
                return file.removeprefix(base) if base else file
        return file

    def error(self, message: str, path: Path, *, hint: str | None = None) -> ConfigError:
        return self.error_at(message, place(self.sources, path) if path else self._first_file(), hint=hint)

    def error_at(self, message: str, at: Place, *, hint: str | None = None) -> ConfigError:
        return ConfigError(message, hint=hint, file=at[0], line=at[1])

    def _first_file(self) -> Place:
        return (self.sources[0].shown if len(self.sources) == 1 else None, None)


_RULES: tuple[tuple[re.Pattern[str], Handler], ...] = (
    (_UNKNOWN, _Reader.unknown_key),
    (_CHOICE, _Reader.wrong_choice),
    (re.compile(r"services must be a mapping"), _Reader.no_services),
    (_KIND, _Reader.wrong_kind),
    (re.compile(r"services\.(?P<service>.+)\.develop\.watch: target is required"), _Reader.watch_target),
    (re.compile(r"services\.(?P<service>.+)\.develop\.watch\.\[\]\.path: value can't be blank"), _Reader.watch_path),
    (_MISSING, _Reader.missing_key),
    (_UNDEFINED, _Reader.undefined),
    (_DEPENDS, _Reader.depends),
    (_NEITHER, _Reader.neither),
    (_PATTERN, _Reader.pattern),
    (_UNIQUE, _Reader.unique),
    (_NOT_TEXT, _Reader.not_text),
    (_CYCLE, _Reader.cycle),
    (_REQUIRED, _Reader.required),
    (_CAST, _Reader.cast),
    (_TEMPLATE, _Reader.template),
    (_NO_ENV_FILE, _Reader.no_env_file),
    (_ENV_READ, _Reader.env_read),
    (_ENV_FILE, _Reader.env_file),
    (_NO_FILE, _Reader.no_file),
    (_PORT, _Reader.port),
    (_NO_TARGET, _Reader.no_target),
    (_DECODING, _Reader.decoding),
    (_EXTENDS, _Reader.extends),
    (re.compile(r"healthcheck\.test must start"), _Reader.healthcheck),
    (_PROJECT_NAME, _Reader.project_name),
    (re.compile(r"project name must not be empty"), _Reader.no_project_name),
)


def _reason(output: str) -> str:
    """The one line that says why; what follows an interpolation error is the value, and is dropped."""
    lines = [line.strip() for line in _ESCAPE.sub("", output).splitlines()]
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


def _known_keys(path: Path) -> str:
    match tuple(path):
        case ():
            return _TOP_KEYS
        case ("services", _):
            return _SERVICE_KEYS
        case ("services", _, "build"):
            return _BUILD_KEYS
        case ("services", _, "develop"):
            return "watch"
        case ("services", _, "develop", "watch", _):
            return _RULE_KEYS
        case _:
            return ""


def _within(path: Path) -> str:
    return f" in {dotted(path)}" if path else " at the top level"


def _scalars_under(node: yaml.Node | None, keys: Sequence[str], *, inside: bool = False) -> Iterator[yaml.ScalarNode]:
    """All scalars below a key of `keys`, at any depth; `check` has bound how much that can be."""
    if isinstance(node, yaml.ScalarNode):
        if inside:
            yield node
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars_under(item, keys, inside=inside)
    else:
        for key, value in yamlcore.items(node):
            yield from _scalars_under(value, keys, inside=inside or key.value in keys)
