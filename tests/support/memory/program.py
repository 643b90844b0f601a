"""`docker compose` in memory: each verb as requests to an engine, one after the other, and the lines that it prints.

A verb is a generator: it yields the text of a request before it makes it, or None while it waits for something.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from support.memory import model as names
from support.memory import verbs
from support.memory.host import Container, MemoryHost
from support.memory.model import Model, Resource, Service, anonymous_targets, seconds
from support.memory.refusal import Refused

Steps = Generator[str | None, None, None]
Say = Callable[[str], object]


class Failed(Exception):  # noqa: N818 - how a verb of Compose ends
    """The verb ends with exit code 1; the text is its last line."""


@dataclass(frozen=True)
class Program:
    """The verbs, of one project on one engine; `say` gets each line of standard error."""

    host: MemoryHost
    model: Model
    say: Say

    def run(self, verb: Callable[[], Steps]) -> Generator[str | None, None, int]:
        """The verb's requests; a failure becomes the last line. The generator returns the exit code."""
        try:
            yield from verb()
        except Failed as error:
            self.say(str(error))
            return 1
        except Refused as error:
            self.say(f"Error response from daemon: {error.reason}")
            return 1
        return 0

    def only(self, services: Iterable[str]) -> Program:
        """The program for these services and what they need. Raises Failed."""
        try:
            return replace(self, model=self.model.only(services))
        except KeyError as error:
            raise Failed(f"no such service: {error.args[0]}") from None

    # --- create ---------------------------------------------------------------------------------------------

    def create(self, services: Iterable[str] = (), *, force: bool = False) -> Steps:
        """Create networks, volumes and containers that are missing or changed."""
        yield from self.only(services).converge(force=force)

    def converge(self, *, force: bool) -> Steps:
        """Create as `create` does, for all services of the model."""
        for service in self.model.in_order():
            self._require_image(service)
        for network in self.model.networks.values():
            yield from self._network(network)
        for volume in self.model.volumes.values():
            yield from self._volume(volume)
        forced = {*(self.model.named or self.model.services)} if force else set[str]()
        for service in self.model.in_order():
            if (yield from self._converge(service, forced=service.name in forced)):
                forced |= {s.name for s in self.model.services.values() if service.name in s.depends_on}

    def _require_image(self, service: Service) -> None:
        try:
            self.host.image(service.image)
        except Refused as error:
            raise Failed(f"Error response from daemon: {error.reason}") from None

    def _network(self, wanted: Resource) -> Steps:
        there = next((n for n in self.host.networks.values() if n.name == wanted.name), None)
        if there is not None:
            return
        if wanted.is_external:
            raise Failed(f"network {wanted.name} not found")
        self.say(f" Network {wanted.name}  Creating")
        yield f"compose POST networks/create {wanted.name}"
        own = {names.PROJECT: self.model.project, names.NETWORK: wanted.key, names.VERSIONED: names.VERSION}
        verbs.create_network(self.host, {"Name": wanted.name, "Labels": {**wanted.labels, **own}})
        self.say(f" Network {wanted.name}  Created")

    def _volume(self, wanted: Resource) -> Steps:
        there = self.host.volumes.get(wanted.name)
        if there is None and wanted.is_external:
            raise Failed(f'external volume "{wanted.name}" not found')
        if there is not None:
            whose = (there.labels or {}).get(names.PROJECT)
            if not wanted.is_external and whose != self.model.project:
                how = f'for project "{whose}"' if whose else "by Docker Compose"
                way = "Use `external: true` to use an existing volume"
                self.say(f'time="0" level=warning msg="volume "{wanted.name}" already exists but not {how}. {way}"')
            return
        self.say(f' Volume "{wanted.name}"  Creating')
        yield f"compose POST volumes/create {wanted.name}"
        own = {names.PROJECT: self.model.project, names.VOLUME: wanted.key, names.VERSIONED: names.VERSION}
        wish = {"Name": wanted.name, "Labels": {**wanted.labels, **own}, "Driver": wanted.written.get("driver")}
        verbs.create_volume(self.host, {**wish, "DriverOpts": wanted.written.get("driver_opts")})
        self.say(f' Volume "{wanted.name}"  Created')

    def containers(self, service: str | None = None, *, one_off: bool | None = False) -> list[Container]:
        """The project's containers by the labels of Compose, of this and any other creator."""
        wanted = [f"{names.PROJECT}={self.model.project}", names.HASH]
        wanted += [] if service is None else [f"{names.SERVICE}={service}"]
        wanted += [] if one_off is None else [f"{names.ONE_OFF}={one_off}"]
        return [*self.host.labelled(self.host.containers.values(), wanted)]

    def _converge(self, service: Service, *, forced: bool) -> Generator[str | None, None, bool]:
        """Create, recreate or remove the service's containers; return if one was recreated."""
        image = self.host.image(service.image).id

        def differs(container: Container) -> bool:
            return (
                forced
                or container.labels.get(names.HASH) != service.hash
                or container.labels.get(names.IMAGE) != image
            )

        there = _sorted(self.containers(service.name), differs)
        recreated = False
        for container in there[service.scale :]:
            yield from self._end(container)
        for container in there[: service.scale]:
            if differs(container):
                yield from self._recreate(service, container, image)
                recreated = True
            elif container.state == "running":
                self.say(f" Container {container.name}  Running")
            elif container.state not in ("created", "restarting", "exited"):
                yield from self._begin(container)
        highest = max(map(_number, there), default=0)
        for number in range(highest + 1, highest + 1 + service.scale - len(there)):
            name = service.container_name(number)
            self.say(f" Container {name}  Creating")
            yield f"compose POST containers/create {name}"
            verbs.create(self.host, self.wish(service, number, image), name)
            self.say(f" Container {name}  Created")
        return recreated

    def _recreate(self, service: Service, old: Container, image: str) -> Steps:
        """Create a container beside the old one, remove the old one, and take its name."""
        name, passing = service.container_name(_number(old)), f"{old.id[:12]}_{service.container_name(_number(old))}"
        self.say(f" Container {old.name}  Recreate")
        yield f"compose POST containers/create {passing}"
        new = verbs.create(self.host, self.wish(service, _number(old), image, old), passing)
        if old.running:
            yield f"compose POST containers/{old.name}/stop"
            verbs.stop(self.host, self.host.container(old.id))
        yield f"compose DELETE containers/{old.name}"
        verbs.remove(self.host, self.host.container(old.id))
        yield f"compose POST containers/{passing}/rename {name}"
        verbs.rename(self.host, self.host.container(new.id), name)
        self.say(f" Container {old.name}  Recreated")

    def wish(self, service: Service, number: int, image: str, old: Container | None = None) -> dict[str, Any]:
        """ContainerCreate for a container of the service, which replaces `old`."""
        written = service.written
        labels = {
            **service.labels,
            names.PROJECT: self.model.project,
            names.SERVICE: service.name,
            names.VERSIONED: names.VERSION,
            names.ONE_OFF: "False",
            names.NUMBER: str(number),
            names.HASH: service.hash,
            names.IMAGE: image,
            names.DEPENDS: ",".join(
                f"{name}:{how.get('condition')}:{str(bool(how.get('restart'))).lower()}"
                for name, how in service.depends_on.items()
            ),
            names.FOLDER: self.model.directory,
            names.FILES: "-",
        } | ({names.REPLACE: old.id} if old else {})
        networks = self.model.network_names(service)
        return {
            "Image": service.image,
            "Cmd": _words(written.get("command")),
            "Entrypoint": _words(written.get("entrypoint")),
            "Env": [f"{key}={value}" for key, value in (written.get("environment") or {}).items()],
            "User": str(written.get("user") or ""),
            "Tty": bool(written.get("tty")),
            "StopTimeout": seconds(written["stop_grace_period"]) if written.get("stop_grace_period") else None,
            "Healthcheck": _healthcheck(written.get("healthcheck")),
            "Labels": labels,
            "HostConfig": {
                "NetworkMode": networks[0] if networks else str(written.get("network_mode") or "none"),
                "Mounts": self.model.mounts(service, self._inherited(service, old)),
                "PortBindings": _bindings(written.get("ports") or ()),
                "RestartPolicy": {"Name": str(written.get("restart") or "no").partition(":")[0]},
            },
            "NetworkingConfig": {"EndpointsConfig": dict.fromkeys(networks)},
        }

    def _inherited(self, service: Service, old: Container | None) -> dict[str, str]:
        image = self.host.image(service.image)
        targets = {*anonymous_targets(service), *image.volumes}
        return {m.target: m.source for m in (old.mounts if old else ()) if m.kind == "volume" and m.target in targets}

    # --- start ----------------------------------------------------------------------------------------------

    def start(self, services: Iterable[str] = ()) -> Steps:
        """Start the containers that do not run, each service after its dependencies."""
        some = self.only(services)
        for service in some.model.in_order():
            yield from some._start(service)

    def _start(self, service: Service) -> Steps:
        if not service.scale:
            return
        for name, how in service.depends_on.items():
            if name in self.model.services:
                yield from self._await(name, str(how.get("condition") or "service_started"))
        if not self.containers():
            raise Failed(f'service "{service.name}" has no container to start')
        for container in sorted(self.containers(service.name), key=_number):
            if container.state != "running":
                yield from self._begin(container)

    def _begin(self, container: Container) -> Steps:
        self.say(f" Container {container.name}  Starting")
        yield f"compose POST containers/{container.name}/start"
        if container.state == "paused":
            verbs.unpause(self.host, container)
        else:
            verbs.start(self.host, self.host.container(container.id))
        self.say(f" Container {container.name}  Started")

    def _await(self, name: str, condition: str) -> Steps:
        if condition == "service_started":
            return
        for container in self.containers(name):
            self.say(f" Container {container.name}  Waiting")
            while not self._has(container, condition):
                yield None
            self.say(f" Container {container.name}  {'Healthy' if condition == 'service_healthy' else 'Exited'}")

    def _has(self, container: Container, condition: str) -> bool:
        """Whether the condition is met. Raises Failed if it never will be."""
        if condition == "service_healthy":
            if container.health == "unhealthy" or (container.state == "exited" and container.started):
                self.say(f" Container {container.name}  Error")
                how = "is unhealthy" if container.health == "unhealthy" else f"exited ({container.exit_code})"
                raise Failed(f"dependency failed to start: container {container.name} {how}")
            return container.health == "healthy"
        if container.state == "exited" and container.started and container.exit_code:
            service = container.labels[names.SERVICE]
            raise Failed(f'service "{service}" didn\'t complete successfully: exit {container.exit_code}')
        return container.state == "exited" and bool(container.started)

    # --- the way down ---------------------------------------------------------------------------------------

    def _end(self, container: Container, *, volumes: bool = False) -> Steps:
        if container.running:
            self.say(f" Container {container.name}  Stopping")
            yield f"compose POST containers/{container.name}/stop"
            verbs.stop(self.host, container)
            self.say(f" Container {container.name}  Stopped")
        self.say(f" Container {container.name}  Removing")
        yield f"compose DELETE containers/{container.name}"
        if container.id in self.host.containers:
            verbs.remove(self.host, container, force=True, volumes=volumes)
        self.say(f" Container {container.name}  Removed")

    def stop(self, services: Iterable[str] = ()) -> Steps:
        """Stop the containers of these services, or of all; their dependencies keep running."""
        chosen = {*services} or {*self.model.services}
        for service in reversed(self.model.in_order()):
            for container in self.containers(service.name) if service.name in chosen else ():
                if container.running:
                    yield f"compose POST containers/{container.name}/stop"
                    verbs.stop(self.host, container)

    def down(self, *, volumes: bool = False) -> Steps:
        """Remove the project without volumes and one-off containers; with `volumes`, unused volumes, too."""
        for service in reversed(self.model.in_order()):
            for container in self.containers(service.name):
                yield from self._end(container, volumes=volumes)
        for network in self.model.networks.values():
            there = next((n for n in self.host.networks.values() if n.name == network.name), None)
            if (
                there is not None
                and not network.is_external
                and there.labels.get(names.PROJECT) == self.model.project
            ):
                self.say(f" Network {network.name}  Removing")
                yield f"compose DELETE networks/{network.name}"
                yield from self._unless_used(
                    partial(verbs.remove_network, self.host, there), f"Network {network.name}"
                )
        for volume in self.model.volumes.values() if volumes else ():
            if volume.name in self.host.volumes and not volume.is_external:
                self.say(f" Volume {volume.name}  Removing")
                yield f"compose DELETE volumes/{volume.name}"
                yield from self._unless_used(
                    partial(verbs.remove_volume, self.host, volume.name), f"Volume {volume.name}"
                )

    def _unless_used(self, removal: Callable[[], None], removed: str) -> Steps:
        try:
            removal()
        except Refused as error:
            if error.status not in (403, 409):
                raise
            self.say(f" {removed}  Resource is still in use")
        else:
            self.say(f" {removed}  Removed")
        yield from ()


