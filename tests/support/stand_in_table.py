"""The table of docs/stand-ins.md, from the recipes: as a script, it updates the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devenv.images.standins.recipes import entries

PAGE = Path(__file__).parents[2] / "docs/stand-ins.md"
HEAD = "| images | inside | not inside |\n|---|---|---|\n"


class _Nothing(dict[str, str]):
    """Values that are only known after an image is built."""

    def __missing__(self, key: str) -> str:
        return ""


def table() -> str:
    """The table as Markdown, a row for each entry of each recipe."""
    return HEAD + "".join(_row(entry) for _, entry in entries())


def _row(entry: dict[str, Any]) -> str:
    images = ", ".join(f"`{name}`" for name in entry["repositories"])
    tags = ", ".join(f"`{tag}`" for tag in (*entry["tags"], *entry.get("aliases", ())))
    variants = ", ".join(f"`{variant}`" for variant in entry["variants"] if variant)
    plain = "" in entry["variants"]
    more = f"; {'also' if plain else 'only'} with {variants}" if variants else ""
    more += "; for services also with `-alpine`" if entry.get("alpine") else ""
    inside = [
        root["inside"].format_map(_Nothing(suite=root["suite"])) for root in (entry, *entry.get("otherwise", ()))
    ]
    text = " ".join("; if that is not available: ".join(inside).split())
    full = f", with {', '.join(entry['full'])} if the tag is not slim" if "full" in entry else ""
    return f"| {images}: {tags}{more} | {text}{full} | {entry['lacks']} |\n"


def main() -> None:
    """Write the current table into the page."""
    before, _, after = PAGE.read_text(encoding="utf-8").partition(HEAD)
    rest = after.partition("\n\n")[2]
    PAGE.write_text(before + table() + (f"\n{rest}" if rest else ""), encoding="utf-8")


if __name__ == "__main__":
    main()
