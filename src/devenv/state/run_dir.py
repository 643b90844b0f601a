"""The folder of one project on one engine: its lock, its ledger, and what identifies the engine and the folder."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from devenv import private_files
from devenv.docker.endpoint import Endpoint
from devenv.errors import StateError
from devenv.lazy_imports import LazyImports
from devenv.private_files import written
from devenv.state.created import CreationRecord
from devenv.state.home import owner, state_folder
from devenv.state.identity import Place, engine_key
from devenv.state.ledger import Ledger, VolumePolicy, decode, encode
from devenv.state.run_lock import RunLock

if TYPE_CHECKING:
    from devenv.docker.client import Engine

with LazyImports():  # every command looks at the records of runs, and few open a run
    import hashlib

    import anyio

    from devenv.state import first_version

STANDINGS = "standings.json"
ENDED = "ended.json"  # the ledger of the last run, once nothing of it is left
KEEPER = "keeper.json"
REPLACING = "replacing"  # exists while containers are replaced
RESTARTING = "restarting"  # exists while containers are restarted
PAUSED = "paused"  # exists while containers are paused
LAST = 1


class Run:
    """One project on one engine, whatever the engine's address is."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._last = os.path.join(path, "last.json")
        self._policy = os.path.join(path, "wish")
        self.lock = RunLock(os.path.join(path, "lock"))

    @functools.cached_property
    def made(self) -> CreationRecord:
        """The record of what is ours. Raises StateError."""
        made = CreationRecord(os.path.join(self.path, "made"), owner())
        made.find_old()
        return made

    @classmethod
    def open(cls, engine: str, endpoint: Endpoint, project: str) -> Run:
        """The run of the project on the engine with that key (see `identity.engine_key`); creates its folder.

        A folder of devenv 0.1, named after the engine's address, is taken over. Raises StateError if the folder
        cannot be created, or while devenv 0.1 runs.
        """
        runs, path = runs_folder(), run_folder(engine, project)
        with written(path):
            old = first_version.folder(endpoint, project)
            if os.path.isdir(old) and not os.path.exists(cls(path).ledger):
                if cls(old).lock.is_held():
                    raise cls(old).lock.up_error()
                first_version.move(old, path)
            private_files.private_folder(runs, os.path.basename(path))
            run = cls(path)
            about = json.dumps({"engine": engine, "address": address(endpoint), "project": project})
            if private_files.read(run.about) != about:
                private_files.replace(run.about, about)
        return run

    @classmethod
    def known(cls, endpoint: Endpoint, project: str) -> Run:
        """The run of the project at that address, without asking the engine; its folder may not exist."""
        runs = [*cls.folders(project)]
        for run in runs:
            if _facts(run.about).get("address") == address(endpoint):
                return run
        # devenv 0.1 named the folder after the address; hashing a name loads OpenSSL.
        return cls(run_folder(endpoint.host, project) if runs else os.path.join(runs_folder(), project))

    @classmethod
    def folders(cls, project: str = "") -> Iterator[Run]:
        """The folders of all runs of this user, or of those of one project, on every engine."""
        runs = runs_folder()
        for name in sorted(os.listdir(runs)) if os.path.isdir(runs) else ():
            if not project or name.rpartition("-")[0] == project:
                yield cls(os.path.join(runs, name))

    @property
    def children(self) -> str:
        """The file that lists our child processes, so that a guardian can end them first."""
        return os.path.join(self.path, "children")

    @property
    def log(self) -> str:
        """The log of the guardian."""
        return os.path.join(self.path, "guardian.log")

    @property
    def journals(self) -> str:
        """The folder of the journals of files that were put into containers."""
        return os.path.join(self.path, "puts")

    def remember(self, last: Mapping[str, Any]) -> None:
        """Write facts of the start that has just ended, replacing previous ones. A full disk is no error."""
        with contextlib.suppress(OSError, StateError):
            private_files.replace(self._last, json.dumps({"v": LAST, **last}))

    def note_standings(self, standings: Mapping[str, tuple[str, str, str]]) -> None:
        """Write phase, detail and error of services that ended or have an error, for commands that saw no events."""
        with contextlib.suppress(OSError, StateError):
            private_files.replace(os.path.join(self.path, STANDINGS), json.dumps(standings), durable=False)

    def standings(self) -> dict[str, tuple[str, str, str]]:
        """What `note_standings` wrote, as long as the run is alive."""
        with contextlib.suppress(OSError, ValueError, StateError, TypeError, AttributeError):
            if self.lock.is_held():
                noted = json.loads(private_files.read(os.path.join(self.path, STANDINGS)) or "{}").items()
                return {name: (str(phase), str(detail), str(error)) for name, (phase, detail, error) in noted}
        return {}

    def last(self) -> dict[str, Any]:
        """The facts that `remember` wrote last; empty if there are none."""
        facts = _facts(self._last)
        return facts if facts.get("v") == LAST else {}

    def ask(self, policy: VolumePolicy) -> None:
        """Leave a volume policy for the run, which reads it when it ends. Raises StateError."""
        with written(self._policy):
            private_files.replace(self._policy, policy.value)

    @property
    def wish(self) -> VolumePolicy | None:
        """The policy that another command left for this run."""
        with contextlib.suppress(OSError, ValueError, StateError):
            return VolumePolicy(private_files.read(self._policy) or "")
        return None

    def asked(self) -> VolumePolicy | None:
        """The policy that another command left for this run; it is removed."""
        if (policy := self.wish) is not None:
            os.unlink(self._policy)
        return policy

    def read(self) -> Ledger | None:
        """The ledger, or None if there is none. Raises StateError if it cannot be read."""
        return _ledger(self.ledger)

    def write(self, ledger: Ledger) -> None:
        """Write the ledger durably to disk. Raises StateError if that fails."""
        with written(self.ledger):
            self.made.keep_old()
            private_files.replace(self.ledger, json.dumps(encode(ledger)))

    def clear(self, rest: Ledger | None = None) -> None:
        """Move the ledger aside, since nothing of the run is left, or write `rest` instead. Raises StateError."""
        if rest is not None:
            self.write(rest)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.replace(self.ledger, os.path.join(self.path, ENDED))
        own = (os.path.join(self.path, name) for name in (KEEPER, REPLACING, RESTARTING, PAUSED))
        for path in (self.children, self._policy, *own):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self.made.clear()

    @property
    def about(self) -> str:
        """The file that names the project and the engine, for commands that cannot ask the engine."""
        return os.path.join(self.path, "about.json")

    @property
    def ledger(self) -> str:
        """The path of the ledger."""
        return os.path.join(self.path, "ledger.json")


