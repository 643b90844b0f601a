"""Turn an error of `docker compose config` into a ConfigError with file and line, by the table `compose`.

Compose names a path of the model at best, and quotes values at worst; no value of an environment is repeated.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence

import yaml

from devenv.compose import yaml12
from devenv.compose.files import ComposeFile, Place, everything
from devenv.compose.positions import Model, place
from devenv.compose.schema import RULE, dotted
from devenv.docker.compose_failures import clean
from devenv.errors import ConfigError, meant
from devenv.explain import table
from devenv.explain.table import TableEntry

TABLE = "compose"
# The keys that Compose knows at a path; `*` stands for any part.
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
_NEEDS = ("depends_on", "links", "volumes_from", "network_mode", "pid", "ipc")

Words = Mapping[str, str]


def explain(output: str, sources: Sequence[ComposeFile]) -> ConfigError:
    """The error for the standard error of Compose."""
    reason = _reason(output).removesuffix(": invalid compose project")
    model = Model(sources)
    if prefix := _FILE_PREFIX.match(reason):
        reason = reason[prefix.end() :]
        model = model.only(prefix["file"])
    explanation = table.explain(table.load(TABLE), reason, functools.partial(_words, model))
    if explanation is None:
        return _unknown(model, reason)
    file, line = _place(model, explanation.entry, explanation.words)
    return ConfigError(explanation.cause, hint=explanation.hint or None, file=file, line=line)


def warnings(output: str, sources: Sequence[ComposeFile]) -> tuple[str, ...]:
    """The warnings of Compose about the files, each once."""
    logged = (match for match in _LOGGED.finditer(clean(output)) if match["level"] == "warning")
    messages = (_warning(_unquoted(match["message"]), sources) for match in logged)
    return tuple(dict.fromkeys(messages))


def _words(model: Model, entry: TableEntry, groups: Words, _line: int) -> Words:
    """The words for the messages of an entry; `raw_path` and `raw_file` are what Compose wrote."""
    raw = {"path": "", "file": "", "text": "", **groups}
    shown = {"path": dotted(model.path(raw["path"])), "file": model.shown(raw["file"])}
    more = WORDS[entry.options["words"]](model, raw) if "words" in entry.options else {}
    return {**raw, "raw_path": raw["path"], "raw_file": raw["file"], **shown, **more}


def _place(model: Model, entry: TableEntry, words: Words) -> Place:
    """The file and line that an entry blames."""
    options = entry.options
    if "place" in options:
        return PLACES[options["place"]](model, words)
    if path := model.path(options.get("at", "{path}").format_map({**words, "path": words["raw_path"]})):
        return place(model.sources, model.naming(path, words["name"]) if "name" in words else path)
    own = (None if "under" in options else words["file"] or None, None)
    file = os.path.normpath(words["raw_file"])
    return next((at for named, at in model.files_under(options.get("under", ())) if named == file), own)


def _unknown(model: Model, reason: str) -> ConfigError:
    """The error for a reason that no entry matches, in Compose's words without quoted texts, which may be secrets."""
    match = _PATH.search(reason)
    service = re.match(r'service "?([^\s"]+)', reason)
    path = model.path(match[0]) if match else ("services", service[1]) if service else ()
    if re.search(r"environment|env.?file|secret|\.env\b", reason):
        reason = re.sub(r"\"[^\"]*\"|'[^']*'", "…", reason)
    file, line = model.place(path)
    return ConfigError(reason or "Compose refuses the project and gives no reason", file=file, line=line)


def _unknown_key(model: Model, groups: Words) -> Words:
    path, key = model.path(groups["path"]), groups["key"]
    shape = ".".join("*" if n in _ANY else str(part) for n, part in enumerate(path))
    known = _KEYS.get(shape, "").split()
    return {
        "where": f"in {dotted(path)}" if path else "at the top level",
        "is_service": key if path == ("services",) else "",
        "is_known": key if key in known else "",
        "guess": _guess(key, known),
    }


def _wrong_choice(model: Model, groups: Words) -> Words:
    written = model.texts(model.path(groups["path"]))
    choices = ", ".join(re.findall(r"[\"']([^\"']+)[\"']", groups["values"]))
    return {"value": f"`{written[0]}` is" if written else "this is", "choices": choices}


def _wrong_type(model: Model, groups: Words) -> Words:
    has_variable = any("$" in text for text in model.texts(model.path(groups["path"])))
    return {"filled": " after its variables are filled in" if has_variable else ""}


def _dependency(model: Model, groups: Words) -> Words:
    services = sorted({name for _, name, _ in model.services()})
    profiles = model.texts(("services", groups["name"], "profiles"))
    return {
        "profile": next(iter(profiles), ""),
        "guess": _guess(groups["name"], services) or f"Services here: {', '.join(services)}.",
    }


