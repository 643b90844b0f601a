"""The best shell of a container, and the command that opens it on a terminal."""

from __future__ import annotations

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.exec import CANNOT_RUN
from devenv.docker.transport import CallError
from devenv.errors import DevenvError
from devenv.model.containers import Container

BEST = 'for shell in bash zsh ash sh; do command -v "$shell" && exit; done'
PROBES = ("sh", "/busybox/sh", "bash", "/usr/bin/bash")
PROBE_SECONDS = 10.0


async def into(engine: Engine, container: Container) -> list[str]:
    """The command that opens the best shell of a container on a terminal. Raises DevenvError where it has none."""
    return [*docker_command(engine.endpoint), "exec", "-it", container.id, await best_shell(engine, container)]


async def best_shell(engine: Engine, container: Container) -> str:
    """The path of the container's best shell."""
    for probe in PROBES:
        try:
            code, said = await engine.exec.run(container.id, [probe, "-c", BEST], timeout=PROBE_SECONDS)
        except CallError:  # as some engines say that there is no such program
            continue
        if code not in CANNOT_RUN:
            return said.strip().splitlines()[0] if said.strip() else probe
    program = f"devenv shell {container.service} -- PROGRAM   (runs one that its image has)"
    raise DevenvError(f"the image of `{container.service}` has no shell", hint=program)


def docker_command(endpoint: Endpoint) -> list[str]:
    """The docker CLI on this very engine: its current context may be another one by now."""
    return ["docker", *(("--context", endpoint.context) if endpoint.context else ("--host", endpoint.host))]
