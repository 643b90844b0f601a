"""The end of a run that stays: a keeper goes on with it in the background."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from devenv.errors import StateError
from devenv.events import Kept, Notice
from devenv.run import background
from devenv.run.preload import UpOptions
from devenv.run.step_values import Active, Context, Value
from devenv.run.takeover import up_elsewhere
from devenv.state.identity import Place
from devenv.state.kept import Held, KeeperNote, note_of, unsynced_since
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, began_in
from devenv.state.run_lock import LOOKED_AT

HANDED_OVER = "the run was left running; it is yours now"
KEPT = "running in the background: saved files are still synced"


async def hold(stack: contextlib.AsyncExitStack, run: Run, place: Place) -> Held:
    """Hold the project until the stack closes; a keeper ends first. Raises StateError if the project is not free."""
    if run.lock.is_kept() and (ledger := run.read()) is not None and not began_in(ledger, place):
        raise up_elsewhere(ledger)
    keeper, lock = await background.end(run), None
    while lock is None:
        try:
            lock = stack.enter_context(run.lock.hold(wait=LOOKED_AT))
        except StateError:
            if not run.lock.is_kept():
                raise
            keeper = await background.end(run)  # a guardian has just started this one
    unsynced, before = unsynced_since(run), note_of(run)
    services = () if before is None else before.options.get("selection", {}).get("services", ())
    return Held(lock, keeper, unsynced, tuple(services))


def note(context: Context, reached: Value, *, is_detached: bool) -> KeeperNote | None:
    """Return the note of the next keeper, if the run is to have one.

    A run that is about to be detached has its note on disk before its ledger says so: if this process dies between
    the two, or before the keeper runs, other commands report that files are not synced. A run that was not taken over
    had a keeper, which this run has asked to end before it failed.
    """
    if not (is_detached and isinstance(reached, Active)):
        return context.held.keeper
    if not context.options.watch:
        return None
    project, options = reached.project, background.encode(widened(context.options, context.held))
    synced = project.sync_session.synced_until()
    new = KeeperNote(0, "", project.ledger.began, 0.0, reached.desired.loaded.at, synced, options)
    new.write(context.run)
    return new


def keep(context: Context, new: KeeperNote | None) -> None:
    """Start a keeper with this note for a run that stays. The lock is still held."""
    with contextlib.suppress(StateError):  # a full disk: the next command reports that files are not synced
        ledger = context.run.read()
        if new is not None and ledger is not None and (ledger.phase, ledger.began) == ("detached", new.began):
            background.start(context.run, context.held.lock, new, context.line)
            if new is not context.held.keeper:
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
