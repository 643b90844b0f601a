"""The JSON schema of `x-devenv` and `develop`: for the parser, `config --validate`, editors and the docs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from devenv.errors import ConfigError, did_you_mean
from devenv.explain import table

Shape = Mapping[str, Any]
Path = tuple[str | int, ...]
Names = Mapping[str, Collection[str]]  # the existing services and volumes
COMPOSE_SCHEMA = "https://raw.githubusercontent.com/compose-spec/compose-spec/main/schema/compose-spec.json"
LATER = object()  # a value that Compose has not filled in yet, so it cannot be checked


def _resolved(value: Any) -> Any:
    """The value with each `ref` replaced by the content of that table, except for keys that the value has."""
    if isinstance(value, dict):
        own = {key: _resolved(item) for key, item in value.items() if key != "ref"}
        return _merged(own, _resolved(_TABLES[value["ref"]])) if "ref" in value else own
    return [_resolved(item) for item in value] if isinstance(value, list) else value


def _merged(own: Shape, base: Shape) -> Shape:
    both = {key: _merged(own[key], base[key]) for key in own.keys() & base.keys() if isinstance(own[key], dict)}
    return {**own, **{key: item for key, item in base.items() if key not in own}, **both}


_TABLES = table.data("compose/schema.toml")
X_DEVENV: Shape = _resolved(_TABLES["x-devenv"])
RULE: Shape = _resolved(_TABLES["rule"])
DEVELOP: Shape = _resolved(_TABLES["develop"])
MODEL: Shape = _resolved(_TABLES["model"])
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
    """A value of the model has the wrong shape; the file and line follow from its `path`.

    `key`: the key is wrong, not the value.
    """

    def __init__(
        self, path: Sequence[str | int], message: str, *, hint: str | None = None, key: bool = False
    ) -> None:
        super().__init__(f"{dotted(path)}: {message}" if path else message, hint=hint)
        self.path = tuple(path)
        self.key = key


def mistakes(value: Any, shape: Shape, path: Path, names: Names) -> Iterator[ShapeError]:
    """All errors in the value, checked against the shape."""
    if value is None or value is LATER:
        return
    fitting = next((choice for choice in shape.get("anyOf", (shape,)) if _fits(value, choice)), None)
    if fitting is None:
        yield ShapeError(path, f"must be {_title(shape)}")
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


def _title(shape: Shape) -> str:
    """The valid values, as in messages."""
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
        yield ShapeError(path, f"`{value}` is not {_title(shape)}", hint=did_you_mean(value, choices))
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
