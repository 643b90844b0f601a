"""The verbs of `docker compose` that `up` runs, each fed with the run model on stdin."""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from devenv.docker import process
from devenv.docker.build_progress import StepBegin, StepEnd, StepOutput, parse
from devenv.docker.process import OnLine
from devenv.errors import ConfigError, DevenvError, EngineError, PortError
from devenv.explain import matcher, table
from devenv.explain.table import Entry

FAILED_STEP_LINES = 15
OnMade = Callable[[str, str], object]  # kind and name, as Compose reports them

# Whatever the user's shell sets for Compose belongs to the user's own calls. The run model is resolved already,
# and a model restricted to some services must not make orphans of the others.
_ENVIRONMENT = {
    "COMPOSE_ANSI": "never",
    "COMPOSE_FILE": "",
    "COMPOSE_IGNORE_ORPHANS": "1",
    "COMPOSE_MENU": "0",
    "COMPOSE_PROFILES": "*",  # what the model holds was chosen already
    "COMPOSE_PROGRESS": "plain",
    "COMPOSE_REMOVE_ORPHANS": "0",
}
_BUILD_ENVIRONMENT = _ENVIRONMENT | {
    "BUILDKIT_NO_CLIENT_TOKEN": "1",  # the engine's proxy and mirrors know the way to a registry, we may not
    "BUILDKIT_PROGRESS": "plain",  # rawjson is no line format on an older Buildx
    "DOCKER_BUILDKIT": "1",
}

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_NOISE = re.compile(
    r"\s*(?:(?:Container|Network|Volume|Image|Service) \S+\s+\w+\s*$"  # progress
    r"|time=\"|\S+ (?:Pulling|Pulled|Error|Interrupted|Skipped)\b"
    r"|Dockerfile:\d+$|-+$|\s*\d+ \|)"
)
_DAEMON = re.compile(
    r"\A(?:Error response from daemon: |failed to create task for container: |failed to create shim task: "
    r"|OCI runtime create failed: |runc create failed: |unable to start container process: "
    r"|target \S+: |failed to solve: |failed to compute cache key: |failed to calculate checksum of ref \S+: "
    r"|failed to read dockerfile: )+"
)
_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")  # in an address that a step or its output names
_ENDED = re.compile(r'process "(?P<command>.*)" did not complete successfully: exit code: (?P<code>\d+)')
_MADE = re.compile(r"\s*(?P<kind>Container|Network) (?P<name>\S+)\s+(?:Creat|Recreat)(?:e|ed|ing)\s*\Z")
_STATE = re.compile(r"\s*Container (?P<name>\S+)\s+(?P<state>\w+)")

_ID = re.compile(r"(?:(?:container )?\"[0-9a-f]{64}\")|\b[0-9a-f]{64}\b")
_UNKNOWN = re.compile(r": unknown(?=: |\Z)")
_ROOT = re.compile(
    r"/\S*/(?:overlay2|rootfs|snapshots)/[0-9a-f]+/(?:merged|diff|fs)(?=/)"
)  # of a container, on the engine


class VerbError(EngineError):
    """`create` or `start` failed: `reason` in plain words, and the service, where it is plain which one it was."""

    def __init__(self, verb: str, reason: str, service: str | None = None) -> None:
        super().__init__(f"could not {verb} `{service}`: {reason}" if service else f"could not {verb}: {reason}")
        self.verb = verb
        self.reason = reason
        self.service = service


class BuildError(EngineError):
    """A build failed: `reason` in BuildKit's words, or, `in_step`, how a RUN step ended; `lines` are its last."""

    def __init__(
        self,
        subject: str,
        reason: str,
        lines: tuple[str, ...] = (),
        *,
        in_step: bool = False,
        hint: str | None = None,
    ) -> None:
        super().__init__("".join([f"{subject} failed: {reason}", *(f"\n  {line}" for line in lines)]), hint=hint)
        self.subject = subject
        self.reason = reason
        self.lines = lines
        self.in_step = in_step


