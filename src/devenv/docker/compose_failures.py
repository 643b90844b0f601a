"""Errors for failed verbs of `docker compose`, read from their output: the service, the reason, and a hint."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from devenv.docker.build_progress import StepBegin, StepEnd, StepOutput, parse
from devenv.errors import DevenvError, EngineError, PortError
from devenv.lazy_dataclass import dataclass

FAILED_STEP_LINES = 15
LONGEST_COMMAND = 120

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
    r"|target \S+: |failed to solve: |failed to compute cache key: |failed to calculate checksum of ref \S+: )+"
)
_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")  # in an address in a command or its output
_EXIT = re.compile(r'process "(?P<command>.*)" did not complete successfully: exit code: (?P<code>\d+)')
_STATE = re.compile(r"\s*Container (?P<name>\S+)\s+(?P<state>\w+)")
_PORT = re.compile(r"Bind for \S*:(?P<taken>\d+) failed|listen \w+ \S*:(?P<port>\d+): bind: (?P<why>.*)")
_ID = re.compile(r"(?:(?:container )?\"[0-9a-f]{64}\")|\b[0-9a-f]{64}\b")
_UNKNOWN = re.compile(r": unknown(?=: |\Z)")
_ROOT = re.compile(r"/\S*/(?:overlay2|rootfs|snapshots)/[0-9a-f]+/(?:merged|diff|fs)(?=/)")  # of a container


class VerbError(EngineError):
    """`create` or `start` failed: the `reason` without ids and wrappers, and the service, if it is known."""

    def __init__(self, verb: str, reason: str, service: str | None = None) -> None:
        super().__init__(f"could not {verb} `{service}`: {reason}" if service else f"could not {verb}: {reason}")
        self.verb = verb
        self.reason = reason
        self.service = service


class BuildError(DevenvError):
    """A build failed: `reason` is BuildKit's message or, if `in_step`, the exit code of a RUN step.

    `lines` are the last lines of the step; `service` and `instruction`, as BuildKit shows it, are empty if unknown.
    """

    def __init__(
        self,
        service: str,
        reason: str,
        lines: Sequence[str] = (),
        *,
        in_step: bool = False,
        instruction: str = "",
        hint: str | None = None,
        place: tuple[str | None, int | None] = (None, None),
    ) -> None:
        subject = f"the build of `{service}`" if service else "the build"
        text = "".join([f"{subject} failed: {reason}", *(f"\n  {line}" for line in lines)])
        super().__init__(text, hint=hint, file=place[0], line=place[1])
        self.service = service
        self.reason = reason
        self.lines = lines
        self.in_step = in_step
        self.instruction = instruction


class BuildLog:
    """The progress of a build: passes each line on without logins and keeps the last lines of each step."""

    def __init__(self, on_line: Callable[[str], object]) -> None:
        self._on_line = on_line
        self._steps: dict[str, tuple[str | None, str]] = {}  # number -> service, instruction
        self._output: dict[str, deque[str]] = {}
        self._failed: str | None = None

    def line(self, raw: str) -> None:
        """Add the next line of the output."""
        line = without_logins(clean(raw))
        if not line:
            return
        self._on_line(line)
        match parse(line):
            case StepBegin() as step if step.is_internal or step.place:
                service = step.label.split()[0] if len(step.label.split()) > 1 else None
                self._steps[step.number] = (service, step.instruction)
            case StepOutput(number, text, is_own=True):
                self._output.setdefault(number, deque(maxlen=FAILED_STEP_LINES)).append(text)
            case StepEnd(number, "failed"):
                self._failed = number

    @property
    def failed_service(self) -> str | None:
        """The service of the step that failed, or else of the last step; None if only one service is built."""
        number = self._failed or next(reversed(self._steps), "")
        return self._steps.get(number, (None, ""))[0]

    @property
    def failed_step(self) -> str | None:
        """The instruction that failed."""
        return self._steps[self._failed][1] if self._failed in self._steps else None

    @property
    def failed_lines(self) -> tuple[str, ...]:
        """The last lines of the step that failed."""
        return tuple(self._output.get(self._failed or "", ()))


@dataclass(frozen=True, slots=True)
class Failures:
    """The reader of failures of a project: its name, and the services of its run model.

    `port_changes`: host ports from the command line, by service and container port.
    """

    project: str
    services: Mapping[str, Any] = field(repr=False)  # hold the values of env_files
    port_changes: Mapping[tuple[str, int], str]

    def of_verb(self, verb: str, output: str, service: str | None = None) -> DevenvError:
        """The error for the output of `create` or `start`, or for the engine's answer to a request of `service`."""
        reason = last_reason(output)
        if error := missing_compose(output) or _unreachable(reason):
            return error
        if match := _PORT.search(reason):
            return self._of_port(match["taken"] or match["port"], match["why"] or "already", reason)
        if service is None and not reason.startswith("dependency failed to start"):
            service = self._unfinished(output)
        return VerbError(verb, self._with_services(reason), service)

    def of_build(self, log: BuildLog, output: str, services: Sequence[str]) -> DevenvError:
        """The error for the output of `build`; `services` are the services on its command line."""
        output = without_logins(output)
        reason = last_reason(output)
        service = self._built_service(reason, log, services) or ""
        if error := missing_compose(output) or _unreachable(reason):
            return error
        instruction = log.failed_step or ""
        if exit_ := _EXIT.search(reason):
            instruction = instruction or f"RUN {exit_['command'].removeprefix('/bin/sh -c ')}"
            reason = f"`{short(instruction)}` ended with exit code {exit_['code']}"
            return BuildError(service, reason, log.failed_lines, in_step=True, instruction=instruction)
        return BuildError(service, plain(reason), log.failed_lines, instruction=instruction)

    def _of_port(self, port: str, why: str, reason: str) -> PortError:
        state = "is taken" if "already" in why else f"cannot be used: {why}"
        endpoint = re.search(r"endpoint (\S+) ", reason)
        publishers = [
            (name, entry["target"])
            for name, service in self.services.items()
            for entry in service.get("ports") or ()
            if str(entry.get("published")) == port
        ]
        if not publishers:
            return PortError(f"host port {port} {state}")
        failed = [pair for pair in publishers if endpoint and pair[0] == self._service_of(endpoint[1])]
        service, target = (failed or publishers)[0]
        ports = {**self.port_changes, (service, int(target)): int(port) % 55535 + 10000}
        options = [f"--port {name}:{published}={target}" for (name, target), published in ports.items()]
        hint = f"Publish it elsewhere: {' '.join(['devenv up', *options])}"
        return PortError(f"host port {port}, which `{service}` publishes, {state}", hint=hint)

    def _unfinished(self, output: str) -> str | None:
        """The service of the container that Compose has not finished; None if there are several or none."""
        states = {match["name"]: match["state"] for line in output.splitlines() if (match := _STATE.match(line))}
        unfinished = [name for name, state in states.items() if state.endswith("ing") or state == "Error"]
        return self._service_of(unfinished[0]) if len(unfinished) == 1 else None

    def _with_services(self, reason: str) -> str:
        """The reason, with containers replaced by their services."""

        def service(match: re.Match[str]) -> str:
            name = self._service_of(match[1])
            return f"`{name}`" if name else match[0]

        return re.sub(r"container (\S+)", service, plain(reason))

    def _service_of(self, container: str) -> str | None:
        """The service of a container by its name, which has an id in front while the container is replaced."""
        for name, service in self.services.items():
            fixed = service.get("container_name")
            pattern = re.escape(fixed) if fixed else rf"{re.escape(f'{self.project}-{name}')}-\d+"
            if re.fullmatch(rf"(?:[0-9a-f]{{12}}_)?{pattern}", container):
                return name
        return None

    def _built_service(self, reason: str, log: BuildLog, services: Sequence[str]) -> str | None:
        """The service whose build failed, if it is known: steps name the service only if several are built."""
        if len(services) == 1:
            return services[0]
        target = re.match(r"target (\S+): ", reason)
        built = [name for name, service in self.services.items() if service.get("build")]
        name = target[1] if target else log.failed_service
        return name if name in built else built[0] if len(built) == 1 else None


