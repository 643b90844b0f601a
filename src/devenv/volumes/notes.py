"""The note of a snapshot: JSON of any origin -> Snapshot, typed and bounded. Pure."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, NoReturn
from urllib.parse import quote

from devenv.model.snapshot import Snapshot

LARGEST = 64 * 1024  # bytes of a note
LONGEST = 4096  # characters of a field
LONGEST_NAME = 240  # bytes of a volume's name in the name of a file, which may have 255
LAST = 253_402_128_000.0  # seconds: the calendar of Python, and `date`, end two days later, with the year 9999
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def decode(content: str | bytes) -> Snapshot:
    """The snapshot that a note describes.

    A missing field has its default, if there is one; an unknown field is ignored. Raises ValueError, with the reason,
    for what no version of devenv has written.
    """
    if len(content) > LARGEST:
        raise ValueError("the note is too large")
    try:
        data = json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("the note is nested too deeply") from None
    if not isinstance(data, dict):
        raise ValueError("the note is not an object")  # noqa: TRY004 - an error of the file, not of a caller
    return Snapshot(**{f.name: _value(f, data[f.name]) for f in dataclasses.fields(Snapshot) if _is_given(f, data)})


def stem(volume: str) -> str:
    """The name of a volume's files in the store, without their suffixes. Raises ValueError if there can be none."""
    try:
        name = quote(volume, safe="")
    except UnicodeEncodeError:
        raise ValueError("`volume` is not a text") from None
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError("`volume` is empty or too long")
    return name


def _is_given(field: dataclasses.Field[Any], data: dict[str, Any]) -> bool:
    if field.name not in data and field.default is dataclasses.MISSING:
        raise ValueError(f"`{field.name}` is missing")
    return field.name in data


def _value(field: dataclasses.Field[Any], value: Any) -> Any:
    kind = str(field.type)
    if kind == "float" and type(value) is int and abs(value) < LAST:
        value = float(value)
    if type(value).__name__ != kind:
        raise ValueError(f"`{field.name}` is not a {kind}")
    if isinstance(value, str):
        _require_text(field.name, value)
    elif not isinstance(value, bool) and not (0 <= value < (LAST if kind == "float" else 2**63)):
        raise ValueError(f"`{field.name}` is out of range")
    return value


def _require_text(name: str, value: str) -> None:
    if len(value) > LONGEST:
        raise ValueError(f"`{name}` is too long")
    if name == "volume":
        stem(value)
    if (name == "id" and not _ID.fullmatch(value)) or (name == "digest" and not _DIGEST.fullmatch(value)):
        raise ValueError(f"`{name}` is malformed")


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")
