"""The end of a run that stays: a keeper goes on with it in the background."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

from devenv.errors import StateError
from devenv.events import Kept, Notice
from devenv.run import background
from devenv.run.preload import UpOptions
from devenv.run.steps import Active, Context, Value
from devenv.run.takeover import up_elsewhere
from devenv.state.identity import Place
from devenv.state.kept import MARGIN, Held, KeeperNote, note_of, unsynced_since
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, began_in
from devenv.state.run_lock import LOOKED_AT

HANDED_OVER = "the run was left running; it is yours now"
KEPT = "running in the background: saved files are still synced"
LAST_SAVES = 5.0  # seconds in which saves that still wait were made


async def hold(stack: contextlib.AsyncExitStack, run: Run, place: Place) -> Held:
    """Hold the project until the stack closes; a keeper ends first. Raises StateError if the project is not free."""
    if run.lock.is_kept() and (ledger := run.read()) is not None and not began_in(ledger, place):
        raise up_elsewhere(ledger)
    keeper = await background.end(run)
    lock = stack.enter_context(run.lock.hold(wait=LOOKED_AT))
    unsynced, before = unsynced_since(run), note_of(run)
    services = () if before is None else before.options.get("selection", {}).get("services", ())
    return Held(lock, keeper, unsynced, tuple(services))


def synced_until(reached: Value) -> float:
    """The time (Unix seconds) before which all saves have been synced, and have had their effects."""
    has_waiting = isinstance(reached, Active) and reached.project.sync_session.pending()
    return time.time() - (LAST_SAVES if has_waiting else MARGIN)


def keep(context: Context, reached: Value, synced: float | None) -> None:
    """Start a keeper for a run that stays: one that was just detached, or one that this run did not take over.

    The first is synced until the time `synced`. The second had a keeper, which this run has asked to end before it
    failed. The lock is still held.
    """
    note = context.held.keeper
    if synced is not None and isinstance(reached, Active):
        ledger, loaded = reached.project.ledger, reached.desired.loaded
        options = background.encode(widened(context.options, context.held))
        note = KeeperNote(0, "", ledger.began, 0.0, loaded.at, synced, options) if context.options.watch else None
    with contextlib.suppress(StateError):  # a full disk: the next command reports that files are not synced
        earlier = context.run.read()
        if note is not None and earlier is not None and (earlier.phase, earlier.began) == ("detached", note.began):
            background.start(context.run, context.held.lock, note)
            if synced is not None:
                context.emit(Notice(KEPT, "devenv down"))


def widened(options: UpOptions, held: Held) -> UpOptions:
    """The options with the services that a keeper had before: `up -d web` does not end the sync of others."""
    wanted = options.selection.services
    if held.unsynced is None or not wanted:
        return options
    services = (*dict.fromkeys((*held.services, *wanted)),) if held.services else ()
    return replace(options, selection=replace(options.selection, services=services))


def leave(context: Context, ledger: Ledger) -> None:
    """Leave everything running. `down` may still remove the containers; the volumes now belong to the user."""
    for name in ledger.creates:
        context.emit(Kept("volume", name, HANDED_OVER, f"docker volume rm {name}"))
    context.run.write(replace(ledger, phase="kept", volumes=()))
    context.emit(Notice("left running", "devenv down"))
