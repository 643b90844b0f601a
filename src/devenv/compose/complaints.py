"""Turn an error of `docker compose config` into a ConfigError with file and line, by the table `compose`.

Compose names a path of the model at best, and quotes values at worst; no value of an environment is repeated.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence

from devenv.compose import yaml12
from devenv.compose.files import ComposeFile, Place, everything, example_of
from devenv.compose.positions import Model
from devenv.compose.schema import dotted
from devenv.docker.compose_failures import clean
from devenv.errors import ConfigError, closest
from devenv.explain import table
from devenv.explain.table import TableEntry

TABLE = "compose"

_LOGGED = re.compile(r'time="[^"]*" level=(?P<level>\w+) msg=(?P<message>"(?:[^"\\]|\\.)*")')
_FILE_PREFIX = re.compile(r"\A(?:failed to parse|validating) (?P<file>\S.*?): ")
_PATH = re.compile(r"(?:services|networks|volumes|secrets|configs|include)(?:[.\[][^\s:'\"]+)+")
_UNSET = re.compile(r"the variable (\w+) is not set")
_BLANK = re.compile(r"(?<!\$)\$(?:\w+|\{\w+\})")
_NEEDS = ("depends_on", "links", "volumes_from", "network_mode", "pid", "ipc")

Words = Mapping[str, str]


def explain(output: str, sources: Sequence[ComposeFile], version: str = "") -> ConfigError:
    """The error that Compose reports in `output`, its standard error; `version` is that of Compose, if known."""
    # only the first line: after an interpolation error, the next lines quote the value
    lines = [line.strip() for line in clean(output).splitlines()]
    reasons = (line for line in lines if line and not _LOGGED.match(line) and not line.startswith("decoding failed"))
    reason = next(reasons, "").removesuffix(": invalid compose project")
    model = Model(sources)
    if prefix := _FILE_PREFIX.match(reason):
        reason = reason[prefix.end() :]
        model = model.only(prefix["file"])
    explanation = table.explain(table.load(TABLE), reason, functools.partial(_words, model, version))
    if explanation is None:
        error = _unknown(model, reason)
    else:
        file, line = _place(model, explanation.entry, explanation.words)
        error = ConfigError(explanation.cause, hint=explanation.hint or None, file=file, line=line)
    return with_unset(error, warnings(output, sources), sources)


def with_unset(error: ConfigError, warned: Sequence[str], sources: Sequence[ComposeFile]) -> ConfigError:
    """Add the variables of the error's line that are not set, by the warnings, and how to set them."""
    texts = [source.text for source in everything(sources) if source.shown == error.file]
    line = "".join(texts[0].splitlines()[error.line - 1 : error.line]) if texts and error.line else ""
    unset = [match[1] for text in warned if (match := _UNSET.match(text))]
    names = [name for name in unset if _use(name).search(line)]
    if not names:
        return error
    env, _ = _env_example(Model(sources), {"file": ""})
    hint = f"Set {' and '.join(names)} in your shell or in the file .env beside the Compose file."
    if env["example"]:
        hint = f"cp {env['example']} {env['env_file']}   ({env['env_file']} not found)"
    message = f"the variable {names[0]} is" if len(names) == 1 else f"the variables {', '.join(names)} are"
    return ConfigError(f"{error.message}: {message} not set", hint=hint, file=error.file, line=error.line)


def warnings(output: str, sources: Sequence[ComposeFile]) -> tuple[str, ...]:
    """The warnings of Compose about the files, each once."""
    logged = (match for match in _LOGGED.finditer(clean(output)) if match["level"] == "warning")
    return tuple(dict.fromkeys(_warning(_unquoted(match["message"]), sources) for match in logged))


