"""Facts of a project's files that cause trouble: many folders, missing events, CRLF scripts. Blocking."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from devenv.model.project import Project
from devenv.sync.host import scan
from devenv.sync.rules import rules

SECONDS = 1.0
SKIPPED = frozenset({".git", "node_modules", ".venv", "vendor", "target", "dist"})
SHOWN = 3
SCRIPTS = (".sh", ".bash", "entrypoint")


def folders(project: Project) -> int:
    """How many folders are watched; counting stops after a second."""
    bound, end = rules.bind(project, scan.dockerignores(project)), time.monotonic() + SECONDS
    count = 0
    for root in rules.roots(bound):
        for folder, names, _ in os.walk(root):
            names[:] = [name for name in names if not rules.prune(bound, os.path.join(folder, name))]
            count += 1
            if time.monotonic() > end:
                return count
    return count


def silent(project: Project) -> str:
    """The kind of a file system without events below the watched folders; empty if all have events."""
    bound = rules.bind(project, scan.dockerignores(project))
    return scan.eventless_filesystem(rules.roots(bound) or (project.directory,)) or ""


def crlf(project: Project) -> tuple[str, ...]:
    """At most three scripts of the build contexts whose first line has a CRLF line end."""
    contexts = {s.build.context for s in project.services if s.build and os.path.isabs(s.build.context)}
    end = time.monotonic() + SECONDS
    scripts: dict[str, None] = {}
    for path in (path for context in sorted(contexts) for path in _scripts(context)):
        if len(scripts) == SHOWN or time.monotonic() > end:
            break
        with open(path, "rb") as file:
            first = file.readline(200)
        if first.startswith(b"#!") and first.endswith(b"\r\n"):
            scripts[os.path.relpath(path, project.directory)] = None
    return tuple(scripts)


def _scripts(context: str) -> Iterator[str]:
    for folder, names, files in os.walk(context):
        names[:] = sorted(set(names) - SKIPPED)
        for name in sorted(files):
            path = os.path.join(folder, name)
            if name.endswith(SCRIPTS) and os.access(path, os.R_OK) and os.path.isfile(path):
                yield path
