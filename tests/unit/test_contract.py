"""Published JSON keys never change: contract.txt has every key of every event and document, with its type."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

CONTRACT = Path(__file__).parent / "contract.txt"
SCHEMAS = Path(__file__).parents[2] / "docs/schemas"


def keys(shape: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """`path=type` of every key that is always there."""
    for name in shape.get("required", ()):
        schema = shape["properties"][name]
        kinds = [each.get("type", "any") for each in schema.get("anyOf", [schema])]
        kind = "|".join(kinds) if "const" not in schema else json.dumps(schema["const"])
        yield f"{above}{name}={'string' if 'enum' in schema else kind}"
        yield from keys(schema, f"{above}{name}.")
        yield from keys(schema.get("items", {}), f"{above}{name}[].")


def promised() -> dict[str, list[str]]:
    """The keys of the published schemas."""
    return {
        f"{kind} {name}": list(keys(shape))
        for kind in ("events", "documents")
        for name, shape in json.loads((SCHEMAS / f"{kind}.json").read_text())["definitions"].items()
    }


def contract() -> dict[str, list[str]]:
    """The contract as it was written."""
    blocks = CONTRACT.read_text(encoding="utf-8").split("\n\n") if CONTRACT.exists() else []
    lines = [block.strip().splitlines() for block in blocks]
    return {name: entries for name, *entries in lines}


@pytest.mark.parametrize("name", contract())
def test_no_key_that_was_promised_goes(name: str) -> None:
    """Each is still there, always, and of the type that it had."""
    assert set(contract()[name]) - set(promised().get(name, ())) == set()


def test_all_that_is_promised_is_in_the_contract() -> None:
    """New keys are written into the contract, so that they stay."""
    assert {name: set(entries) for name, entries in promised().items()} == {
        name: set(entries) for name, entries in contract().items()
    }


if __name__ == "__main__":
    before, now = contract(), promised()
    merged = {name: [*dict.fromkeys([*before.get(name, ()), *now.get(name, ())])] for name in sorted({*before, *now})}
    CONTRACT.write_text("\n\n".join("\n".join([name, *entries]) for name, entries in merged.items()) + "\n")