@dataclass(frozen=True, slots=True)
class Compose:
    """A project's verbs: its name, its folder (absolute) and the dumped run model.

    `given` are the host's ports that the command line named, by service and container port.
    """

    project: str
    directory: str
    model: bytes = field(repr=False)  # it holds the values of env_files
    given: Mapping[tuple[str, int], str] = field(default_factory=dict)

    def argv(self, verb: str, *args: str) -> list[str]:
        """The command line of a verb that expects the model on stdin."""
        head = ["docker", "compose", "-p", self.project, "--project-directory", self.directory, "-f", "-"]
        return [*head, verb, *args]

    def become(self, verb: str, *args: str) -> NoReturn:
        """Nothing: our own process becomes the verb, with the terminal and standard input as they are.

        Raises EngineError where docker is not installed.
        """
        files = ["-f", process.handed_over(self.model)]
        argv = ["docker", "compose", "-p", self.project, "--project-directory", self.directory, *files, verb, *args]
        process.replace(argv, _BUILD_ENVIRONMENT)

    async def build(self, services: Sequence[str] = (), on_line: OnLine = lambda _: None) -> None:
        """Build the images of `services`, or of all that have a build section; each line of progress is handed on.

        Raises ConfigError for a Dockerfile or context that is wrong, else BuildError.
        """
        log = _BuildLog(on_line)
        argv = self.argv("build", *services)
        done = await process.run(argv, stdin=self.model, env=_BUILD_ENVIRONMENT, on_line=log.line)
        if done.returncode:
            raise self._build_failure(log, _LOGIN.sub("***@", done.error_text), services)

    async def create(
        self, services: Sequence[str] = (), *, force: bool = False, on_made: OnMade = lambda *_: None
    ) -> None:
        """Create containers, networks and volumes that are missing or changed; nothing is built, nothing runs.

        `force` replaces containers even if nothing changed. `on_made` gets kind and name of each container and
        network that Compose reports as being created, also if the verb fails later.
        """

        def report(line: str) -> None:
            if found := _MADE.match(line):
                on_made(found["kind"].lower(), found["name"])

        options = ["--force-recreate"] if force else []
        await self._run("create", "--no-build", *options, *services, on_error_line=report)

    async def start(self, services: Sequence[str] = ()) -> None:
        """Start created or stopped containers in the order of `depends_on`, each when its conditions hold."""
        await self._run("start", *services)

    async def _run(self, verb: str, *args: str, on_error_line: OnLine | None = None) -> None:
        argv = self.argv(verb, *args)
        done = await process.run(argv, stdin=self.model, env=_ENVIRONMENT, on_error_line=on_error_line)
        if done.returncode:
            raise self._failure(verb, done.error_text)

    def _failure(self, verb: str, output: str) -> DevenvError:
        reason = last_reason(output)
        if error := missing_compose(output) or _unreachable(reason):
            return error
        if taken := re.search(r"Bind for \S*:(\d+) failed|listen \w+ \S*:(\d+): bind: (.*)", reason):
            return self._port_failure(taken[1] or taken[2], taken[3] or "already", reason)
        of_another = reason.startswith("dependency failed to start")
        return VerbError(verb, self._plain(reason), None if of_another else self._unfinished(output))

    def _port_failure(self, port: str, why: str, reason: str) -> PortError:
        words = "is taken" if "already" in why else f"cannot be used: {why}"
        endpoint = re.search(r"endpoint (\S+) ", reason)
        publishers = [
            (name, entry["target"])
            for name, service in self._services().items()
            for entry in service.get("ports") or ()
            if str(entry.get("published")) == port
        ]
        if not publishers:
            return PortError(f"host port {port} {words}")
        named = [pair for pair in publishers if endpoint and f"-{pair[0]}-" in endpoint[1]]
        service, target = (named or publishers)[0]
        ports = {**self.given, (service, int(target)): int(port) % 55535 + 10000}
        options = [f"--port {name}:{published}={inner}" for (name, inner), published in ports.items()]
        hint = f"Publish it elsewhere: {' '.join(['devenv up', *options])}"
        return PortError(f"host port {port}, which `{service}` publishes, {words}", hint=hint)

    def _unfinished(self, output: str) -> str | None:
        """The service of the one container that was begun and not finished; None where that is not plain."""
        states = {found["name"]: found["state"] for line in output.splitlines() if (found := _STATE.match(line))}
        begun = [name for name, state in states.items() if state.endswith("ing") or state == "Error"]
        return self._named(begun[0]) if len(begun) == 1 else None

    def _plain(self, reason: str) -> str:
        """The reason with services in the place of their containers."""
        return re.sub(r"container (\S+)", lambda found: self._told(found[1]) or found[0], plain(reason))

    def _told(self, container: str) -> str | None:
        name = self._named(container)
        return name and f"`{name}`"

    def _named(self, container: str) -> str | None:
        """The service of a container; one that is being replaced has its id before its name."""
        for name, service in self._services().items():
            known = service.get("container_name")
            pattern = re.escape(known) if known else rf"{re.escape(f'{self.project}-{name}')}-\d+"
            if re.fullmatch(rf"(?:[0-9a-f]{{12}}_)?{pattern}", container):
                return name
        return None

    def _build_failure(self, log: _BuildLog, output: str, services: Sequence[str]) -> DevenvError:
        reason = last_reason(output)
        service = self._built(reason, log, services)
        error = missing_compose(output) or _unreachable(reason) or self._dockerfile_failure(reason, service)
        if error:
            return error
        subject = f"the build of `{service}`" if service else "the build"
        if ended := _ENDED.search(reason):
            what = log.failed_step or f"RUN {ended['command'].removeprefix('/bin/sh -c ')}"
            return BuildError(
                subject,
                f"`{_short(what)}` ended with exit code {ended['code']}",
                tuple(log.failed_lines),
                in_step=True,
            )
        return BuildError(subject, plain(reason), tuple(log.failed_lines))

    def _built(self, reason: str, log: _BuildLog, services: Sequence[str]) -> str | None:
        """The service whose build failed, as far as Compose tells; a step names it only among several."""
        if len(services) == 1:
            return services[0]
        named = re.match(r"target (\S+): ", reason)
        known = [name for name, service in self._services().items() if service.get("build")]
        found = named[1] if named else log.failed_service
        return found if found in known else known[0] if len(known) == 1 else None

    def _dockerfile_failure(self, reason: str, service: str | None) -> DevenvError | None:
        """The error for what is wrong with a Dockerfile or a context, if that is it."""
        shown_service = f"`{service}`" if service else "a service"

        def words(_: Entry, groups: Mapping[str, str], _line: int) -> dict[str, str]:
            return {"service": shown_service, **{name: self._shown(text) for name, text in groups.items()}}

        explanation = matcher.explain(table.load("dockerfile"), reason, words)
        if explanation is None:
            return None
        file, inline = (None, None) if "context" in explanation.words else self._dockerfile(service)
        line = int(explanation.words["line"]) if "line" in explanation.words else None
        place = f"line {line} of {inline}: " if line else f"{inline}: "
        message = (place if inline else "") + explanation.cause
        return ConfigError(message, hint=explanation.hint, file=file, line=line if file else None)

    def _dockerfile(self, service: str | None) -> tuple[str | None, str | None]:
        """The Dockerfile's path, or the words for an inline one; neither where it is not known."""
        build = self._services().get(service or "", {}).get("build") or {}
        if "dockerfile_inline" in build:
            return None, f"the dockerfile_inline of `{service}`"
        if not build:
            return None, None
        path = os.path.join(build.get("context", ""), build.get("dockerfile", "Dockerfile"))
        return self._shown(path.replace("$$", "$")), None

    def _shown(self, path: str) -> str:
        return path.removeprefix(self.directory.rstrip("/") + "/")

    def _services(self) -> dict[str, Any]:
        text = self.model.replace(b'!!binary "', b'"')  # the one thing in a dumped model that is not JSON
        return cast("dict[str, Any]", json.loads(text).get("services") or {})


