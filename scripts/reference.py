"""The pages under docs/reference, from the command line, the settings and the tables of causes: for write-pages."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from scripts.command_tree import command_tree

from devenv import errors
from devenv.cli.overview import HELP
from devenv.compose.schema import X_DEVENV
from devenv.compose.user_config import UserSettings
from devenv.doctor import diagnose
from devenv.explain import table
from devenv.images import failures
from devenv.model import answers
from devenv.run.active import causes

MADE = "<!-- Made by scripts/write-pages from {}: edit there. -->"
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
        "What to do if a project [reaches beyond its containers](../commands.md#devenv-up-service).",
    ),
    "snapshot_limit": (
        'a size, such as `"4 GB"`',
        "The largest volume that is saved at the end of a run; [more](../snapshots.md#how-much-is-kept).",
    ),
    "snapshots_total": ('a size, such as `"20 GB"`', "The size of all snapshots together."),
}
SHARED = ("file", "project_name", "profile", "output", "quiet", "verbose")


def pages() -> dict[str, str]:
    """Path from the root -> text of every page under docs/reference, and of troubleshooting."""
    made = {"commands": _commands(), "settings": _settings(), "causes": _causes()}
    reference = {f"docs/reference/{name}.md": "\n".join(lines) + "\n" for name, lines in made.items()}
    return {"docs/troubleshooting.md": "\n".join(_findings()) + "\n", **reference}


def _commands() -> Iterator[str]:
    group: Any = command_tree()
    yield from ("# Every command and option", "", MADE.format("the command line"), "", HELP.strip(), "")
    yield "More of each, with examples: [commands.md](../commands.md). [Exit codes](#exit-codes) are at the end."
    yield from ("", "## Common options", "", "Before or after the command; `--version` stands alone.", "")
    alone = [parameter for parameter in group.params if not parameter.hidden and parameter.name != "help"]
    yield from _options(
        [*(parameter for parameter in group.commands["up"].params if parameter.name in SHARED), *alone]
    )
    for name, command in sorted(group.commands.items()):
        if not command.hidden:
            yield from _command(f"devenv {name}", command, "##")
    yield from ("", "## Exit codes", "", "| code | |", "|---|---|", "| 0 | Done. |")
    below = (kind for kind in errors.DevenvError.__subclasses__() if kind.__module__ == errors.__name__)
    kinds: list[type[errors.DevenvError]] = [errors.DevenvError, *below]
    for kind in kinds:
        meaning = "Failed." if kind is errors.DevenvError else (inspect.getdoc(kind) or "").partition("\n")[0]
        yield f"| {kind.exit_code} | {meaning} |"
    yield from ("| 70 | A bug of devenv. |", "| 130, 143, 129 | Ended by INT, TERM or HUP, and cleaned up. |")


def _command(name: str, command: Any, level: str) -> Iterator[str]:
    """A command, or a group with what is below it."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    yield from ("", f"{level} `{name}`", "", inspect.cleandoc(command.help or ""), "")
    below = getattr(command, "commands", {})
    words = ["COMMAND"] if below else [_argument(argument) for argument in arguments]
    yield f"```text\n{' '.join([name, '[OPTIONS]', *words])}\n```"
    if described := [argument for argument in arguments if argument.help]:
        yield from ("", "| argument | |", "|---|---|")
        yield from (f"| `{_cell(_argument(argument))}` | {_cell(argument.help)} |" for argument in described)
    if own := [parameter for parameter in command.params if _is_own(parameter)]:
        yield ""
        yield from _options(own)
    for key, subcommand in below.items():
        if not subcommand.hidden:
            yield from _command(f"{name} {key}", subcommand, f"{level}#")


def _is_own(parameter: Any) -> bool:
    shared = parameter.name in SHARED and (
        parameter.name != "output" or [*parameter.type.choices] == ["text", "json"]
    )
    return parameter.param_type_name == "option" and not parameter.hidden and not shared and parameter.name != "help"


def _argument(argument: Any) -> str:
    text = argument.metavar or str(argument.name).upper().strip("_")
    text = text if argument.nargs == 1 or "..." in text else f"{text}..."
    return text if argument.required or text.startswith("[") else f"[{text}]"


def _options(options: Iterable[Any]) -> Iterator[str]:
    yield from ("| option | |", "|---|---|")
    for option in options:
        spellings = ", ".join(f"`{name}`" for name in [*sorted(option.opts, key=len), *option.secondary_opts])
        more = ["May be repeated." if option.multiple and "may be repeated" not in (option.help or "") else ""]
        takes_value = not option.is_flag and not option.count
        if takes_value and option.default and isinstance(option.default, str | int | float):
            more.append(f"Default: {f'{option.default:g}' if isinstance(option.default, float) else option.default}.")
        value = f" `{_value(option)}`" if takes_value else ""
        yield f"| {spellings}{value} | {_cell(' '.join(filter(None, (option.help or '', *more))))} |"


def _value(option: Any) -> str:
    choices = getattr(option.type, "choices", None)
    text = option.metavar or ("|".join(map(str, choices)) if choices else str(option.name).upper())
    return str(text).replace("|", "\\|")


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


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
    yield from ("", "Examples: [hooks](../commands.md#hooks), [ports](../commands.md#several-at-once),")
    yield "[mirrors](../images.md#mirrors). For editors: [a schema](../schemas/compose.json)."
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
        yield f"| `{above}{name}` | {_cell(_kind(entry))} | {_cell(entry.get('description', ''))} |"
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
            yield f"| {_cell(shown)} | {_cell(_named(entry.cause))} | {_cell(_named(hint))} |"


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
