"""Containers put into a state directly: for tests of what devenv makes of a state, not of its history."""

from __future__ import annotations

from typing import Any

from support.memory import model as names
from support.memory.host import BASE_IMAGE, BEGAN, Container, MemoryHost


def placed(
    host: MemoryHost,
    service: str,
    state: str = "running",
    *,
    number: int = 1,
    project: str = "p",
    lines: tuple[str, ...] = (),
    life: int = 1,
    wish: dict[str, Any] | None = None,
    **more: Any,
) -> Container:
    """Put a container `id-SERVICE-NUMBER` in that state, in place of the one that had its id.

    `life` is how often it has been started: each start is a second after the one before. It has printed `lines`.
    `more` are fields of the container.
    """
    image = host.image(BASE_IMAGE)
    labels = {names.PROJECT: project, names.SERVICE: service, names.NUMBER: str(number), names.HASH: "h"}
    has_run = state != "created"
    container = Container(
        id=f"id-{service}-{number}",
        name=f"{project}-{service}-{number}",
        image=image.id,
        wish={"Image": BASE_IMAGE, **(wish or {})},
        labels={**labels, names.ONE_OFF: "False", names.IMAGE: image.id},
        created=BEGAN * 10**9,
        state=state,
        started=(BEGAN + life) * 10**9 if has_run else 0,
        finished=(BEGAN + life) * 10**9 + 1 if has_run and state in ("exited", "dead") else 0,
    )
    for key, value in more.items():
        setattr(container, key, value)
    container.log = [(1, BEGAN * 10**9 + at, line) for at, line in enumerate(lines)]
    host.containers[container.id] = container
    host.wake()
    return container
