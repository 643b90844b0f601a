"""The view of a project of two services, after looks."""

from __future__ import annotations

from typing import Any

from devenv.model.containers import Container, ProjectState
from devenv.model.project import Project, Service
from devenv.model.status import Phase
from devenv.run.active.observe.view import ProjectView

NAMES = ("web", "db")


def container(name: str, state: str = "running", *, start: str = "t1", **more: Any) -> Container:
    """A container of the service that it is named after."""
    return Container(id=f"id-{name}", name=name, service=name, state=state, ours=True, started_at=start, **more)


def view(*containers: Container) -> ProjectView:
    """A project of two services, seen once at second 100."""
    seen = ProjectView(Project("p", "/p", (), tuple(map(Service, NAMES))), frozenset(NAMES))
    look(seen, *containers, now=100.0)
    return seen


def look(seen: ProjectView, *containers: Container, now: float) -> None:
    """Another look at the project."""
    seen.finish_look(ProjectState(containers), seen.begin_look(now), now)


def phases(seen: ProjectView) -> dict[str, Phase]:
    """Service -> its phase."""
    return {standing.service: standing.phase for standing in seen.standings()}


def crash(restarts: int, code: int = 3, *, state: str = "restarting", start: str = "t1") -> Container:
    """A container that the engine starts again."""
    return container("web", state, start=start, restarts=restarts, exit_code=0 if state == "running" else code)
