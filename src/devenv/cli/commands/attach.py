"""`devenv attach`: show a run that another process has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from devenv.cli import options
from devenv.lazy_imports import LazyImports

if TYPE_CHECKING:
    from devenv.ui.console import Console

with LazyImports():
    import anyio

    from devenv import events, signals, tasks
    from devenv.compose import outline
    from devenv.docker import endpoint
    from devenv.run import attach as views
    from devenv.run import view_messages
    from devenv.state import run_dir
    from devenv.ui.live import app as live


def attach(
    no_ui: Annotated[bool, Option("--no-ui", help="Print plain lines instead of the live view.")] = False,
) -> None:
    """Show the project that runs in the background.

    Several terminals can show it at once; q leaves the view alone. With a service, it runs `docker compose attach`.
    """
    console = options.console()
    try:
        raise typer.Exit(anyio.run(_attach, console, no_ui or console.is_json or options.shared.quiet))
    finally:
        console.close()


async def _attach(console: Console, plain: bool) -> int:
    name = outline.sketched(options.selection()).name or ""
    run = run_dir.Run.known(await endpoint.resolve(), name)
    view = None if plain or not live.is_wanted() else live.LiveView(console, is_attached=True)

    def put(message: view_messages.Message) -> None:
        if view is not None:
            view.put(message)
        elif isinstance(message, view_messages.TimedEvent):
            console.emit(message.event, message.at)

    attached = views.Attached(run, name, put)
    ending, goes_on = signals.ShutdownSignals(view.leave if view else lambda: None), True

    async def follow() -> int:
        nonlocal goes_on
        async with tasks.task_group() as group:
            await group.start(ending.listen)
            with ending.scope():
                goes_on = await attached.follow()
            group.cancel_scope.cancel()
        return ending.exit_code

    if view is None:
        code = await follow()
    else:
        view.controller = attached
        code = await view.run(follow)
    if goes_on:
        console.emit(events.Notice(f"{name} goes on without this view", "devenv attach"))
    else:
        console.emit(events.Notice(f"{name} has ended"))
    return code
