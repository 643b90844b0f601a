"""Pause containers while their volumes are read; they go on, even if this process is killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace

import anyio

from devenv import package_text
from devenv.docker import process
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.transport import CallError
from devenv.errors import EngineError
from devenv.model.containers import Container
from devenv.state import unfinished
from devenv.state.run_dir import PAUSED, Run


@contextlib.asynccontextmanager
async def paused(engine: Engine, run: Run, containers: Iterable[Container]) -> AsyncIterator[None]:
    """Pause those of the containers of the run that are running, for the block.

    If this process is killed, a child lets them go on; if that is killed too, the next command that takes the run
    over does.
    """
    pausing, running = [], [c for c in containers if c.state == "running"]
    unfinished.note_paused(run, running)
    with released_if_killed(engine.endpoint, run, [c.id for c in running]) if running else contextlib.nullcontext():
        try:
            for container in running:
                pausing.append(container.id)
                await _pause(engine, container)
            yield
        finally:
            with anyio.CancelScope(shield=True):
                for container_id in pausing:
                    with contextlib.suppress(EngineError):  # the container has ended in the meantime
                        await engine.containers.pause(container_id, on=False)
                unfinished.forget_paused(run)


async def _pause(engine: Engine, container: Container) -> None:
    try:
        await engine.containers.pause(container.id, on=True)
    except CallError as error:  # a rootless engine without cgroups
        message = f"{container.name} cannot be paused: {error.reason}"
        raise EngineError(message, hint="devenv down --snapshot") from error


@contextlib.contextmanager
def released_if_killed(endpoint: Endpoint, run: Run, ids: Iterable[str]) -> Iterator[None]:
    """A child unpauses the containers, and removes their record, if this process is killed in the block.

    It connects by itself: a line to an engine on another machine ends with this process.
    """
    docker = replace(endpoint, line=None).docker_command()
    reader, writer = os.pipe()
    output = os.open(os.devnull, os.O_WRONLY)
    try:
        words = [str(reader), os.path.join(run.path, PAUSED), " ".join(ids), *docker]
        script = package_text("volumes/unpause.sh")
        child = process.detach(["/bin/sh", "-c", script, "sh", *words], pass_fds=(reader,), log=output)
    finally:
        os.close(reader)
        os.close(output)
    try:
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):
            os.write(writer, b"done\n")
        os.close(writer)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