def _words(model: Model, version: str, entry: TableEntry, groups: Words, _line: int) -> Words:
    """The words for the messages of an entry; `raw_path` and `raw_file` are as Compose wrote them."""
    raw = {"path": "", "file": "", "text": "", "version": version, **groups}
    shown = {"path": dotted(model.path(raw["path"])), "file": model.shown(raw["file"])}
    more, _ = _special(model, entry, raw)
    return {**raw, "raw_path": raw["path"], "raw_file": raw["file"], **shown, **more}


def _place(model: Model, entry: TableEntry, words: Words) -> Place:
    """The file and line of the error that an entry describes."""
    options, raw = entry.options, {**words, "path": words["raw_path"], "file": words["raw_file"]}
    _, special = _special(model, entry, raw)
    if special:
        return special
    if path := model.path(options.get("at", "{path}").format_map(raw)):
        return model.place(model.naming(path, words["name"]) if "name" in words else path)
    own = (None if "under" in options else words["file"] or None, None)
    file = os.path.normpath(raw["file"])
    return next((place for path, place in model.files_under(options.get("under", ())) if path == file), own)


def _special(model: Model, entry: TableEntry, raw: Words) -> tuple[Words, Place | None]:
    """The words and the place by the entry's option `special`; None if other options give the place."""
    return SPECIAL[entry.options["special"]](model, raw) if "special" in entry.options else ({}, None)


def _unknown(model: Model, reason: str) -> ConfigError:
    """The error for a reason that no entry matches, in Compose's words without quoted texts that may be secrets."""
    match = _PATH.search(reason)
    service = re.match(r'service "?([^\s"]+)', reason)
    path = model.path(match[0]) if match else ("services", service[1]) if service else ()
    if re.search(r"environment|env.?file|secret|\.env\b", reason):
        reason = re.sub(r"\"[^\"]*\"|'[^']*'", "…", reason)
    file, line = model.place(path)
    return ConfigError(reason or "Compose refuses the project and gives no reason", file=file, line=line)


def _unknown_key(model: Model, raw: Words) -> tuple[Words, Place]:
    path, key = model.path(raw["path"]), raw["key"]
    known, versions = _keys(path)
    words = {
        "where": f"in {dotted(path)}" if path else "at the top level",
        "is_service": key if path == ("services",) else "",
        "is_known": key if key in known else "",
        "needed": versions.get(key, ""),
        "guess": _guess(key, [*known, *versions]),
        "installed": f"Compose {raw['version']} is installed. " if raw["version"] else "",
    }
    files = [source for source in model.files if yaml12.line_of(source.node, (*path, key))]
    if not files and path[:1] == ("services",):  # in a file that `extends` names, the service may have another name
        below = [str(part) for part in path[2:]]
        path = next((("services", name, *below) for _, name, _ in model.services(*below, key)), path)
    return words, model.place((*path, key))


def _keys(path: Sequence[str | int]) -> tuple[list[str], dict[str, str]]:
    """The keys of Compose at the path; and those of newer versions, with the first version of each."""
    content = table.read(TABLE)
    known = [key for shape, keys in content["keys"].items() if _has_shape(path, shape) for key in keys.split()]
    split = ((*name.rpartition("."), version) for name, version in content["versions"].items())
    return known, {key: version for shape, _, key, version in split if _has_shape(path, shape)}


def _has_shape(path: Sequence[str | int], shape: str) -> bool:
    parts = shape.split(".") if shape else []
    return len(parts) == len(path) and all(part in ("*", str(own)) for part, own in zip(parts, path, strict=True))


def _wrong_choice(model: Model, raw: Words) -> tuple[Words, None]:
    written = model.texts(model.path(raw["path"]))
    choices = ", ".join(re.findall(r"[\"']([^\"']+)[\"']", raw["values"]))
    return {"value": f"`{written[0]}` is" if written else "this is", "choices": choices}, None


