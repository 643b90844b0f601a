"""`devenv shell`: the container, and the shell or command to run in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from devenv.compose.outline import Outline, Selection, outline, require_known
from devenv.docker.client import Engine
from devenv.errors import DevenvError, UsageError, unknown
from devenv.model.containers import Container

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
        containers = await engine.containers.list(name)
        container = _chosen(project, containers, service, ask)
        words = list(command)
        if not words or (len(words) == 1 and " " in words[0].strip()):
            best = await engine.exec.best_shell(container)
            words = [best, "-c", *words] if words else [best]
        return engine.endpoint.docker_command("exec", "-it" if tty else "-i", container.id, *words)


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
    """The service that an answer means by name or number. Raises UsageError for any other answer."""
    if said in names:
        return said
    if said.isascii() and said.isdigit() and 0 < int(said) <= len(names):
        return names[int(said) - 1]
    raise unknown("service", said, names)
