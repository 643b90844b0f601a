"""The schemas under docs/schemas, docs/json.md and the table of `x-devenv`, made from the model: for write-pages."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from devenv import events
from devenv.compose.schema import compose_schema
from devenv.doctor.mirrors import Mirror
from devenv.images.listing import Row
from devenv.images.standins.recipes import Offer
from devenv.model.answers import Explained, Finding, Here, MachineRun, Mistake, Shown, Suggestion
from devenv.model.graph import Graph
from devenv.model.images import Report
from devenv.model.ps import Stands
from devenv.model.settled import Settled
from devenv.model.snapshot import Snapshot
from devenv.scaffold.new.new import Made

ROOT = Path(__file__).resolve().parents[1]
DRAFT = "http://json-schema.org/draft-07/schema#"
EVENTS: list[type[events.Event]] = sorted(events.Event.__subclasses__(), key=lambda kind: kind.event)
Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Listed:
    """A template."""

    template: str
    description: str


# The documents that commands print: fields of their own, then those of a value of the model.
DOCUMENTS: Mapping[str, tuple[str, Fields, type | None]] = {
    "add": (
        "What `devenv add` and `devenv remove` write, or would with `--dry-run`.",
        {
            "written": bool,
            "diff": Annotated[list[str], "a unified diff, line by line"],
            "notes": Annotated[list[str], "further notes"],
        },
        None,
    ),
    "agent init": (
        "`devenv agent init`: the skill files.",
        {"written": Annotated[list[str], "paths in the folder"]},
        None,
    ),
    "config": ("`devenv config`: the project as devenv understands it.", {}, Shown),
    "config --validate": (
        "`devenv config --validate`: all mistakes, by file and line.",
        {"errors": Annotated[int, "number of mistakes with the level `error`"], "mistakes": list[Mistake]},
        None,
    ),
    "doctor": (
        "`devenv doctor`: findings and fixes.",
        {
            "findings": list[Finding],
            "errors": Annotated[int, "number of findings that are errors"],
            "seconds": float,
            "fixed": Annotated[list[str], "codes of the findings that `--fix` fixed"],
            "backups": Annotated[list[str], "backups of changed files"],
            "failed": Annotated[list[str], "why a fix failed"],
        },
        None,
    ),
    "doctor --mirror": (
        "`devenv doctor --mirror`: the mirrors, tested with the project's images.",
        {
            "mirrors": Annotated[list[Mirror], "the best first"],
            "written": Annotated[str | None, "the file that `--fix` changed"],
        },
        None,
    ),
    "devenv": (
        "`devenv` without a command: the state of the project in this folder, and commands to type next.",
        {"commands": Annotated[list[Suggestion], "the most useful first"]},
        Here,
    ),
    "explain": ("`devenv explain`: what a save of each path would do.", {"paths": list[Explained]}, None),
    "graph": ("`devenv graph`: the services and their dependencies.", {}, Graph),
    "images": ("`devenv images`: the images that the project needs.", {"images": list[Row]}, None),
    "images --list": ("`devenv images --list`: the available stand-ins.", {"stand_ins": list[Offer]}, None),
    "layers": ("`devenv layers`: the layers of one image, or of two.", {}, Report),
    "ls": ("`devenv ls`: the runs of this machine.", {"runs": list[MachineRun]}, None),
    "new": (
        "`devenv new`: the files that were created, or would be with `--dry-run`.",
        {"dry_run": bool},
        Made,
    ),
    "new --list": (
        "The templates that devenv includes.",
        {"templates": list[Listed]},
        None,
    ),
    "open": (
        "`devenv open`: the addresses of the site.",
        {
            "project": str,
            "urls": Annotated[list[str], "addresses that answer HTTP, as `up` prints them"],
            "opened": Annotated[bool, "whether a browser was asked to open the first"],
        },
        None,
    ),
    "page": (
        "`devenv page`: the address of the page, or the file of a report.",
        {
            "project": str,
            "url": Annotated[str | None, "with the key to the page after `#`; null for a report"],
            "opened": Annotated[bool, "whether a browser was asked to open it"],
            "file": Annotated[str | None, "the path of the report"],
        },
        None,
    ),
    "ps": ("`devenv ps`: the states of the services; with `--watch`, a document for each change.", {}, Stands),
    "version": (
        "`devenv version`: the versions of devenv and Compose.",
        {"devenv": str, "compose": Annotated[str | None, "null if it is missing"]},
        None,
    ),
    "settle": ("`devenv settle`: whether every save is in effect.", {}, Settled),
    "snapshot list": ("The snapshots, the newest first.", {"snapshots": list[Snapshot]}, None),
}


def pages() -> dict[str, str]:
    """Path from the root -> text of every generated file."""
    return {
        "docs/schemas/compose.json": _json(compose_schema()),
        "docs/schemas/events.json": _json(events_schema()),
        "docs/schemas/documents.json": _json(documents_schema()),
        "docs/json.md": _page(),
    }


def events_schema() -> dict[str, Any]:
    """The schema of a line of the stream; `definitions` by the event's name."""
    shapes = {kind.event: _event(kind) for kind in EVENTS}
    refs = [{"$ref": f"#/definitions/{name}"} for name in shapes]
    return {"$schema": DRAFT, "title": "One event of devenv", "oneOf": refs, "definitions": shapes}


