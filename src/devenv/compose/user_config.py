"""The settings of a user for all projects: `$XDG_CONFIG_HOME/devenv-compose/config.toml`."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from devenv.errors import ConfigError, did_you_mean
from devenv.lazy_dataclass import dataclass

_MIRRORS = re.compile(r"""(?m)^[ \t]*mirrors[ \t]*=[ \t]*\[(?:[\s,]|#.*\n|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')*\]""")


@dataclass(frozen=True, slots=True)
class UserSettings:
    """`stand_ins`: if no registry answers, stand-in images may be built from packages.

    `host_settings`: builds and containers get this machine's package registries, proxies and company CA.
    `mirrors`: registries to pull images from if the engine cannot pull them by itself, in order.
    `dangerous`: settings that reach beyond a project's containers are shown ("show") or refused ("refuse").

    In bytes: `snapshot_limit`, the largest volume to save at the end of a run (0: those that take at most 10 s);
    `snapshots_total`, the limit of all snapshots.
    """

    stand_ins: bool = False
    host_settings: bool = False
    mirrors: tuple[str, ...] = ()
    dangerous: str = "show"
    snapshot_limit: int = 0
    snapshots_total: int = 10 * 10**9


def user_settings() -> UserSettings:
    """The settings in the user's file, or defaults if it does not exist. Raises ConfigError for an error in it."""
    path = user_file()
    try:
        with open(path, "rb") as file:
            data = tomllib.load(file)
    except FileNotFoundError:
        return UserSettings()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        line, problem = re.search(r"at line (\d+)", str(error)), str(error).partition(" (at")[0]
        raise ConfigError(f"not TOML: {problem}", file=path, line=int(line[1]) if line else None) from error
    registry = data.pop("registry", {})
    if not isinstance(registry, dict):
        raise ConfigError("`registry` must be a table", hint='[registry]\nmirrors = ["mirror.example"]', file=path)
    mirrors = registry.pop("mirrors", [])
    for key in registry:
        raise ConfigError(f"unknown key `{key}` in [registry]", hint="Did you mean `mirrors`?", file=path)
    if not isinstance(mirrors, list) or not all(isinstance(name, str) for name in mirrors):
        raise ConfigError("`mirrors` must be a list of names", hint='mirrors = ["mirror.example"]', file=path)
    return UserSettings(**{key: _value(key, value, path) for key, value in data.items()}, mirrors=tuple(mirrors))


def with_mirrors(text: str, mirrors: Sequence[str]) -> str:
    """The text of the settings file with the mirrors, and nothing else changed."""
    line = f"mirrors = {json.dumps(list(mirrors))}"
    text = text if not text or text.endswith("\n") else f"{text}\n"
    table = re.search(r"(?m)^[ \t]*\[registry\].*\n", text)
    if table is None:
        return "\n".join(filter(None, (text, f"[registry]\n{line}\n")))
    after = text[table.end() :].partition("\n[")[0]
    given = _MIRRORS.search(after)
    if given is None:
        return f"{text[: table.end()]}{line}\n{text[table.end() :]}"
    return f"{text[: table.end() + given.start()]}{line}{text[table.end() + given.end() :]}"


def _value(key: str, value: Any, path: str) -> Any:
    known = [field.name for field in fields(UserSettings) if field.name != "mirrors"]
    if key not in known:
        raise ConfigError(f"unknown key `{key}`", hint=did_you_mean(key, known), file=path)
    if key in ("snapshot_limit", "snapshots_total"):
        size = re.fullmatch(r"(\d+(?:\.\d+)?) ?([MG])B", value) if isinstance(value, str) else None
        if size is None:
            raise ConfigError(f"`{key}` must be a size", hint=f'{key} = "4 GB"', file=path)
        return int(float(size[1]) * {"M": 10**6, "G": 10**9}[size[2]])
    if key == "dangerous" and value not in ("show", "refuse"):
        raise ConfigError(f"`{key}` must be show or refuse", hint=f'{key} = "refuse"', file=path)
    if key != "dangerous" and not isinstance(value, bool):
        raise ConfigError(f"`{key}` must be true or false", file=path)
    return value


def user_file() -> str:
    """The path of the settings file, which may not exist."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.config")
    return os.path.join(base, "devenv-compose", "config.toml")