def last_reason(output: str) -> str:
    """The last line of Compose's output that is not progress, without colours; empty if there is none."""
    lines = [line.strip() for line in clean(output).splitlines()]
    return next((line for line in reversed(lines) if line and not _NOISE.match(line)), "")


def plain(reason: str) -> str:
    """The reason without the prefixes of the programs that passed it on, without ids and the engine's folders."""
    return _ID.sub("…", _ROOT.sub("", _UNKNOWN.sub("", _DAEMON.sub("", reason)))) or "Compose gave no reason"


def missing_compose(output: str) -> DevenvError | None:
    """The error if `docker` is installed without its Compose plugin; None for any other output."""
    if re.search(r"unknown (?:shorthand )?flag|'compose' is not a docker command", output[:200]):
        hint = "Install it: apt install docker-compose (Debian), docker-compose-plugin (Docker's own packages)."
        return EngineError("`docker compose` is not installed", hint=hint)
    return None


def _unreachable(reason: str) -> DevenvError | None:
    if match := re.search(r"Cannot connect to the Docker daemon at (\S+?)\.? ", reason):
        return EngineError(f"no engine answers at {match[1]}", hint="docker info")
    if match := re.search(r"permission denied while trying to connect to .* at (\S+?)(?:: |\Z)", reason):
        hint = "Add yourself to the group that owns the socket: sudo usermod -aG docker $USER, then log in again."
        return EngineError(f"no permission to use the engine at {match[1]}", hint=hint)
    return None


def clean(text: str) -> str:
    """The text without colours and control characters, except line ends."""
    return _ESCAPES.sub("", text)


def without_logins(text: str) -> str:
    """The text with `***` for the user and password in addresses."""
    return _LOGIN.sub("***@", text)


def short(text: str) -> str:
    """The text, cut to fit into a message."""
    return text if len(text) <= LONGEST_COMMAND else f"{text[: LONGEST_COMMAND - 1]}…"
