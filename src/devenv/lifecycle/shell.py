"""`devenv shell`: into which container, and with which shell or command."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from devenv.config.outline import Outline, outline, require_known
from devenv.config.selection import Selection
from devenv.engine.api import CANNOT_RUN, CallError, Engine
from devenv.engine.endpoint import Endpoint
from devenv.errors import DevenvError, UsageError, unknown
from devenv.model.observed import Container

BEST = 'for shell in bash zsh ash sh; do command -v "$shell" && exit; done'
PROBES = ("sh", "/busybox/sh", "bash", "/usr/bin/bash")
PROBE_SECONDS = 10.0

Ask = Callable[[Sequence[str]], str]


async def shell(
    selection: Selection, service: str | None, command: Sequence[str], ask: Ask | None, *, tty: bool
) -> list[str]:
    """The `docker exec` to become: the command, or the best shell that the container of the service has.

    A command that is one text with spaces goes to that shell. Without a service it is the only one that runs, or
    what `ask` says. Raises UsageError where that is not clear, DevenvError where it does not run or has no shell.
    """
    name, project = await outline(selection)
    async with Engine.connect() as engine:
        containers = await engine.containers(name)
        container = _chosen(project, containers, service, ask)
        words = list(command)
        if not words or (len(words) == 1 and " " in words[0].strip()):
            best = await _best(engine, container)
            words = [best, "-c", *words] if words else [best]
        return [*_docker(engine.endpoint), "exec", "-it" if tty else "-i", container.id, *words]


async def into(engine: Engine, container: Container) -> list[str]:
    """The command that opens the best shell of a container on a terminal. Raises DevenvError where it has none."""
    return [*_docker(engine.endpoint), "exec", "-it", container.id, await _best(engine, container)]


def _chosen(project: Outline, containers: Sequence[Container], service: str | None, ask: Ask | None) -> Container:
    running = {c.service: c for c in reversed(containers) if c.running}
    names = sorted(running)
    if service is None and not names:
        raise DevenvError("nothing of this project runs", hint="devenv up")
    if service is None and len(names) > 1:
        if ask is None:
            raise UsageError(f"several services run: {', '.join(names)}", hint=f"devenv shell {names[0]}")
        service = ask(names)
    service = service or names[0]
    require_known([service], (*project.services, *project.dormant, *(c.service for c in containers)))
    if service not in running:
        states = {c.state for c in containers if c.service == service}
        said = f"`{service}` does not run: {'it is ' + min(states) if states else 'it has no container'}"
        raise DevenvError(said, hint=f"devenv logs {service}" if states else "devenv up")
    return running[service]


def answer(said: str, names: Sequence[str]) -> str:
    """The service that an answer means: its name or its number. Raises UsageError for anything else."""
    if said in names:
        return said
    if said.isascii() and said.isdigit() and 0 < int(said) <= len(names):
        return names[int(said) - 1]
    raise unknown("service", said, names)


async def _best(engine: Engine, container: Container) -> str:
    """The path of the container's best shell."""
    for probe in PROBES:
        try:
            code, said = await engine.execute(container.id, [probe, "-c", BEST], timeout=PROBE_SECONDS)
        except CallError:  # as some engines say that there is no such program
            continue
        if code not in CANNOT_RUN:
            return said.strip().splitlines()[0] if said.strip() else probe
    program = f"devenv shell {container.service} -- PROGRAM   (runs one that its image has)"
    raise DevenvError(f"the image of `{container.service}` has no shell", hint=program)


def _docker(endpoint: Endpoint) -> list[str]:
    """The docker CLI on this very engine: its current context may be another one by now."""
    return ["docker", *(("--context", endpoint.context) if endpoint.context else ("--host", endpoint.host))]