def documents_schema() -> dict[str, Any]:
    """The schemas of the documents that commands print; `definitions` by the command."""
    shapes: dict[str, Any] = {}
    for name, (description, own, value) in DOCUMENTS.items():
        shape = _shape(value) if value else {}
        properties = {
            "v": {"const": 1},
            **{key: _of(hint) for key, hint in own.items()},
            **shape.get("properties", {}),
        }
        about = "\n\n".join(filter(None, (description, shape.get("description", ""))))
        shapes[name] = {"description": about, "type": "object", "properties": properties, "required": [*properties]}
    finding = shapes["doctor"]["properties"]["findings"]["items"]
    finding["properties"]["anchor"] = {"type": "string", "description": "the topic for `devenv help`"}
    finding["required"].append("anchor")
    layer = shapes["layers"]["properties"]["images"]["items"]["properties"]["layers"]["items"]
    layer["properties"]["created_at"] = {
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "description": "`created` as RFC 3339",
    }
    layer["required"].append("created_at")
    snapshot = shapes["snapshot list"]["properties"]["snapshots"]["items"]
    snapshot["properties"]["created_at"] = {"type": "string", "description": "`created` as RFC 3339"}
    snapshot["required"].append("created_at")
    run = shapes["ls"]["properties"]["runs"]["items"]
    run["properties"]["began_at"] = {
        "anyOf": [{"type": "string"}, {"type": "null"}],
        "description": "`began` as RFC 3339",
    }
    run["required"].append("began_at")
    refs = [{"$ref": f"#/definitions/{name}"} for name in shapes]
    return {"$schema": DRAFT, "title": "An answer of devenv", "anyOf": refs, "definitions": shapes}


def _event(kind: type[events.Event]) -> dict[str, Any]:
    shape = _shape(kind)
    common = {"v": {"const": 1}, "ts": {"type": "string", "format": "date-time"}, "event": {"const": kind.event}}
    return {**shape, "properties": {**common, **shape["properties"]}, "required": [*common, *shape["required"]]}


def _shape(kind: type) -> dict[str, Any]:
    """The schema of a dataclass; all fields are required."""
    assert is_dataclass(kind)  # noqa: S101 - nothing else is in the model
    hints = get_type_hints(kind, include_extras=True)
    properties = {field.name: _of(hints[field.name]) for field in fields(kind)}
    doc = inspect.getdoc(kind) or ""
    about = {} if doc.startswith(f"{kind.__name__}(") else {"description": doc}
    return {**about, "type": "object", "properties": properties, "required": [*properties]}


def _of(hint: Any) -> dict[str, Any]:  # noqa: PLR0911 - one return a kind of type is what this is
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        description = arguments[1]
        return {
            **_of(arguments[0]),
            **({"enum": [*description]} if isinstance(description, tuple) else {"description": description}),
        }
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(argument) for argument in arguments]}
    if origin in (list, tuple):
        return {"type": "array", "items": _of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1])}
    if is_dataclass(hint):
        return _shape(hint)  # type: ignore[arg-type]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"enum": [value.value for value in hint]}
    names = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}
    return {"type": names[hint]} if hint in names else {}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _page() -> str:
    lines = [
        "# JSON",
        "",
        "<!-- Made by scripts/write-pages from src/devenv/model: edit there. -->",
        "",
        "With `--output json`, stdout contains only JSON. Commands that change something (`up`, `down`, `gc`,",
        "`sync`, `build`, `push`, `images pull|save|load`, `snapshot save|restore|rm|export|import`) and `logs`",
        "print [events](#events), one per line; all others print one [document](#documents). A command that",
        "fails ends with the event `error`. Each event and document has `v`, the version of this format: 1.",
        "Within a version, fields, events and values may be added, but not changed or removed.",
        "",
        "The schemas are [events.json](schemas/events.json), [documents.json](schemas/documents.json) (both under",
        "`definitions`, by the name of the event or the command), and [compose.json](schemas/compose.json) for",
        "[editors](reference/settings.md#completion-in-an-editor).",
        "",
        "## Events",
        "",
        "Each event also has `v`, `ts` (UTC, ISO 8601) and its name in `event`.",
    ]
    for name, shape in events_schema()["definitions"].items():
        lines += ["", f"### `{name}`", "", shape["description"], "", *_table(shape)]
    lines += ["", "## Documents"]
    for name, shape in documents_schema()["definitions"].items():
        lines += ["", f"### `devenv {name}`", "", shape["description"], "", *_table(shape)]
    return "\n".join(lines) + "\n"


def _table(shape: Mapping[str, Any]) -> Iterator[str]:
    yield "| field | type | |"
    yield "|---|---|---|"
    for path, entry in _rows(shape, ""):
        description = entry.get("description") or entry.get("items", {}).get("description", "")
        words = ", ".join(f"`{word}`" for word in entry["enum"]) if "enum" in entry else ""
        text = re.sub(r"\s+", " ", " ".join(filter(None, (description, words)))).replace("|", "\\|")
        yield f"| `{path}` | {_type(entry)} | {text} |"


def _rows(shape: Mapping[str, Any], above: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each field, with the fields below it."""
    for name, entry in shape.get("properties", {}).items():
        if above or name not in ("v", "ts", "event"):
            yield f"{above}{name}", entry
            yield from _rows(entry, f"{above}{name}.")
            yield from _rows(entry.get("items", {}), f"{above}{name}[].")


def _type(shape: Mapping[str, Any]) -> str:
    if "anyOf" in shape:
        return " or ".join(_type(option) for option in shape["anyOf"])
    if shape.get("type") == "array":
        return f"list of {_type(shape['items'])}"
    return str(shape.get("type", "string" if "enum" in shape else "anything"))
