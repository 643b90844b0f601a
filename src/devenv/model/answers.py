"""What commands answer: the doctor's findings, effects of watch rules, mistakes in files, the status of a project."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any

from devenv.lazy_dataclass import dataclass

PAGE = "troubleshooting"  # topic of `devenv help`
ERROR, WARNING, INFO = SEVERITIES = "error", "warning", "info"
AREAS = ("tools", "engine", "registries", "proxies", "builder", "machine", "project")
TOOLS, ENGINE, REGISTRIES, PROXIES, BUILDER, MACHINE, PROJECT = AREAS
STATES = ("none", "broken", "down", "starting", "up", "stopped", "ending", "dead", "left", "unreachable")
RUN_STATES = (
    "starting", "running", "detached", "kept", "ending", "left", "lost", "volumes kept", "ended",
    "unreachable", "other engine",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem or a fact worth knowing, and the command that fixes it.

    `code` stays the same from version to version; `severity` is error, warning or info; `area` is what was checked.
    """

    code: str
    severity: str
    area: str
    message: str
    hint: str | None = None

    @property
    def anchor(self) -> str:
        """The topic that explains the finding, for `devenv help`."""
        return f"{PAGE}#{self.code}"


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder that needs free space, what it is for, and what is free: bytes, and the share of all inodes."""

    what: str
    path: str
    free: int
    inodes: float
    meaning: str
    hint: str


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """What a rule does with a path; `index` counts from 0, `place` and `file` are `file:line`.

    `decided_by` is include, ignore, .dockerignore, built-in or own file, and `pattern` is the pattern as written;
    both are empty if no pattern excludes the path. `effects` are sync, exec, restart, rebuild, in this order;
    `reason` says why a matching rule does nothing.
    """

    service: str
    index: int
    action: str
    place: str
    matches: bool
    decided_by: str = ""
    pattern: str = ""
    file: str = ""
    target: str | None = None
    effects: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ShownRule:
    """A rule of a service; `path` is relative to the project's folder if it is inside."""

    action: str
    path: str
    target: str | None
    ignore: tuple[str, ...]
    include: tuple[str, ...]
    initial_sync: bool
    exec: tuple[str, ...]
    place: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ShownService:
    """A service with its rules, and the file that its build uses as .dockerignore."""

    service: str
    dockerignore: str | None
    rules: tuple[ShownRule, ...]


@dataclass(frozen=True, slots=True)
class Mounted:
    """A bind mount as written and its place, `file:line`; `target` is the path that a save reaches in the container.

    Without a target, the mount is of something below the path.
    """

    service: str
    mount: str
    place: str
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Explained:
    """A path as given; `kind` is file, dir, link, other or absent. Without verdicts, no rule applies to the path.

    `below` are the rules for paths below a folder. `is_input`: the project is read from the file. `copied`: services
    on another machine get a copy of the file, as a config or secret; the texts have the target and the place.
    """

    path: str
    kind: str
    verdicts: tuple[RuleVerdict, ...] = ()
    mounts: tuple[Mounted, ...] = ()
    below: tuple[ShownService, ...] = ()
    is_input: bool = False
    copied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A project as devenv reads it; `settings` is its `x-devenv` block.

    `replaced`: what stands in place of mounts, configs and secrets on the engine of another machine, with places.
    """

    project: str
    directory: str
    files: tuple[str, ...]
    services: tuple[ShownService, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake in a file of the project, and its place."""

    message: str
    hint: Annotated[str | None, "the nearest known word, or what to do"]
    level: Annotated[str, ("error", "warning")]
    file: str | None
    line: Annotated[int | None, "counted from 1"]
    column: Annotated[int | None, "counted from 1, in characters"]
    text: Annotated[str, "the line; possible secrets are replaced by stars"] = ""
    width: Annotated[int, "how many characters of the line are wrong"] = 0