def _sorted(containers: Iterable[Container], differs: Callable[[Container], bool]) -> list[Container]:
    """Sort as Compose 2.26 does, which keeps the first ones: those that differ first, which is a bug.

    Its comparison is no order, so the steps of its sort count: insertion, from a list that has the newest first.
    """
    there = sorted(containers, key=lambda c: -c.created)
    for end in range(1, len(there)):
        for at in range(end, 0, -1):
            later, earlier = there[at], there[at - 1]
            if not (differs(later) or (not differs(earlier) and _number(later) < _number(earlier))):
                break
            there[at - 1], there[at] = later, earlier
    return there


def _number(container: Container) -> int:
    text = container.labels.get(names.NUMBER, "")
    return int(text) if text.isdecimal() else 0


def _words(written: Any) -> list[str] | None:
    if written is None:
        return None
    return written.split() if isinstance(written, str) else [str(word) for word in written]


def _healthcheck(written: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not written:
        return None
    if written.get("disable"):
        return {"Test": ["NONE"]}
    test = written.get("test")
    return {"Test": ["CMD-SHELL", test] if isinstance(test, str) else test} if test else None


def _bindings(ports: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
    bindings_: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        target = f"{port['target']}/{port.get('protocol') or 'tcp'}"
        binding = {"HostIp": str(port.get("host_ip") or ""), "HostPort": str(port.get("published") or "")}
        bindings_.setdefault(target, []).append(binding)
    return bindings_
