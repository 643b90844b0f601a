"""The pages under docs/reference that are made from the settings and the tables of causes: for write-pages."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from scripts.command_pages import cell

from devenv.compose.schema import X_DEVENV
from devenv.compose.user_config import UserSettings
from devenv.doctor import diagnose
from devenv.explain import table
from devenv.images import failures
from devenv.model import answers
from devenv.run.active import causes

MADE = "<!-- Made by scripts/write-pages from {}: edit there. -->"
DANGERS = "../commands/up.md#settings-that-reach-outside-the-containers"
# The settings in a user's config.toml; a field without a row is an error.
SETTINGS = {
    "stand_ins": ("`true` or `false`", "If no registry answers, build [stand-ins](../stand-ins.md)."),
    "host_settings": (
        "`true` or `false`",
        "Builds and containers get this machine's [package registries, proxies and CA](../company-network.md).",
    ),
    "mirrors": (
        "in the table `[registry]`: list of HOST or HOST/PATH",
        "Mirrors for [images](../images.md#mirrors) that the engine cannot pull by itself.",
    ),
    "dangerous": (
        '`"show"` or `"refuse"`',
        f"What to do if a project has [settings that reach outside the containers]({DANGERS}).",
    ),
    "snapshot_limit": (
        'a size, such as `"4 GB"`',
        "The largest volume that is saved at the end of a run; [more](../snapshots.md#how-much-is-kept).",
    ),
    "snapshots_total": ('a size, such as `"20 GB"`', "The size of all snapshots together."),
}

EDITOR = (
    "### Completion in an editor",
    "",
    "Editors can complete and check the Compose file, with this block, by a [schema](../schemas/compose.json).",
    "It refers to the Compose specification's own schema, which the editor downloads. Write the schema to a file:",
    "",
    "```sh",
    "devenv config --schema > compose.schema.json",
    "```",
    "",
    "For VS Code's YAML extension and other editors with yaml-language-server, add this first line to the file:",
    "",
    "```yaml",
    "# yaml-language-server: $schema=compose.schema.json",
    "```",
)


def pages() -> dict[str, str]:
    """Path from the root -> text of the generated pages under docs/reference, and of troubleshooting."""
    made = {"settings": _settings(), "causes": _causes()}
    reference = {f"docs/reference/{name}.md": "\n".join(lines) + "\n" for name, lines in made.items()}
    return {"docs/troubleshooting.md": "\n".join(_findings()) + "\n", **reference}


def _settings() -> Iterator[str]:
    yield from (
        "# Every setting",
        "",
        MADE.format("src/devenv/compose (schema.toml, user_config.py)"),
        "",
    )
    yield from ("## `x-devenv`, in the Compose file", "", X_DEVENV["description"], "")
    yield from ("| key | value | |", "|---|---|---|")
    yield from _keys(X_DEVENV, "")
    yield from ("", "Details: [hooks](hooks.md), [ports](isolation.md#ports), [mirrors](../images.md#mirrors).")
    yield from ("", *EDITOR)
    yield from ("", "## `config.toml`, for all your projects", "")
    yield from ("`$XDG_CONFIG_HOME/devenv-compose/config.toml`, else `~/.config/devenv-compose/config.toml`.", "")
    yield from ("| key | value | default | |", "|---|---|---|---|")
    for field in fields(UserSettings):
        value, description = SETTINGS[field.name]
        yield f"| `{field.name}` | {value} | {_default(field.default)} | {description} |"


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value == 0:
        return "what takes 10 s"
    return f'`"{value // 10**9} GB"`' if isinstance(value, int) else f'`"{value}"`'


def _keys(shape: Mapping[str, Any], above: str) -> Iterator[str]:
    """A row for each key, and for those below it."""
    for name, entry in shape.get("properties", {}).items():
        yield f"| `{above}{name}` | {cell(_kind(entry))} | {cell(entry.get('description', ''))} |"
        kinds = (entry, *entry.get("anyOf", ()))
        below = {key: kind for kind in kinds for key, kind in kind.get("properties", {}).items()}
        yield from _keys({"properties": below}, f"{above}{name}.")


def _kind(shape: Mapping[str, Any]) -> str:
    if "enum" in shape:
        return ", ".join(f"`{word}`" for word in shape["enum"])
    if "title" in shape:
        return str(shape["title"])
    if shape.get("type") == "array":
        names = shape["items"].get("x-names")
        return f"list of {names}s" if names else "list of text"
    names = {"object": "a mapping", "string": "text", "boolean": "`true` or `false`", "integer": "a whole number"}
    kinds = [shape["type"]] if isinstance(shape["type"], str) else shape["type"]
    return " or ".join(names[kind] for kind in kinds)


def _findings() -> Iterator[str]:
    """The findings of the doctor; without the message if that is another error's."""
    yield from ("# What `devenv doctor` finds", "", MADE.format("src/devenv/doctor/findings.toml"), "")
    yield "Other errors, by their text: [causes](reference/causes.md)."
    for area in answers.AREAS:
        yield from ("", f"## {area.capitalize()}")
        for code, kind in diagnose.kinds().items():
            if kind["area"] == area:
                yield from ("", f'### <a id="{code}"></a>{code}', "")
                if kind["message"] != "{message}":
                    yield f"{kind['severity']}: {_named(kind['message'])}  "
                if kind["hint"] != "{hint}":
                    yield f"hint: {_named(kind['hint'])}  "
                yield kind["why"]


