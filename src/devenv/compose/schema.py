"""The JSON schema of `x-devenv` and `develop`: for the parser, `config --validate`, editors and the docs.

Beside the standard keywords: `title` is the name of the value in messages, `errorMessage` is the message if a
`pattern` does not match, `x-names` is the kind of thing that the text names.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from devenv.errors import ConfigError, did_you_mean
from devenv.model.project import Action, Condition, Moment

Shape = Mapping[str, Any]
Path = tuple[str | int, ...]
Names = Mapping[str, Collection[str]]  # the existing services and volumes
COMPOSE_SCHEMA = "https://raw.githubusercontent.com/compose-spec/compose-spec/main/schema/compose-spec.json"
LATER = object()  # a value that Compose has not filled in yet, so it cannot be checked

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_SHELL_WORDS = {"type": "string", "minLength": 1, "format": "shell-words"}
_WORDS = {"type": "array", "items": _TEXT, "minItems": 1}
_TEXTS = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}], "title": "text or a list of texts"}
_MINE: Shape = {"^x-": {}}
_SCALAR = {"type": ["string", "number", "boolean", "null"], "title": "text or a number"}
_PAIRS = {
    "anyOf": [{"type": "object", "additionalProperties": _SCALAR}, {"type": "array", "items": _TEXT}],
    "title": "a mapping or a list of KEY=VALUE",
    "description": "Added to the environment of the container.",
}
_EXEC = {
    "command": {"anyOf": [_SHELL_WORDS, _WORDS], "title": "text or a list", "description": "Run without a shell."},
    "user": {"type": ["string", "integer"], "description": "In place of the container's own."},
    "working_dir": {**_TEXT, "description": "In place of the container's own."},
    "environment": _PAIRS,
    "privileged": {**_FLAG, "description": "With all rights of the engine's host."},
}
_HOST = [{"type": "string", "minLength": 1}, _WORDS]
_IN_SERVICE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["service", "command"],
    "properties": {"service": {**_TEXT, "x-names": "service", "description": "Where it runs."}, **_EXEC},
}


def _hooks(kinds: Sequence[Shape], title: str, description: str) -> Shape:
    """A command, or a list of commands, of these kinds; a list of texts is a list of commands."""
    command = {"anyOf": kinds, "title": title}
    return {
        "anyOf": [kinds[0], {"type": "array", "items": command}, *kinds[2:]],
        "title": title,
        "description": description,
    }


_ANY = "a command: text or a list for the host, or a mapping with `service` and `command`"
_ALONE = "a command of the host, text or a list: no container is running yet"
X_DEVENV: Shape = {
    "type": "object",
    "description": "What devenv does with this project; plain Compose ignores it.",
    "additionalProperties": False,
    "patternProperties": _MINE,
    "properties": {
        "ports": {
            "enum": ["as-written", "auto"],
            "description": "Publish ports to all addresses, as plain Compose does; or on free ones.",
        },
        "initial_sync": {
            "enum": ["spec"],
            "description": "Sync a new container only if a rule has `initial_sync: true`; otherwise every new "
            "container gets the files that it lacks.",
        },
        "keep": {
            "type": "array",
            "items": {**_TEXT, "x-names": "volume"},
            "description": "Leave these volumes in place at the end of a run, by their keys under `volumes`.",
        },
        "hooks": {
            "type": "object",
            "description": "Commands to run at these moments.",
            "additionalProperties": False,
            "properties": {
                Moment.BEFORE_UP.value: _hooks(_HOST, _ALONE, "Before images are pulled and built; on the host."),
                Moment.AFTER_HEALTHY.value: _hooks(
                    [*_HOST, _IN_SERVICE], _ANY, "At every `devenv up`, when all services are up."
                ),
                Moment.BEFORE_DOWN.value: _hooks([*_HOST, _IN_SERVICE], _ANY, "Before the run is taken down."),
            },
        },
        "images": {
            "type": "object",
            "description": "Sources of images that the engine cannot pull by itself.",
            "additionalProperties": False,
            "properties": {
                "mirrors": {
                    "type": "array",
                    "description": "Registries, each HOST or HOST/PATH, asked in this order.",
                    "items": {
                        **_TEXT,
                        "pattern": "^[^@]*$",
                        "errorMessage": "contains credentials: use `docker login` instead",
                    },
                }
            },
        },
        "deletes": {
            "enum": ["recreate"],
            "description": "In an image without a shell, recreate the container if a file is deleted; otherwise a "
            "problem is reported.",
        },
    },
}
RULE: Shape = {
    "type": "object",
    "additionalProperties": False,
    "patternProperties": _MINE,
    "required": ["path", "action"],
    "properties": {
        "path": _TEXT,
        "action": {"enum": [action.value for action in Action]},
        "target": _TEXT,
        "ignore": _TEXTS,
        "include": _TEXTS,
        "initial_sync": _FLAG,
        "exec": {
            "type": "object",
            "additionalProperties": False,
            "patternProperties": _MINE,
            "required": ["command"],
            "properties": _EXEC,
        },
    },
}
DEVELOP: Shape = {
    "type": "object",
    "additionalProperties": False,
    "patternProperties": _MINE,
    "properties": {"watch": {"type": "array", "items": RULE}},
}

# A rule as Compose prints it: a newer Compose may add keys, for an older one some begin with `x-`.
_PRINTED_RULE = {
    **RULE,
    "additionalProperties": True,
    "properties": {
        **RULE["properties"],
        **{f"x-{key}": RULE["properties"][key] for key in ("ignore", "include", "initial_sync")},
        "x-initialSync": _FLAG,
        "exec": {**RULE["properties"]["exec"], "additionalProperties": True},
    },
}
_CONDITIONS = {"properties": {"condition": {"enum": [condition.value for condition in Condition]}}}
# The parts of a resolved model that need a check after that of Compose.
MODEL: Shape = {
    "required": ["name"],
    "properties": {
        "services": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "depends_on": {"additionalProperties": _CONDITIONS},
                    "develop": {"properties": {"watch": {"items": _PRINTED_RULE}}},
                },
            },
        },
        "x-devenv": X_DEVENV,
    },
}
_KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "object": (dict, "a mapping"),
    "array": (list, "a list"),
    "string": (str, "text"),
    "integer": (int, "a whole number"),
    "number": ((int, float), "a number"),
    "null": ((), "empty"),
    "boolean": (bool, "true or false"),
}


class ShapeError(ConfigError):
    """A value of the model has the wrong shape; its `path` leads to the file and line.

    `key`: the key is wrong, not the value.
    """

    def __init__(
        self, path: Sequence[str | int], message: str, *, hint: str | None = None, key: bool = False
    ) -> None:
        super().__init__(f"{dotted(path)}: {message}" if path else message, hint=hint)
        self.path = tuple(path)
        self.key = key


def mistakes(value: Any, shape: Shape, path: Path, names: Names) -> Iterator[ShapeError]:
    """All errors in the value by its shape."""
    if value is None or value is LATER:
        return
    fitting = next((choice for choice in shape.get("anyOf", (shape,)) if _fits(value, choice)), None)
    if fitting is None:
        yield ShapeError(path, f"must be {_called(shape)}")
    elif isinstance(value, dict):
        yield from _in_mapping(value, fitting, path, names)
    elif isinstance(value, list):
        if not value and "minItems" in fitting:
            yield ShapeError(path, "the command is empty")
        for index, item in enumerate(value):
            yield from mistakes(item, fitting.get("items", {}), (*path, index), names)
    elif isinstance(value, str):
        yield from _in_text(value, fitting, path, names)


def compose_schema() -> dict[str, Any]:
    """The schema of a Compose file with an `x-devenv` block, for editors."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A Compose file with x-devenv",
        "allOf": [{"$ref": COMPOSE_SCHEMA}, {"type": "object", "properties": {"x-devenv": X_DEVENV}}],
    }


