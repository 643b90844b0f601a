"""`devenv` without arguments: the status of the project in this folder."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace

import anyio

from devenv.compose import files as compose_files
from devenv.compose.outline import written_name
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint, resolve
from devenv.errors import ConfigError, DevenvError
from devenv.model.answers import Here
from devenv.model.ps import stands, troubles
from devenv.phrases import clock, counted
from devenv.run.cleanup.remains import (
    COMMAND,
    PHASES,
    at_work,
    command_for,
    died_elsewhere,
    left_behind,
    recorded,
    remains,
    unanswered,
)
from devenv.state import all_runs, run_dir
from devenv.state.kept import background, note_of
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, key_of

LIMIT = 2.0  # seconds for the engine


async def here(directory: str, files: tuple[str, ...], project_name: str | None) -> Here:
    """The status of the project in a folder, or of these files. Raises UsageError for a file on standard input."""
    others = tuple(sorted({ledger.project for _, ledger in all_runs.dead_runs(PHASES)}))
    guardians = tuple(line for _, line in at_work())
    try:
        paths = compose_files.find(directory, files)
    except ConfigError as error:
        return Here("none", error.message, others=others, guardians=guardians)
    try:
        read = compose_files.read(paths, base=directory)
    except ConfigError as error:
        return Here("broken", error.said, others=others, guardians=guardians)
    name = project_name or written_name(read)
    services = tuple(sorted(compose_files.service_names(read)))
    folder = os.path.dirname(paths[0])
    seen = await _seen(name, folder)
    if seen.state == "unreachable":
        guardians += tuple(await left_unanswered())
    elif seen.state == "down":
        seen, died = _with_dead(seen, name, folder)
        guardians += died
    wanted = sorted(service for service, profiles in compose_files.service_profiles(read).items() if not profiles)
    return replace(
        seen,
        said=seen.said or f"{name} is not up: {', '.join(wanted or services)}",
        project=name,
        services=services,
        others=tuple(other for other in others if other != name),
        guardians=guardians,
        run_options=options_of_run(name, folder),
    )


async def _seen(name: str, folder: str) -> Here:
    """What the engine says, within the limit."""
    try:
        with anyio.fail_after(LIMIT):
            async with Engine.connect() as engine:
                return await _standing(engine, name, folder)
    except TimeoutError:
        return Here("unreachable", f"{await _machine()} has not answered for {LIMIT:.0f} seconds")
    except DevenvError as error:
        return Here("unreachable", error.message)


def _with_dead(seen: Here, name: str, folder: str) -> tuple[Here, tuple[str, ...]]:
    """The status that names other machines on which runs of the folder died; a line for each without a guardian."""
    died = [*died_elsewhere(run_dir.place_of(folder))]
    if not died:
        return seen, ()
    guarded = {run.path for run, _ in at_work()}
    machines = ", ".join(dict.fromkeys(Endpoint(ledger.endpoint).machine for _, ledger in died))
    lines = (f"{recorded(run, ledger)}; {command_for(ledger)}" for run, ledger in died if run.path not in guarded)
    return replace(seen, said=f"{name} is not up; its run on {machines} has died"), tuple(lines)


async def _machine() -> str:
    """The name of the engine in sentences."""
    with contextlib.suppress(DevenvError):  # no such context
        return (await resolve()).machine or "the engine"
    return "the engine"


async def left_unanswered() -> list[str]:
    """Lines that say what dead runs left on the current engine, which does not answer."""
    with contextlib.suppress(DevenvError):  # no such context
        return unanswered((await resolve()).host)
    return []


def options_of_run(name: str, folder: str) -> tuple[str, ...]:
    """The options that select the run of the folder if it is of another project; else none."""
    place, runs = run_dir.place_of(os.path.realpath(folder)), [*all_runs.every_runs()]
    begun = [(run, ledger) for run, ledger in runs if run_dir.began_in(ledger, place)]
    if not begun or any(ledger.project == name for _, ledger in runs):
        return ()
    run, ledger = begun[0]
    note = note_of(run)
    is_isolated = note is not None and note.options.get("selection", {}).get("isolated")
    return ("-p", ledger.project, *(["--isolated"] if is_isolated else []))


def without_containers(name: str, folder: str) -> str:
    """Why the project in the folder has no containers, and what to type."""
    place = run_dir.place_of(folder)
    held = [each for each in all_runs.every_runs() if each[0].lock.is_held()]
    named = [each for each in held if each[1].project == name]
    if not (going_on := [*named, *(each for each in held if run_dir.began_in(each[1], place))]):
        return f"{name} is not up (devenv up)"
    run, ledger = going_on[0]
    if not named:
        return f"{name} is not up; {ledger.project} is, from this folder (devenv ps -p {ledger.project})"
    if run.lock.is_ending():
        return f"{name} is being cleaned up"
    if run.lock.is_kept():
        return f"the containers of {name} were removed by somebody else (devenv up -d)"
    if run.last().get("began") == ledger.began:
        return f"the containers of {name} were removed by somebody else: r in its live view recreates them"
    return f"{name} is starting: no containers yet"


async def _standing(engine: Engine, name: str, folder: str) -> Here:
    """What the engine and the records of the run say: state, message (empty if not up), containers, addresses."""
    run_and_ledger = _run_of(name, os.path.realpath(folder), await key_of(engine), engine.endpoint.host)
    if run_and_ledger is None:
        others = sum(c.running and not c.ours for c in (await engine.project_state(name)).containers)
        return Here("down", _beside(name, others) if others else "")
    run, ledger = run_and_ledger
    engine.is_ours = run.made.holds
    project_state = await engine.project_state(ledger.project)
    own, last = ledger.containers(project_state), run.last()
    running = sum(container.running for container in own)
    services = () if last.get("began") != ledger.began else last.get("images", ())
    rows = stands(ledger.project, sorted(services), own, lambda _: None, lambda: services, run.standings).services
    urls = tuple(last.get("urls", ())) if last.get("began") == ledger.began else None
    left = "" if run.lock.is_held() else left_behind(ledger, await remains(engine, ledger, project_state))
    state = _state(run, ledger, running, left, is_ready=urls is not None)
    bad = troubles(rows) if state == "up" else ""
    message = f"{_message(state, ledger, running, left)}{f'; {bad}' if bad else ''}"
    if not running:
        return Here(state, message)
    shown = (urls or ()) if state != "left" else ()
    forwarded_from = run_dir.forwarded_from(run) if shown else ""
    kept = background(run)[0]
    return Here(state, message, running=running, urls=shown, background=kept, forwarded_from=forwarded_from)


def _run_of(name: str, folder: str, key: str, endpoint: str) -> tuple[Run, Ledger] | None:
    """The project's run on this engine, found by its name or else by its folder."""
    begun = [(run, ledger) for run, ledger in all_runs.every_runs() if ledger.is_on(key, endpoint)]
    named = [(run, ledger) for run, ledger in begun if ledger.project == name]
    place = run_dir.place_of(folder)
    return next(iter([*named, *(each for each in begun if run_dir.began_in(each[1], place))]), None)


def _beside(name: str, count: int) -> str:
    containers = f"{counted(count, 'container')} of it, not devenv's, run{'s' if count == 1 else ''}"
    return f"{name} is not up; {containers} (devenv ps)"


def _state(run: Run, ledger: Ledger, running: int, left: str, *, is_ready: bool) -> str:
    if run.lock.is_ending():
        return "ending"
    if run.lock.is_held():
        return "up" if is_ready else "starting"
    if ledger.phase in ("detached", "kept"):
        return "up" if running else "stopped"
    if not left:
        return "down"
    return "dead" if ledger.phase == "up" else "left"


def _message(state: str, ledger: Ledger, running: int, left: str) -> str:
    since = clock(ledger.began, time.time())
    count = counted(running, "container")
    return {
        "up": f"{ledger.project} is up since {since}, with {count}"
        if running
        else f"{ledger.project} was started at {since}, but none of its containers is running",
        "starting": f"{ledger.project} is starting since {since}",
        "stopped": f"{ledger.project} was left running, and nothing of it runs any more",
        "ending": f"{ledger.project} is being cleaned up",
        "dead": f"{left} ({COMMAND})",
        "left": f"{left} ({COMMAND})",
    }.get(state, "")
