"""The verbs of `docker compose` that `up` runs; each gets the run model on stdin."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from devenv.docker import process
from devenv.docker.compose_failures import BuildLog, Failures
from devenv.docker.process import OnLine

OnMade = Callable[[str, str], object]  # kind and name, as Compose reports them

# Variables that the user's shell sets for Compose are for the user's own calls. The run model is resolved already,
# and a model restricted to some services must not turn the others into orphans.
_ENVIRONMENT = {
    "COMPOSE_ANSI": "never",
    "COMPOSE_FILE": "",
    "COMPOSE_IGNORE_ORPHANS": "1",
    "COMPOSE_MENU": "0",
    "COMPOSE_PROFILES": "*",  # the services of the model are selected already
    "COMPOSE_PROGRESS": "plain",
    "COMPOSE_REMOVE_ORPHANS": "0",
}
_BUILD_ENVIRONMENT = _ENVIRONMENT | {
    "BUILDKIT_NO_CLIENT_TOKEN": "1",  # the engine reaches registries by its proxy and mirrors; we may not
    "BUILDKIT_PROGRESS": "plain",  # older versions of Buildx do not print rawjson line by line
    "DOCKER_BUILDKIT": "1",
}
_CREATED = re.compile(r"\s*(?P<kind>Container|Network) (?P<name>\S+)\s+(?:Creat|Recreat)(?:e|ed|ing)\s*\Z")


@dataclass(frozen=True, slots=True)
class Compose:
    """The verbs of one project: its name, its folder (absolute) and the dumped run model."""

    project: str
    directory: str
    model: bytes = field(repr=False)  # it has the values of env_files
    given: Mapping[tuple[str, int], str] = field(default_factory=dict)  # see `Failures`

    def argv(self, verb: str, *args: str) -> list[str]:
        """The command line of a verb that expects the model on stdin."""
        return self._argv("-", verb, *args)

    def _argv(self, file: str, verb: str, *args: str) -> list[str]:
        head = ["docker", "compose", "-p", self.project, "--project-directory", self.directory, "-f", file]
        return [*head, verb, *args]

    def exec_replace(self, verb: str, *args: str) -> NoReturn:
        """Replace our own process by the verb, with the terminal and stdin as they are."""
        process.exec_replace(self._argv(process.memfd_path(self.model), verb, *args), _BUILD_ENVIRONMENT)

    async def build(self, services: Sequence[str] = (), on_line: OnLine = lambda _: None) -> None:
        """Build the images of `services`, or of all with a build section; `on_line` gets each line of progress.

        Raises ConfigError for a wrong Dockerfile or context, else BuildError.
        """
        log = BuildLog(on_line)
        argv = self.argv("build", *services)
        done = await process.run(argv, stdin=self.model, env=_BUILD_ENVIRONMENT, on_line=log.line)
        if done.returncode:
            raise self.failures().of_build(log, done.error_text, services)

    async def create(
        self, services: Sequence[str] = (), *, force: bool = False, on_made: OnMade = lambda *_: None
    ) -> None:
        """Create containers, networks and volumes that are missing or changed; nothing is built, nothing runs.

        `force` replaces containers even if nothing changed. `on_made` gets kind and name of each container and
        network that Compose reports as being created, also if the verb fails later.
        """

        def report(line: str) -> None:
            if match := _CREATED.match(line):
                on_made(match["kind"].lower(), match["name"])

        options = ["--force-recreate"] if force else []
        await self._run("create", "--no-build", *options, *services, on_error_line=report)

    async def start(self, services: Sequence[str] = ()) -> None:
        """Start created or stopped containers in the order of `depends_on`, each when its conditions are met."""
        await self._run("start", *services)

    async def _run(self, verb: str, *args: str, on_error_line: OnLine | None = None) -> None:
        argv = self.argv(verb, *args)
        done = await process.run(argv, stdin=self.model, env=_ENVIRONMENT, on_error_line=on_error_line)
        if done.returncode:
            raise self.failures().of_verb(verb, done.error_text)

    def failures(self) -> Failures:
        """The reader of failures of this project."""
        text = self.model.replace(b'!!binary "', b'"')  # the only part of a dumped model that is not JSON
        return Failures(self.project, self.directory, json.loads(text).get("services") or {}, self.given)