def dotted(path: Sequence[str | int]) -> str:
    """A path of the model as in messages: `services.web.ports[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _fits(value: Any, shape: Shape) -> bool:
    """Whether the value has the type of the shape; a boolean may be text, since Compose does not type `x-` keys."""
    kinds = ["string"] if "enum" in shape else _kinds(shape)
    if isinstance(value, bool):
        return not kinds or "boolean" in kinds
    if isinstance(value, str) and "boolean" in kinds and "string" not in kinds:
        return value.lower() in ("true", "false")
    return not kinds or any(isinstance(value, _KINDS[kind][0]) for kind in kinds)


def _called(shape: Shape) -> str:
    if "title" in shape:
        return str(shape["title"])
    if "enum" in shape:
        return f"one of {', '.join(shape['enum'])}"
    return " or ".join(_KINDS[kind][1] for kind in _kinds(shape))


def _kinds(shape: Shape) -> Sequence[str]:
    kinds: str | list[str] = shape.get("type", [])
    return [kinds] if isinstance(kinds, str) else kinds


def _in_mapping(value: Mapping[str, Any], shape: Shape, path: Path, names: Names) -> Iterator[ShapeError]:
    known, others = shape.get("properties", {}), shape.get("additionalProperties", True)
    for key, item in value.items():
        if key in known:
            yield from mistakes(item, known[key], (*path, key), names)
        elif isinstance(others, dict):
            yield from mistakes(item, others, (*path, key), names)
        elif not others and not ("patternProperties" in shape and key.startswith("x-")):
            yield ShapeError((*path, key), "unknown key", hint=did_you_mean(key, tuple(known)), key=True)
    for key in shape.get("required", ()):
        if value.get(key) is None:
            yield ShapeError((*path, key), "is missing")


def _in_text(value: str, shape: Shape, path: Path, names: Names) -> Iterator[ShapeError]:
    choices, kind = shape.get("enum", ()), shape.get("x-names", "")
    if choices and value not in choices:
        yield ShapeError(path, f"`{value}` is not {_called(shape)}", hint=did_you_mean(value, choices))
    if not value and "minLength" in shape:
        yield ShapeError(path, "the command is empty")
    if "format" in shape:
        try:
            shlex.split(value)
        except ValueError:
            yield ShapeError(path, "a quote is not closed")
    if not re.search(shape.get("pattern", ""), value):
        yield ShapeError(path, shape["errorMessage"])
    if kind in names and value not in names[kind]:
        yield ShapeError(path, f"there is no {kind} `{value}`", hint=did_you_mean(value, sorted(names[kind])))