def _ledger(path: str) -> Ledger | None:
    try:
        content = private_files.read(path)
        return None if content is None else decode(json.loads(content))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        hint = "docker compose down   (then remove that file)"
        raise StateError(f"{path} cannot be read", hint=hint) from error


def ended(run: Run) -> Ledger | None:
    """The ledger of the last run that has ended; None if there is none, or if it cannot be read."""
    with contextlib.suppress(StateError):
        return _ledger(os.path.join(run.path, ENDED))
    return None


def brought_up(run: Run) -> frozenset[str]:
    """The services that the run brought up, if the run is alive or was left running."""
    return frozenset(_current(run, "detached").get("images", ()))


def forwarded_from(run: Run) -> str:
    """The other machine whose ports the run forwards to this one; empty if it does not."""
    return str(_current(run).get("forwarded_from", ""))


def _current(run: Run, *phases: str) -> dict[str, Any]:
    """The facts of the last start, if its run is alive or in one of these phases; else empty."""
    with contextlib.suppress(StateError):
        ledger, last = run.read(), run.last()
        if ledger and last.get("began") == ledger.began and (ledger.phase in phases or run.lock.is_held()):
            return last
    return {}


def is_at(run: Run, host: str) -> bool:
    """Whether the project was last run at that address of an engine."""
    return _facts(run.about).get("address") == address(Endpoint(host))


def address(endpoint: Endpoint) -> str:
    """The engine's address, the same for all names of one local socket."""
    return f"unix://{os.path.realpath(endpoint.socket)}" if endpoint.socket is not None else endpoint.host


def runs_folder() -> str:
    """The folder with a folder for each run."""
    return os.path.join(state_folder(), "runs")


def run_folder(engine: str, project: str) -> str:
    """The folder of the run of the project on the engine with that key; it may not exist."""
    key = hashlib.sha256(f"{engine}\0{project}".encode()).hexdigest()[:12]
    return os.path.join(runs_folder(), f"{project}-{key}")


async def open_run(engine: Engine, project: str, key: str = "") -> Run:
    """The run of the project on the engine; sets `engine.is_ours`. Raises StateError, EngineError.

    `key`: the result of `key_of`, if known already.
    """
    key = key or await key_of(engine)
    run = await anyio.to_thread.run_sync(Run.open, key, engine.endpoint, project)
    engine.is_ours = run.made.holds
    return run


async def key_of(engine: Engine) -> str:
    """The key of the engine, which is asked twice unless it is known to give the same answer each time."""
    path, at = os.path.join(state_folder(), "engines.json"), address(engine.endpoint)
    first = await engine.identity()
    known = _facts(path)
    if known.get(at) == list(first):
        return engine_key([first], at)
    second = await engine.identity()
    if first == second:
        with written(path):
            private_files.replace(path, json.dumps({**known, at: list(first)}))
    return engine_key([first, second], at)


def _facts(path: str) -> dict[str, Any]:
    """The JSON object in the file; empty if there is none, or if it cannot be read."""
    with contextlib.suppress(OSError, ValueError, StateError):
        facts = json.loads(private_files.read(path) or "{}")
        return facts if isinstance(facts, dict) else {}
    return {}


def place_of(directory: str) -> Place:
    """The folder's identity now."""
    path = os.path.realpath(directory)
    try:
        state = os.stat(path)
    except OSError:
        return Place(path)
    return Place(path, state.st_dev, state.st_ino)


def began_in(ledger: Ledger, place: Place) -> bool:
    """Whether the run began in that folder, which may have been renamed since."""
    before = ledger.place
    is_gone = not os.path.lexists(before.path)
    return before.path == place.path or before.is_renamed_to(place, is_gone=is_gone)
