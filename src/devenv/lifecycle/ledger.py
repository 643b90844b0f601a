"""What was there before, and what a run creates: on disk before the create, read by whoever cleans up."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from devenv.errors import StateError
from devenv.model.observed import Container, Network, Scene, Volume

VERSION = 1
EMPTY = ("", "")
CLEANING = " cleaning"
LOOKED_AT = 0.2  # seconds that somebody who only looks may hold the lock


class Wish(StrEnum):
    """What becomes of the named volumes that a run created: saved and removed, left in place, or just removed."""

    SAVE = "save"
    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Ledger:
    """One project on one engine, from the first create until everything is gone.

    `before_*` is what existed when the ledger began (ids, for volumes names); `creates` names the volumes
    that did not. `phase` is up (a devenv process holds it), detached, kept, or left (all has ended, and volumes
    that could not be saved are still there).

    `anonymous` names those without a name of their own that containers of ours have: one that Compose carried over
    into a new container does not go with that.

    Of the volumes in `creates`: `keeps` are to stay, `restoring` are being filled and hold nothing yet that no
    snapshot holds, `unsettled` began empty and their services have not been well yet.
    """

    project: str
    directory: str
    endpoint: str
    context: str | None
    began: float
    pid: int
    phase: str = "up"
    before_containers: tuple[str, ...] = ()
    before_networks: tuple[str, ...] = ()
    before_volumes: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    restoring: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()
    anonymous: tuple[str, ...] = ()

    def containers(self, scene: Scene) -> tuple[Container, ...]:
        """The containers that are ours to end."""
        return tuple(c for c in scene.containers if c.ours and c.id not in self.before_containers)

    def networks(self, scene: Scene) -> tuple[Network, ...]:
        """The networks that are ours to end."""
        return tuple(n for n in scene.networks if n.ours and n.id not in self.before_networks)

    def volumes(self, scene: Scene) -> tuple[Volume, ...]:
        """The named volumes that this run created, as far as they are there."""
        mine = {name for name in self.creates if name not in self.before_volumes}
        return tuple(v for v in scene.volumes if v.name in mine and v.project == self.project)

    def noting(self, containers: Iterable[Container]) -> Ledger:
        """The same with the anonymous volumes of these containers, as far as they were not there before."""
        found = (name for c in containers for name in c.volumes if is_anonymous(name))
        return replace(self, anonymous=_both(self.anonymous, (n for n in found if n not in self.before_volumes)))

    def without(self, volume: str) -> Ledger:
        """The volume is no longer this run's."""
        return replace(self, creates=tuple(v for v in self.creates if v != volume))


def is_anonymous(volume: str) -> bool:
    """Whether it has but the name that the engine gives to a volume without one."""
    return re.fullmatch("[0-9a-f]{64}", volume) is not None


def begin(
    scene: Scene, volumes: Iterable[str], *, project: str, directory: str, endpoint: str, context: str | None
) -> Ledger:
    """A new ledger: everything that is there now was there before, `volumes` on the whole engine."""
    return Ledger(
        project=project,
        directory=directory,
        endpoint=endpoint,
        context=context,
        began=time.time(),
        pid=os.getpid(),
        before_containers=tuple(c.id for c in scene.containers),
        before_networks=tuple(n.id for n in scene.networks),
        before_volumes=_both((v.name for v in scene.volumes), sorted(filter(is_anonymous, volumes))),
    )