@dataclass(frozen=True, slots=True)
class MachineRun:
    """A run of this machine. The engine is asked about the runs of the current context only.

    `running`: a process holds the run, and its services are up; `detached`, `kept`: left running by `up -d` or
    `--keep`; `left`: the run has ended, and something that could not be removed still exists; `lost`: the process of
    the run, or all running containers of a run that was left, have gone; `volumes kept`: the run has ended, and its
    volumes exist; `ended`: nothing of the run is left, but its folder was removed (`devenv gc`).
    """

    project: str
    directory: Annotated[str, "empty if a volume with a fixed name belongs to no folder"]
    state: Annotated[str, RUN_STATES]
    is_removed: Annotated[bool, "whether the folder was removed"] = False
    branch: Annotated[str | None, "the git branch, or the short id of the commit"] = None
    running: Annotated[int, "running containers"] = 0
    containers: Annotated[int, "containers, without those that ended with exit code 0"] = 0
    urls: tuple[str, ...] = ()
    began: Annotated[float | None, "seconds since 1970"] = None
    memory: Annotated[int | None, "bytes of all running containers, by the engine"] = None
    pid: Annotated[int | None, "the process that holds the run"] = None
    volumes: Annotated[tuple[str, ...], "volumes that an ended run has kept"] = ()
    background: Annotated[str, "what the process in the background does, or since when it has ended"] = ""
    forwarded_from: Annotated[str, "the other machine that has the ports, if ssh forwards them"] = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A command, and what it does."""

    command: str
    does: str


@dataclass(frozen=True, slots=True)
class Here:
    """The project in this folder; containers of plain Compose do not count.

    `none`: no Compose file found; `broken`: the file cannot be read; `stopped`: left running, and no container runs
    now; `dead`: the process of the run has died, and something of the run still exists; `left`: the run has ended,
    and something that could not be removed, or a volume that could not be saved, still exists; `unreachable`: the
    engine does not answer.
    """

    state: Annotated[str, STATES]
    said: Annotated[str, "the status in one line"]
    project: str | None = None
    services: Annotated[tuple[str, ...], "as written, with all profiles"] = ()
    running: Annotated[int, "running containers of the run"] = 0
    urls: tuple[str, ...] = ()
    others: Annotated[tuple[str, ...], "projects in other folders whose runs have died or left something"] = ()
    guardians: Annotated[tuple[str, ...], "what guardians of dead runs do or wait for, a line for each"] = ()
    background: Annotated[str, "what the process in the background does, or since when it has ended"] = ""
    run_options: Annotated[tuple[str, ...], "what selects the run, if its project is not the one of the files"] = ()
    forwarded_from: Annotated[str, "the other machine that has the ports, if ssh forwards them"] = ""

    @property
    def commands(self) -> tuple[Suggestion, ...]:
        """The commands that make sense now, the most likely first."""
        commands = [Suggestion(*row) for row in _COMMANDS[self.state]]
        if self.others:
            commands.append(Suggestion("devenv gc", f"remove what dead runs left of {', '.join(self.others)}"))
        return (*commands, Suggestion("devenv --help", "list all commands"))


_UP = ("devenv up", "start it, in sync with your editor")
_DOWN = ("devenv down", "end it; its volumes are saved")
_DOCTOR = ("devenv doctor", "find out why, and what to do")
_LOOK = (("devenv logs -f", "follow what the services print"), ("devenv ps", "list the services"))
_COMMANDS = {
    "none": (
        ("devenv new", "create a project, from the code in this folder or from a template"),
        ("devenv new --list", "list the templates"),
    ),
    "broken": (("devenv config --validate", "list the mistakes in the parts of the file that devenv reads"),),
    "down": (
        _UP,
        ("devenv graph", "show which service waits for which"),
        ("devenv config", "show what a save would do"),
    ),
    "starting": (_LOOK[1], _LOOK[0], _DOWN),
    "up": (*_LOOK, _DOWN),
    "stopped": (_UP, _DOWN),
    "ending": (),
    "dead": (_DOWN, _UP),
    "left": (_DOWN, _UP),
    "unreachable": (_DOCTOR,),
}
