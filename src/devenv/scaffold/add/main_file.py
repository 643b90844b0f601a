"""The main Compose file of a project while it is edited, and the files beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from devenv.compose import yaml12
from devenv.compose.files import ComposeFile, find, read, service_names
from devenv.compose.outline import Selection
from devenv.compose.positions import place
from devenv.errors import ConfigError, UsageError, unknown
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add.proposal import FileEdit
from devenv.scaffold.add.yaml_edit import Draft

BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class MainFile:
    """The project's main Compose file while it is edited, and the other files beside it."""

    source: ComposeFile
    sources: tuple[ComposeFile, ...]
    before: bytes
    draft: Draft
    notes: list[str] = field(default_factory=list)

    @property
    def services(self) -> dict[str, Any]:
        """The services that this file defines, by name."""
        found = self.draft.model.get("services")
        return found if isinstance(found, dict) else {}

    def service(self, name: str) -> dict[str, Any]:
        """The model of a service that this file defines. UsageError where it does not."""
        if name in self.services:
            return self.services[name] if isinstance(self.services[name], dict) else {}
        if name in service_names(self.sources):
            file, line = place(self.sources, ("services", name))
            hint = f"Only {self.source.shown} is edited."
            raise UsageError(f"service `{name}` is in another file, {file}:{line}", hint=hint)
        raise unknown("service", name, sorted(service_names(self.sources)))

    def own(self, name: str, key: str) -> Any:
        """What a service says for a key itself; ConfigError where it gets that by a merge, which ours would hide."""
        value = self.service(name).get(key)
        merged = yaml12.at(self.source.node, ("services", name, key))
        if value is None and merged is not None and merged.value:
            message = f"`{name}` gets its `{key}` by a merge (`<<`), which an own one would hide"
            hint = f"Give it a `{key}:` of its own that has the merged entries too, then try again."
            line = merged.start_mark.line + 1
            raise ConfigError(message, hint=hint, file=self.source.shown, line=line)
        return value

    def networks(self, name: str) -> list[str]:
        """The networks that a service names, also by a merge; without one it is in the default network."""
        self.service(name)
        node = yaml12.at(self.source.node, ("services", name, "networks"))
        return [
            str(key.value) for key in (*yaml12.strings(node), *(key for key, _ in yaml12.items(node))) if key.value
        ]

    def edit(self) -> FileEdit:
        """The verified edit."""
        bom = BOM if self.before.startswith(BOM) else b""
        return FileEdit(os.path.realpath(self.source.path), self.before, bom + self.draft.verified().encode())


def opened(selection: Selection) -> MainFile:
    """The project's main file, ready to be edited. Raises as `load` does for what is wrong in any file."""
    sources = read(find(selection.directory, selection.files), base=selection.directory)
    main = sources[0]
    return MainFile(main, sources, proposals.read(main.path) or b"", Draft(main.text, main.shown))


def pairs(environment: Any) -> Iterator[tuple[str, str]]:
    """Yield name and value of the variables of an `environment`, a mapping or a list; the value of none is empty."""
    if isinstance(environment, list):
        for entry in environment:
            key, _, value = str(entry).partition("=")
            yield key, value
    elif isinstance(environment, dict):
        yield from ((str(key), str(value)) for key, value in environment.items())