def state_folder() -> str:
    """`$XDG_STATE_HOME/devenv-compose`, made private to the user where it is missing.

    Raises StateError where it cannot be made or belongs to somebody else.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # the specification: a relative path is to be ignored
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    path = os.path.join(base, "devenv-compose")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        if os.stat(path).st_uid != os.getuid():
            raise StateError(f"{path} belongs to another user", hint=f"sudo chown -R $USER {path}")
    except OSError as error:
        hint = "export XDG_STATE_HOME=/a/writable/folder"
        raise StateError(f"cannot use {path}: {error.strerror}", hint=hint) from error
    return path


class Run:
    """The folder of one project on one engine: its lock, its ledger, the log of its guardian."""

    def __init__(self, endpoint: str, project: str) -> None:
        key = hashlib.sha256(f"{endpoint}\0{project}".encode()).hexdigest()[:12]
        self.path = os.path.join(state_folder(), "runs", f"{project}-{key}")
        with _written(self.path):
            os.makedirs(self.path, mode=0o700, exist_ok=True)

    @property
    def children(self) -> str:
        """The file that names our child processes, so that a guardian can end them first."""
        return os.path.join(self.path, "children")

    @property
    def log(self) -> str:
        """Where the guardian says what it did."""
        return os.path.join(self.path, "guardian.log")

    @classmethod
    def every(cls) -> Iterator[tuple[Run, Ledger]]:
        """Runs of this user that have a ledger, on every engine; unreadable ones are passed over."""
        folder = os.path.join(state_folder(), "runs")
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            run = cls.__new__(cls)
            run.path = os.path.join(folder, name)
            with contextlib.suppress(StateError):
                if (ledger := run.read()) is not None:
                    yield run, ledger

    @classmethod
    def dead(cls, phases: Collection[str]) -> Iterator[tuple[Run, Ledger]]:
        """Those in these phases that no process holds."""
        return ((run, ledger) for run, ledger in cls.every() if ledger.phase in phases and not run.is_held())

    def pin(self, snapshots: Mapping[str, tuple[str, str]]) -> None:
        """Keys of volumes -> (id, volume) of the snapshots that the next `up` is to restore, or EMPTY."""
        if snapshots:
            with open(f"{self._pins}.new", "w", encoding="utf-8") as file:
                json.dump(dict(snapshots), file)
            os.replace(f"{self._pins}.new", self._pins)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._pins)

    def pins(self) -> dict[str, tuple[str, str]]:
        """What `pin` was told."""
        with contextlib.suppress(OSError, ValueError, AttributeError), open(self._pins, encoding="utf-8") as file:
            return {key: tuple(pin) for key, pin in json.load(file).items()}
        return {}

    def remember(self, last: Mapping[str, Any]) -> None:
        """What the way up that has just ended was like, in place of the one before; as far as the disk takes it."""
        with contextlib.suppress(OSError), open(f"{self._last}.new", "w", encoding="utf-8") as file:
            json.dump({"v": VERSION, **last}, file)
            os.replace(f"{self._last}.new", self._last)

    def last(self) -> dict[str, Any]:
        """What `remember` was told last, or nothing."""
        with contextlib.suppress(OSError, ValueError), open(self._last, encoding="utf-8") as file:
            found = json.load(file)
            return found if isinstance(found, dict) and found.get("v") == VERSION else {}
        return {}

    def ask(self, wish: Wish) -> None:
        """The run that holds the project finds this when it is asked to end."""
        with open(self._wish, "w", encoding="ascii") as file:
            file.write(wish.value)

    def asked(self) -> Wish | None:
        """What somebody asked of the run that is about to end, once."""
        try:
            with open(self._wish, encoding="ascii") as file:
                wish = Wish(file.read())
        except (OSError, ValueError):
            return None
        os.unlink(self._wish)
        return wish

    def is_held(self) -> bool:
        """Whether a process holds the project now."""
        try:
            with open(self._lock, encoding="ascii") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextlib.contextmanager
    def lock(self, *, wait: float = 0.0, cleaning: bool = False) -> Iterator[None]:
        """The project held for this process; the kernel lets go when the process ends.

        `cleaning` tells others that it is held only to clean up, so that waiting is worth it. Raises StateError
        (exit 3) with the pid of the run that holds it after `wait` seconds.
        """
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        deadline = time.monotonic() + wait
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise self._held() from None
                    time.sleep(0.05)
            with _written(self._lock) if not cleaning else contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}{CLEANING if cleaning else ''}".encode())
            yield
        finally:
            os.close(descriptor)

    def holder(self) -> int | None:
        """The pid that wrote itself into the lock; it holds it only as long as `lock` fails."""
        with contextlib.suppress(OSError, ValueError), open(self._lock, encoding="ascii") as file:
            return int(file.read().removesuffix(CLEANING))
        return None

    def is_cleaned(self) -> bool:
        """Whether somebody holds the project now, and only to clean up after an earlier run."""
        with contextlib.suppress(OSError), open(self._lock, encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().endswith(CLEANING)
        return False

    def _held(self) -> StateError:
        since = time.strftime("%H:%M:%S", time.localtime(os.stat(self._lock).st_mtime))
        return StateError(
            f"this project is already up: devenv runs as pid {self.holder()} since {since}",
            hint="devenv logs   (shows it; `devenv down` ends it and cleans up)",
        )

    def read(self) -> Ledger | None:
        """The ledger, or None where there is none. Raises StateError where it cannot be understood."""
        try:
            with open(self._file, encoding="utf-8") as file:
                return _decode(json.load(file))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StateError(
                f"{self._file} cannot be read", hint="docker compose down   (then remove that file)"
            ) from error

    def write(self, ledger: Ledger) -> None:
        """The ledger safely on disk before this returns. Raises StateError where it cannot be."""
        temporary = f"{self._file}.new"
        with _written(self._file):
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump({"v": VERSION, **asdict(ledger)}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._file)

    def clear(self) -> None:
        """No ledger any more: nothing of this run is left."""
        for path in (self._file, self.children, self._wish):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    @property
    def _lock(self) -> str:
        return os.path.join(self.path, "lock")

    @property
    def _pins(self) -> str:
        return os.path.join(self.path, "pins.json")

    @property
    def _last(self) -> str:
        return os.path.join(self.path, "last.json")

    @property
    def _wish(self) -> str:
        return os.path.join(self.path, "wish")

    @property
    def _file(self) -> str:
        return os.path.join(self.path, "ledger.json")


@contextlib.contextmanager
def _written(path: str) -> Iterator[None]:
    """Raises StateError where the path cannot be written."""
    try:
        yield
    except OSError as error:
        hint = "Make room for it, or: export XDG_STATE_HOME=/a/folder/with/space"
        raise StateError(f"cannot write {path}: {error.strerror}", hint=hint) from error


def take_over(ledger: Ledger, scene: Scene) -> Ledger:
    """An earlier run's ledger in the hands of this process.

    Volumes of a kept run were handed to the user: they count as there before.
    """
    handed = (v.name for v in scene.volumes if v.name not in ledger.creates)
    containers = (c.id for c in scene.containers if not c.ours)
    networks = (n.id for n in scene.networks if not n.ours)
    return replace(
        ledger,
        pid=os.getpid(),
        began=time.time(),
        phase="up",
        before_volumes=_both(ledger.before_volumes, handed),
        before_containers=_both(ledger.before_containers, containers),
        before_networks=_both(ledger.before_networks, networks),
    )


def _both(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _decode(data: dict[str, Any]) -> Ledger:
    if data.pop("v") != VERSION:
        raise ValueError("another version")
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return Ledger(**fields)
