"""Random commands of devenv's Compose, plain Compose and others: the in-memory engine ends like the real one."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from devenv.docker.cli import Compose
from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError
from devenv.model.containers import OWNER_LABEL, PROJECT_LABEL
from support.docker_cli import DockerError
from support.engine import BASE_IMAGE, ComposeError, MemoryHost, PlainCompose, PlainDocker, Refused, pair
from support.plain_docker import DockerVerbs, PlainVerbs, RealCompose, RealDocker
from support.stack import unique_name

pytestmark = pytest.mark.anyio

STEPS = 25
IDLE = ["sleep", "1000"]
VOLUMES = [{"type": "volume", "source": "data", "target": "/data"}, {"type": "volume", "target": "/anonymous"}]
Verb = Callable[[], Awaitable[object] | object]


@dataclass
class World:
    """One of the two pairs."""

    engine: Engine
    new_compose: Callable[..., Compose]
    docker: DockerVerbs
    new_plain: Callable[[dict[str, Any]], PlainVerbs]
    project: str
    outcomes: list[str] = field(default_factory=list)
    anonymous: set[str] = field(default_factory=set)
    words: str = ""

    async def does(self, verb: Callable[[World], Awaitable[object]]) -> None:
        """Run the verb; return its result."""
        try:
            await verb(self)
        except (DevenvError, DockerError, ComposeError, Refused) as error:
            self.words = str(error)
            absent = isinstance(error, CallError) and error.absent
            self.outcomes.append("absent" if absent else "refused")
        else:
            self.words = ""
            self.outcomes.append("done")

    def compose(self, model: dict[str, Any]) -> Compose:
        """Compose as devenv runs it."""
        return self.new_compose(self.project, "/", json.dumps(model).encode())

    async def seen(self) -> dict[str, Any]:
        """The state, without what differs between engines."""
        listed = await self.engine.ask("containers/json", "listing", list, {"all": "1"})
        ids = [c["Id"] for c in listed if self.project in f"{c['Names']}{c['Labels'].get(PROJECT_LABEL)}"]
        containers = [c for c in [await self.engine.containers.inspect(key) for key in ids] if c is not None]
        networks, volumes = await self.engine.networks.names(), await self.engine.volumes.times()
        self.anonymous |= {v for c in containers for v in c.volumes if not v.startswith(self.project)}
        return {
            "containers": sorted(
                (
                    re.sub(r"^[0-9a-f]{12}_|-run-[0-9a-f]+$", "~", c.name),
                    c.state,
                    c.service,
                    c.number,
                    c.owner,
                    c.inherits,
                    sorted(v if v.startswith(self.project) else "anonymous" for v in c.volumes),
                )
                for c in containers
            ),
            "networks": sorted(n for n in networks if n.startswith(self.project)),
            "volumes": sorted(v for v in volumes if v.startswith(self.project)),
        }


class Script:
    """Random verbs, the same for the same seed."""

    def __init__(self, seed: int, project: str) -> None:
        self._random = random.Random(seed)
        self._project = project
        self._count = 0
        self.is_ordered = True

    def model(self, owner: str = "") -> dict[str, Any]:
        """A random model."""
        pick = self._random
        idle = {"image": BASE_IMAGE, "command": IDLE, "stop_grace_period": "0s", "networks": {"default": None}}
        labels = {"labels": {OWNER_LABEL: owner}} if owner else {}
        needs = {"depends_on": {"db": {"condition": "service_started", "required": True}}}
        change = {"environment": {"A": str(pick.randrange(2))}}
        web = {
            **idle,
            **labels,
            **(needs if pick.random() < 0.7 else {}),
            "volumes": VOLUMES,
        }
        db = {**idle, **labels, **change, "scale": 2}  # the order of equal services is random in Compose
        return {
            "name": self._project,
            "services": {"web": web, "db": db},
            "networks": {"default": {"name": f"{self._project}_default"}},
            "volumes": {"data": {"name": f"{self._project}_data"}},
        }

    def verb(self) -> tuple[str, Callable[[World], Awaitable[object]]]:
        """The next verb and its description."""
        pick, p = self._random, self._project
        model, own = self.model(), self.model("me")
        self.is_ordered = all("depends_on" in m["services"]["web"] for m in (model, own))
        some = pick.choice([(), ("web",), ("db",)])
        force, volumes = pick.random() < 0.3, pick.random() < 0.5
        name = pick.choice([f"{p}-web-1", f"{p}-db-1", f"{p}-web-2", f"{p}-copy"])
        self._count += 1
        new = f"{p}-new{self._count}"

        async def remove(world: World) -> None:
            if (container_id := await self._id(world, name)) is not None:
                await world.engine.containers.remove(container_id)

        async def stop(world: World) -> None:
            for container in (await world.engine.project_state(p)).containers:
                if container.name == name:
                    await world.engine.containers.stop(container, grace=0)

        async def copy(world: World) -> None:
            world.docker.commit(name, f"{p}-copy:1")
            world.docker.run(f"{p}-copy:1", *IDLE, name=f"{p}-copy")

        async def network(world: World) -> None:
            for network in (await world.engine.project_state(p)).networks:
                await world.engine.networks.remove(network.id)

        def at_once(act: Callable[[World], object]) -> Callable[[World], Awaitable[object]]:
            async def done(world: World) -> object:
                return act(world)

            return done

        verbs: list[tuple[int, str, Callable[[World], Awaitable[object]]]] = [
            (6, f"create {some} {force=}", lambda w: w.compose(own).create(some, force=force)),
            (4, f"start {some}", lambda w: w.compose(own).start(some)),
            (3, f"plain up {some}", at_once(lambda w: w.new_plain(model).up(*some))),
            (1, f"plain stop {some}", at_once(lambda w: w.new_plain(model).stop(*some))),
            (1, f"plain down {volumes=}", at_once(lambda w: w.new_plain(model).down(volumes=volumes))),
            (1, "plain run", at_once(lambda w: w.new_plain(model).run("db", "sleep", "1000"))),
            (2, f"remove {name}", remove),
            (2, f"stop {name}", stop),
            (1, f"docker rm {name}", at_once(lambda w: w.docker.remove(name, force=force, volumes=volumes))),
            (1, f"docker rename {name} {new}", at_once(lambda w: w.docker.rename(name, new))),
            (2, f"commit and run {name}", copy),
            (1, "docker volume rm", at_once(lambda w: w.docker.remove_volume(f"{p}_data"))),
            (1, "remove volume", lambda w: w.engine.volumes.remove(f"{p}_data")),
            (1, "remove network", network),
            (1, "docker run", at_once(lambda w: w.docker.run(BASE_IMAGE, *IDLE, name=new, volumes=[f"{p}_data:/d"]))),
        ]
        weights = [weight for weight, _, _ in verbs]
        ((_, description, verb),) = pick.choices(verbs, weights)
        return description, verb

    async def _id(self, world: World, name: str) -> str | None:
        listed = await world.engine.ask("containers/json", "listing", list, {"all": "1"})
        return next((c["Id"] for c in listed if f"/{name}" in c["Names"]), None)


@pytest.mark.engine
@pytest.mark.long
@pytest.mark.parametrize("seed", [int(s) for s in os.environ.get("DEVENV_TEST_SEED", "1 2 3 4").split()])
async def test_random_commands_end_alike_in_memory_and_on_the_engine(base_image: str, seed: int) -> None:
    project = unique_name(f"random-{seed}")
    host = MemoryHost(seed=seed)
    engine, compose = pair(host)
    script, history = Script(seed, project), list[str]()
    async with Engine.connect() as real:
        worlds = (
            World(engine, compose, PlainDocker(host), lambda m: PlainCompose(host, project, "/", m), project),
            World(real, Compose, RealDocker(), lambda m: RealCompose(project, "/", m), project),
        )
        try:
            for _ in range(STEPS):
                text, verb = script.verb()
                history.append(text)
                for world in worlds:
                    await world.does(verb)
                in_memory, on_engine = [(await world.seen(), world.outcomes[-1]) for world in worlds]
                is_random = not script.is_ordered and all("Recreate" in world.words for world in worlds)
                if is_random and in_memory != on_engine:
                    break  # Compose works on both services at once: what it reached before the refusal is random
                assert in_memory == on_engine, "\n".join([*history, *(world.words for world in worlds)])
        finally:
            await removed(real, project, worlds[1].anonymous)


async def removed(engine: Engine, project: str, anonymous: set[str]) -> None:
    """Remove everything of the pair."""
    listed = await engine.ask("containers/json", "listing", list, {"all": "1"})
    for entry in listed:
        if project in f"{entry['Names']}{entry['Labels'].get(PROJECT_LABEL)}":
            await engine.containers.remove(entry["Id"])
    networks, volumes = await engine.networks.names(), await engine.volumes.times()
    for name in networks:
        if name.startswith(project):
            await engine.networks.remove(name)
    for name in volumes:
        if name.startswith(project) or name in anonymous:
            await engine.volumes.remove(name)
    with contextlib.suppress(EngineError):  # on a busy engine an image takes its time
        await engine.images.remove(f"{project}-copy:1")
