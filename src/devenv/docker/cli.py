"""The docker CLI: import, build, read and remove images, and run verbs of Compose, which get the run model on stdin.

Commands that `up` may wait for are child processes, which end if they are cancelled; images are removed by
python-on-whales in a thread.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import NoReturn

import anyio

from devenv.docker import process, trace
from devenv.docker.build_progress import StepBegin, parse
from devenv.docker.compose_failures import BuildLog, Failures
from devenv.docker.process import OnLine
from devenv.errors import EngineError
from devenv.lazy_dataclass import dataclass

PATIENCE = 20.0  # seconds for which a child waits for its model; a build may take longer

OnCreated = Callable[[str, str], object]  # kind and name, as Compose reports them

# Variables of the user's shell are for the user's own Compose commands: the run model is resolved already, and the
# services that a model leaves out are no orphans.
_COMPOSE_ENVIRONMENT = {
    "COMPOSE_ANSI": "never",
    "COMPOSE_FILE": "",
    "COMPOSE_IGNORE_ORPHANS": "1",
    "COMPOSE_MENU": "0",
    "COMPOSE_PROFILES": "*",  # the services of the model are selected already
    "COMPOSE_PROGRESS": "plain",
    "COMPOSE_REMOVE_ORPHANS": "0",
}
_BUILDKIT_ENVIRONMENT = {
    "BUILDKIT_NO_CLIENT_TOKEN": "1",  # the engine reaches registries by its proxy and mirrors; this process may not
    "DOCKER_BUILDKIT": "1",
}
_IMAGE_BUILD_ENVIRONMENT = _BUILDKIT_ENVIRONMENT | {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
_COMPOSE_BUILD_ENVIRONMENT = (
    _COMPOSE_ENVIRONMENT
    | _BUILDKIT_ENVIRONMENT
    | {"BUILDKIT_PROGRESS": "plain"}  # older versions of Buildx do not print rawjson line by line
)
_OPTIONS = {"build": (), "create": ("--no-build",)}
_ENVIRONMENTS = {"build": _COMPOSE_BUILD_ENVIRONMENT, "create": _COMPOSE_ENVIRONMENT}
_CREATED = re.compile(r"\s*(?P<kind>Container|Network) (?P<name>\S+)\s+(?:Creat|Recreat)(?:e|ed|ing)\s*\Z")


async def import_archive(archive: str, image: str, changes: Sequence[str]) -> None:
    """Create an image from the root file system in the tar file `archive`, with Dockerfile instructions on top."""
    await _run("`docker import` failed", "import", *(f"--change={change}" for change in changes), archive, image)


async def build(
    context: str, image: str, *, args: Mapping[str, str], labels: Mapping[str, str], on_step: OnLine
) -> None:
    """Build an image from the folder `context` without a network; `on_step` gets the place of each step (`3/5`)."""

    def report(line: str) -> None:
        if isinstance(step := parse(line), StepBegin) and step.place:
            on_step(step.place)

    argv = ["build", "--progress=plain", "--network=none", f"--tag={image}", context]
    argv += (f"--build-arg={name}={value}" for name, value in args.items())
    argv += (f"--label={name}={value}" for name, value in labels.items())
    await _run("`docker build` failed", *argv, env=_IMAGE_BUILD_ENVIRONMENT, on_error_line=report)


async def read(image: str, *paths: str) -> list[str]:
    """The contents of files in an image; an empty text for a missing file."""
    script = 'for path; do cat "$path" 2>/dev/null; printf "\\0"; done'
    options = ["--rm", "--pull=never", "--network=none", "--entrypoint=sh"]
    done = await _run(f"{image} cannot be read", "run", *options, image, "-c", script, "sh", *paths)
    return done.text.split("\0")[:-1]


async def _run(
    failure: str, *arguments: str, env: Mapping[str, str] | None = None, on_error_line: OnLine | None = None
) -> process.Completed:
    done = await process.run(["docker", *arguments], env=env, on_error_line=on_error_line)
    if done.returncode:
        raise EngineError(f"{failure}: {last_line(done.error_text)}")
    return done


async def remove(*images: str) -> None:
    """Remove images by name or id; an image that does not exist or that a container uses is skipped."""

    def remove_all() -> None:
        from python_on_whales import DockerClient, exceptions  # noqa: PLC0415 - costs 350 ms

        client = DockerClient()
        for image in images:
            with contextlib.suppress(exceptions.DockerException), trace.command(["docker", "image", "rm", image]):
                client.image.remove(image, prune=False)

    await anyio.to_thread.run_sync(remove_all)


def last_line(text: str) -> str:
    """The last line that is not empty, cut to fit on two lines of a terminal."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no reason given"