def _env_file(model: Model, groups: Words) -> Words:
    words = re.sub(r"( near |: ?\").*", "", groups["what"])
    words = re.sub(r"unterminated quoted value.*", "a quote is not closed", words)
    only = _only_env_file(model, groups["file"])
    return {"message": words if only else f"an env_file, line {groups['line']}: {words}"}


def _port(model: Model, groups: Words) -> Words:
    return {"value": _port_entry(model, groups["text"])[0]}


WORDS: Mapping[str, Callable[[Model, Words], Words]] = {
    "unknown_key": _unknown_key,
    "wrong_choice": _wrong_choice,
    "wrong_type": _wrong_type,
    "dependency": _dependency,
    "env_file": _env_file,
    "port": _port,
}


def _key_place(model: Model, words: Words) -> Place:
    return place(model.sources, (*model.path(words["raw_path"]), words["key"]))


def _dependency_place(model: Model, words: Words) -> Place:
    paths = (model.naming(("services", words["service"], key), words["name"]) for key in _NEEDS)
    return place(model.sources, max(paths, key=len))


def _env_file_place(model: Model, words: Words) -> Place:
    """Compose counts to the line where it stopped: for an open quote that is the last line."""
    only = _only_env_file(model, words["raw_file"])
    return (model.shown(only), int(words["line"])) if only else (None, None)


def _port_place(model: Model, words: Words) -> Place:
    return _port_entry(model, words["text"])[1]


def _healthcheck_place(model: Model, _: Words) -> Place:
    wrong = (
        _line(source, test)
        for source, _, test in model.services("healthcheck", "test")
        if isinstance(test, yaml.SequenceNode)
        and [word.value for word in yaml12.strings(test)[:1]] not in (["CMD"], ["CMD-SHELL"], ["NONE"])
    )
    return next(wrong, None) or place(model.sources, ("services",))


def _watch_rule_place(model: Model, words: Words) -> Place:
    """Compose names the service whose rule lacks a key, but not the rule."""
    rules = (
        (source, rule)
        for source, name, node in model.services("develop", "watch")
        if name == words["service"] and isinstance(node, yaml.SequenceNode)
        for rule in node.value
    )
    wrong = (_line(source, rule) for source, rule in rules if _lacks(rule, words["key"]))
    return next(wrong, None) or place(model.sources, ("services", words["service"], "develop", "watch"))


PLACES: Mapping[str, Callable[[Model, Words], Place]] = {
    "key": _key_place,
    "dependency": _dependency_place,
    "env_file": _env_file_place,
    "port": _port_place,
    "healthcheck": _healthcheck_place,
    "watch_rule": _watch_rule_place,
}


def _only_env_file(model: Model, named: str) -> str | None:
    """The env_file that Compose names, or the only env_file of the project."""
    files = {named} if named else {file for file, _ in model.files_under(("env_file",))}
    return files.pop() if len(files) == 1 else None


def _port_entry(model: Model, text: str) -> tuple[str, Place]:
    """The entry of `ports` that has the text, and its place."""
    lists = ((source, yaml12.strings(ports)) for source, _, ports in model.services("ports"))
    written = ((entry.value, _line(source, entry)) for source, entries in lists for entry in entries)
    fallback = (text, place(model.sources, ("services",)))
    return next((entry for entry in written if text in entry[0]), fallback)


def _reason(output: str) -> str:
    """The line with the reason; the lines after an interpolation error quote the value, and are dropped."""
    lines = [line.strip() for line in clean(output).splitlines()]
    reasons = (line for line in lines if line and not _LOGGED.match(line) and not line.startswith("decoding failed"))
    return next(reasons, "")


def _warning(message: str, sources: Sequence[ComposeFile]) -> str:
    if unset := re.match(r'The "(\w+)" variable is not set', message):
        at = _first_use(unset[1], sources)
        return f"the variable {unset[1]} is not set, so its value is empty{at}"
    if "attribute `version` is obsolete" in message:
        return "the key `version` is obsolete, and ignored"
    return message


def _first_use(name: str, sources: Sequence[ComposeFile]) -> str:
    use = re.compile(rf"(?<!\$)\$(?:{name}\b|\{{{name}\b)")
    for source in everything(sources):
        if match := use.search(source.text):
            return f" ({source.shown}:{source.text.count(chr(10), 0, match.start()) + 1})"
    return ""


def _unquoted(message: str) -> str:
    try:
        return str(json.loads(message))
    except ValueError:
        return message.strip('"')


def _guess(word: str, known: Sequence[str]) -> str:
    close = meant(word, known)
    return f"Did you mean `{close}`?" if close else ""


def _lacks(rule: yaml.Node, key: str) -> bool:
    action, value = yaml12.at(rule, ["action"]), yaml12.at(rule, [key])
    return not (value and value.value) and (key == "path" or bool(action and "sync" in action.value))


def _line(source: ComposeFile, node: yaml.Node) -> Place:
    return source.shown, node.start_mark.line + 1
