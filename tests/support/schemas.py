"""The JSON output of devenv, checked against the published schemas: no key is missing or undocumented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

SCHEMAS = Path(__file__).parents[2] / "docs/schemas"


def _strict(shape: Any) -> Any:
    """The schema without additional keys: the public one allows new keys, a test must not miss them."""
    if isinstance(shape, list):
        return [_strict(part) for part in shape]
    if not isinstance(shape, dict):
        return shape
    inside = {key: _strict(part) for key, part in shape.items()}
    return {**inside, "additionalProperties": False} if "required" in shape else inside


def _checks(kind: str) -> dict[str, Draft7Validator]:
    published = json.loads((SCHEMAS / f"{kind}.json").read_text(encoding="utf-8"))["definitions"]
    return {name: Draft7Validator(_strict(shape)) for name, shape in published.items()}


EVENTS, DOCUMENTS = _checks("events"), _checks("documents")


def violations(document: dict[str, Any]) -> list[str]:
    """The violations of the schemas by a line of stdout: an event, or a command's document."""
    name = document.get("event")
    if name is None:
        return (
            [] if any(shape.is_valid(document) for shape in DOCUMENTS.values()) else [f"no such document: {document}"]
        )
    if name not in EVENTS:
        return [f"no such event: {document}"]
    return [f"{fault.json_path}: {fault.message} in {document}" for fault in EVENTS[name].iter_errors(document)]


def checked_document(command: str, text: str) -> dict[str, Any]:
    """The document that the command printed. Raises AssertionError if it violates the schema."""
    answer: dict[str, Any] = json.loads(text)
    faults = [f"{fault.json_path}: {fault.message}" for fault in DOCUMENTS[command].iter_errors(answer)]
    assert not faults, f"{faults} in {text}"
    return answer
