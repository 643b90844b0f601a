"""The files of containers that `docker compose run` creates and starts, if the engine does not have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

from devenv.compose.resolve import Loaded
from devenv.docker import start_gate
from devenv.doctor import quick_check
from devenv.events import Emit
from devenv.lazy_dataclass import dataclass
from devenv.model.project import Project
from devenv.sync import once
from devenv.sync.container import mounted_files


@dataclass(frozen=True, slots=True)
class OneOffFiles:
    """Puts what replaces mounts, configs and secrets into each new container before its start.

    `journals` is the folder with the journals of the run.
    """

    loaded: Loaded
    journals: str
    emit: Emit

    def begin(self) -> Mapping[str, str]:
        """Begin, in a process beside this one; return the environment for Compose. Raises EngineError."""
        remote = self.loaded.remote
        return start_gate.beside(self._serve) if remote and (remote.mounts or remote.files) else {}

    async def _serve(self, path: str, listening: Callable[[], object]) -> None:
        project, remote = without_other_rules(self.loaded), self.loaded.remote
        async with AsyncExitStack() as stack:
            engine, _ = await quick_check.connected_by_line(stack, self.emit)

            async def prepare(container_id: str) -> None:
                container = await engine.containers.inspect(container_id)
                if container is not None and container.state == "created":
                    files = [file for file in (remote.files if remote else ()) if file.service == container.service]
                    await mounted_files.put(engine.archive, container.id, files, project.directory)
                    await once.put(engine, project, container, self.journals, self.emit)

            await start_gate.serve(path, engine.endpoint, prepare, listening)


def without_other_rules(loaded: Loaded) -> Project:
    """The project with the watch rules that replace a mount, and no others: Compose's `run` does not sync."""
    mounts = loaded.remote.mounts if loaded.remote else {}
    services = (
        replace(service, watch=tuple(rule for at, rule in enumerate(service.watch) if (service.name, at) in mounts))
        for service in loaded.project.services
    )
    return replace(loaded.project, services=tuple(services))