class _BuildLog:
    """BuildKit's plain progress; it remembers the last lines of every step."""

    def __init__(self, on_line: OnLine) -> None:
        self.on_line = on_line
        self.steps: dict[str, tuple[str | None, str]] = {}
        self.output: dict[str, deque[str]] = {}
        self.failed: str | None = None

    def line(self, raw: str) -> None:
        line = _LOGIN.sub("***@", clean(raw))
        if not line:
            return
        self.on_line(line)
        match parse(line):
            case StepBegin() as step if step.is_internal or step.is_instruction:
                service = step.label.split()[0] if len(step.label.split()) > 1 else None
                self.steps[step.number] = (service, step.what)
            case StepOutput(number, text, is_own=True):
                self.output.setdefault(number, deque(maxlen=FAILED_STEP_LINES)).append(text)
            case StepEnd(number, "failed"):
                self.failed = number

    @property
    def failed_service(self) -> str | None:
        """The service whose step failed, or that was worked on last; None where only one is built."""
        number = self.failed or next(reversed(self.steps), "")
        return self.steps.get(number, (None, ""))[0]

    @property
    def failed_step(self) -> str | None:
        return self.steps[self.failed][1] if self.failed in self.steps else None

    @property
    def failed_lines(self) -> list[str]:
        return list(self.output.get(self.failed or "", ()))


def last_reason(output: str) -> str:
    """The line of Compose's output that says why, without colour and progress; empty where there is none."""
    lines = [line.strip() for line in clean(output).splitlines()]
    return next((line for line in reversed(lines) if line and not _NOISE.match(line)), "")


def plain(reason: str) -> str:
    """A reason without the names of the layers it came through, without ids and without the engine's own folders."""
    told = _ID.sub("…", _ROOT.sub("", _UNKNOWN.sub("", _DAEMON.sub("", reason))))
    return told or "Compose gave no reason"


def missing_compose(output: str) -> DevenvError | None:
    """The error where `docker` is there and its Compose plugin is not, told by what `docker` prints."""
    if re.search(r"unknown (?:shorthand )?flag|'compose' is not a docker command", output[:200]):
        hint = "Install it: apt install docker-compose (Debian), docker-compose-plugin (Docker's own packages)."
        return EngineError("`docker compose` is not installed", hint=hint)
    return None


def _unreachable(reason: str) -> DevenvError | None:
    if found := re.search(r"Cannot connect to the Docker daemon at (\S+?)\.? ", reason):
        return EngineError(f"no engine answers at {found[1]}", hint="docker info")
    if found := re.search(r"permission denied while trying to connect to .* at (\S+?):", reason):
        hint = "Add yourself to the group that owns the socket: sudo usermod -aG docker $USER, then log in again."
        return EngineError(f"you may not talk to the engine at {found[1]}", hint=hint)
    return None


def clean(text: str) -> str:
    """The text without colours and control characters, its lines kept."""
    return _ESCAPES.sub("", text)


def _short(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