def _dependency(model: Model, raw: Words) -> tuple[Words, Place]:
    services = sorted({name for _, name, _ in model.services()})
    profiles = model.texts(("services", raw["name"], "profiles"))
    guess = _guess(raw["name"], services) or f"Services here: {', '.join(services)}."
    paths = (model.naming(("services", raw["service"], key), raw["name"]) for key in _NEEDS)
    return {"profile": next(iter(profiles), ""), "guess": guess}, model.place(max(paths, key=len))


def _env_file(model: Model, raw: Words) -> tuple[Words, Place]:
    """The place in the env file where Compose stopped: for a quote that is not closed, its last line."""
    message = re.sub(r"( near |: ?\").*", "", raw["what"])
    message = re.sub(r"unterminated quoted value.*", "a quote is not closed", message)
    files = {raw["file"]} if raw["file"] else {file for file, _ in model.files_under(("env_file",))}
    if len(files) == 1:
        return {"message": message}, (model.shown(files.pop()), int(raw["line"]))
    return {"message": f"an env_file, line {raw['line']}: {message}"}, (None, None)


def _env_example(model: Model, raw: Words) -> tuple[Words, None]:
    """The missing env file, and the example beside it to copy; empty if there is none."""
    missing = raw["file"] or os.path.join(model.sources[0].folder, ".env")
    example = example_of(missing)
    return {"env_file": model.shown(missing), "example": model.shown(example) if example else ""}, None


def _entry(model: Model, raw: Words, *, key: str) -> tuple[Words, Place]:
    """The entry of the services' lists at `key` that has the text, or equals it if its variables are empty."""
    text = raw["text"]
    entries = [(source, entry) for source, _, node in model.services(key) for entry in yaml12.strings(node)]
    for source, entry in entries:
        if (text and text in entry.value) or _BLANK.sub("", entry.value) == text:
            return {"value": entry.value}, source.place(entry)
    return {"value": text}, model.place(("services",))


def _watch_rule(model: Model, raw: Words) -> tuple[Words, Place]:
    """The place of the rule that lacks a key: Compose names only its service."""
    service, key = raw["service"], raw["key"]
    rules = model.services("develop", "watch")
    own = ((source, rule) for source, name, node in rules if name == service for rule in yaml12.entries(node))
    for source, rule in own:
        action, value = yaml12.at(rule, ["action"]), yaml12.at(rule, [key])
        if not (value and value.value) and (key == "path" or (action and "sync" in action.value)):
            return {}, source.place(rule)
    return {}, model.place(("services", service, "develop", "watch"))


# By the option `special` of an entry.
SPECIAL: Mapping[str, Callable[[Model, Words], tuple[Words, Place | None]]] = {
    "unknown_key": _unknown_key,
    "wrong_choice": _wrong_choice,
    "dependency": _dependency,
    "env_file": _env_file,
    "env_example": _env_example,
    "port": functools.partial(_entry, key="ports"),
    "volume": functools.partial(_entry, key="volumes"),
    "watch_rule": _watch_rule,
}


def _warning(message: str, sources: Sequence[ComposeFile]) -> str:
    if unset := re.match(r'The "(\w+)" variable is not set', message):
        use = _use(unset[1])
        lines = ((source, line) for source in everything(sources) for line in enumerate(source.text.splitlines(), 1))
        first = next((f" ({source.shown}:{number})" for source, (number, line) in lines if use.search(line)), "")
        return f"the variable {unset[1]} is not set, so its value is empty{first}"
    if "attribute `version` is obsolete" in message:
        return "the key `version` is obsolete, and ignored"
    return message


def _use(name: str) -> re.Pattern[str]:
    """The pattern for a use of the variable: `$NAME` or `${NAME...`."""
    return re.compile(rf"(?<!\$)\$(?:{name}\b|\{{{name}\b)")


def _unquoted(message: str) -> str:
    try:
        return str(json.loads(message))
    except ValueError:
        return message.strip('"')


def _guess(word: str, known: Sequence[str]) -> str:
    close = closest(word, known)
    return f"Did you mean `{close}`?" if close else ""