def _causes() -> Iterator[str]:
    yield from ("# Errors by their text", "", MADE.format("the tables of causes"), "")
    yield "Messages of engines, registries, shells, languages and databases, their cause, and a solution. `devenv up`"
    yield "uses this table for its errors, which also have the line of your file. `…` is any text, `‹word›` is a"
    yield "placeholder. The findings of `devenv doctor` are in [troubleshooting.md](../troubleshooting.md)."
    for title, name in {
        "A service does not start, or ends": causes.TABLE,
        "An image cannot be pulled": failures.PULL_TABLE,
        "A step of a build does not reach the network": failures.NETWORK_TABLE,
        "A step of a build fails for another reason": failures.STEP_TABLE,
        "A Dockerfile or a build context is wrong": failures.DOCKERFILE_TABLE,
    }.items():
        yield from ("", f"## {title}", "", "| message | cause | solution |", "|---|---|---|")
        for entry in table.load(name):
            texts = dict.fromkeys(text for pattern in entry.patterns for text in readable(pattern))
            shown = "<br>".join(f"`` {text} ``" for text in texts)
            hint = _given(entry.hint) if name == failures.NETWORK_TABLE else entry.hint
            yield f"| {cell(shown)} | {cell(_named(entry.cause))} | {cell(_named(hint))} |"


def _given(hint: str) -> str:
    return f"`{failures.GIVE}`. If it is already set: {hint}"


def _named(text: str) -> str:
    return re.sub(r"\{(\w+)\}", r"‹\1›", text).replace("{{", "{").replace("}}", "}")


def readable(pattern: str) -> list[str]:
    """The text that a pattern matches, one for each alternative: `‹name›` is a group, `…` any text."""
    parser: Any = importlib.import_module("re._parser")  # the module that `re` parses patterns with
    parsed = parser.parse(pattern)
    names = {number: name for name, number in parsed.state.groupdict.items()}
    texts = _texts(list(parsed), names)
    on_one_line = (text.replace("\n", "…") for text in texts)
    tidy = (re.sub(r"…(?: *…)+", "…", text).strip(" …") for text in on_one_line)
    return [text for text in tidy if text.isprintable() and text]


def _texts(parts: Sequence[Any], names: Mapping[int, str]) -> list[str]:
    texts = [""]
    for part in parts:
        kind, value = str(part[0]), part[1]
        texts = [text + more for text in texts for more in _one(kind, value, names)]
    return texts


def _one(kind: str, value: Any, names: Mapping[int, str]) -> list[str]:  # noqa: PLR0911 - one return a kind of part
    if kind == "LITERAL":
        return [chr(value)]
    if kind == "BRANCH":
        return [text for branch in value[1] for text in _texts(list(branch), names)]
    if kind == "SUBPATTERN":
        return [f"‹{names[value[0]]}›"] if value[0] in names else _texts(list(value[3]), names)
    if kind == "IN" and str(value[0][0]) == "LITERAL":
        return [chr(value[0][1])]
    if kind in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, inner = value
        if (least, most) == (0, 1):  # optional parts are left out, except for a single letter
            return [chr(inner[0][1])] if len(inner) == 1 and str(inner[0][0]) == "LITERAL" else [""]
        return ["…"]
    return [""] if kind in ("AT", "ASSERT", "ASSERT_NOT") else ["…"]