class EarlyCommand:
    """A verb of Compose for a whole model, started before the model is known: `create` or `build`.

    Compose reads the model last. Before that, it starts and asks the engine who it is, which takes 80 ms, and on a
    slow line as long as four requests. `run` is the task in which the child lives.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.argv = argv
        self._env = env
        self._model = b""
        self._on_line: OnLine = lambda _: None
        self._on_error_line: OnLine = lambda _: None
        self._is_known, self._is_over = anyio.Event(), anyio.Event()
        self._done: process.Completed | None = None
        self._scope = anyio.CancelScope()

    async def run(self) -> None:
        """Run the child to its end; it ends if it gets no model in time."""
        self._scope.deadline = anyio.current_time() + PATIENCE
        try:
            with contextlib.suppress(EngineError), self._scope:
                self._done = await process.run(
                    self.argv,
                    stdin=self._wait,
                    env=self._env,
                    on_line=self._report,
                    on_error_line=self._report_error,
                )
        finally:
            self._is_over.set()

    async def finish(
        self, model: bytes, *, on_line: OnLine = lambda _: None, on_error_line: OnLine = lambda _: None
    ) -> process.Completed | None:
        """Give the child its model, and return its result once it has ended.

        None if it has ended without a model: then it has done nothing.
        """
        if self._is_over.is_set() or self._scope.cancel_called:
            return None
        self._model, self._on_line, self._on_error_line = model, on_line, on_error_line
        self._scope.deadline = math.inf
        self._is_known.set()
        try:
            await self._is_over.wait()
        finally:
            self._scope.cancel()
            with anyio.CancelScope(shield=True):
                await self._is_over.wait()
        return self._done

    async def _wait(self) -> bytes:
        await self._is_known.wait()
        return self._model

    def _report(self, line: str) -> None:
        self._on_line(line)

    def _report_error(self, line: str) -> None:
        self._on_error_line(line)


@dataclass(frozen=True, slots=True)
class Compose:
    """The Compose commands of one project: its name, its folder (absolute) and the dumped run model."""

    project: str
    directory: str
    model: bytes = field(repr=False)  # holds the values of env_files
    port_changes: Mapping[tuple[str, int], str] = field(default_factory=dict)  # see `Failures`

    def argv(self, verb: str, *args: str) -> list[str]:
        """The command line of a verb that expects the model on stdin."""
        return self._argv("-", verb, *args)

    def _argv(self, file: str, verb: str, *args: str) -> list[str]:
        head = ["docker", "compose", "-p", self.project, "--project-directory", self.directory, "-f", file]
        return [*head, verb, *args]

    def early(self, verb: str) -> EarlyCommand:
        """The verb, which is started before the model is known; this model is ignored."""
        return EarlyCommand(self.argv(verb, *_OPTIONS[verb]), _ENVIRONMENTS[verb])

    def exec_replace(self, verb: str, *args: str, env: Mapping[str, str] | None = None) -> NoReturn:
        """Replace this process by the verb, with the terminal and stdin as they are; `env` is added."""
        argv = self._argv(process.memfd_path(self.model), verb, *args)
        process.exec_replace(argv, {**_COMPOSE_BUILD_ENVIRONMENT, **(env or {})})

    async def build(
        self,
        services: Sequence[str] = (),
        on_line: OnLine = lambda _: None,
        early: EarlyCommand | None = None,
    ) -> None:
        """Build the images of `services`, or all images with a build section; `on_line` gets each line of progress.

        `early` builds all services of the model. Raises BuildError; EngineError if Compose or the engine is missing.
        """
        log = BuildLog(on_line)
        done = None if early is None else await early.finish(self.model, on_line=log.line)
        if done is None:
            argv = self.argv("build", *services)
            done = await process.run(argv, stdin=self.model, env=_ENVIRONMENTS["build"], on_line=log.line)
        if done.returncode:
            raise self.failures().of_build(log, done.error_text, services)

    async def create(
        self,
        services: Sequence[str] = (),
        *,
        force: bool = False,
        on_created: OnCreated = lambda *_: None,
        early: EarlyCommand | None = None,
    ) -> None:
        """Create containers, networks and volumes that are missing or changed; build and start nothing.

        `force` replaces unchanged containers too. `on_created` gets kind and name of each container and network that
        Compose reports as being created, also if the verb fails later. `early` creates all services of the model.
        """

        def report(line: str) -> None:
            if match := _CREATED.match(line):
                on_created(match["kind"].lower(), match["name"])

        if early is not None and (done := await early.finish(self.model, on_error_line=report)) is not None:
            self._require_success("create", done)
            return
        options = ["--force-recreate"] if force else []
        await self._run("create", *_OPTIONS["create"], *options, *services, on_error_line=report)

    async def start(self, services: Sequence[str] = ()) -> None:
        """Start created or stopped containers in the order of `depends_on`, each when its conditions are met."""
        await self._run("start", *services)

    async def _run(self, verb: str, *args: str, on_error_line: OnLine | None = None) -> None:
        argv = self.argv(verb, *args)
        done = await process.run(argv, stdin=self.model, env=_COMPOSE_ENVIRONMENT, on_error_line=on_error_line)
        self._require_success(verb, done)

    def _require_success(self, verb: str, done: process.Completed) -> None:
        if done.returncode:
            raise self.failures().of_verb(verb, done.error_text)

    def failures(self) -> Failures:
        """The reader of this project's failures."""
        text = self.model.replace(b'!!binary "', b'"')  # the only part of a dumped model that is not JSON
        return Failures(self.project, json.loads(text).get("services") or {}, self.port_changes)
