"""One state of a project's files, and what Compose is given of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import anyio

from devenv.compose import resolve, run_model
from devenv.compose.files import Place
from devenv.compose.resolve import Loaded
from devenv.compose.run_model import Choices, Found, PortChange
from devenv.docker.client import Engine
from devenv.docker.compose import Compose
from devenv.errors import ConfigError, EngineError, unknown
from devenv.host import listeners
from devenv.host import ports as checks
from devenv.host.free_ports import automatic
from devenv.host.ports import Wanted
from devenv.images.prepare import PreparedImages
from devenv.model.containers import ProjectState
from devenv.model.project import Condition, Project
from devenv.run.active.model_diff import shares
from devenv.run.active.phases import closure
from devenv.run.options import Options
from devenv.state.identity import Window


@dataclass(frozen=True)
class DesiredState:
    """The files as loaded, the services chosen of them, what was there, and how its images are had.

    A port that names no address is published on `addresses`, or everywhere where there are none. `auto`: devenv
    chose those of `ports` that the command line does not name, and containers are told of all. What is created is
    labelled for the `owner`, but for the services in `unmarked`, which do not become ours.
    """

    loaded: Loaded
    names: frozenset[str]
    found: Found = field(default_factory=Found)
    ports: tuple[PortChange, ...] = ()
    addresses: tuple[str, ...] = ()
    auto: bool = False
    supply: PreparedImages = field(default_factory=PreparedImages)
    owner: str = ""
    unmarked: frozenset[str] = frozenset()

    @property
    def project(self) -> Project:
        """The whole project."""
        return self.loaded.project

    @property
    def own(self) -> frozenset[str]:
        """The chosen services that nobody else runs."""
        return self.names - self.found.foreign_services

    @property
    def built(self) -> tuple[str, ...]:
        """Those of ours that have a build section."""
        return tuple(s.name for s in self.project.services if s.name in self.own and s.build is not None)

    @property
    def new_volumes(self) -> tuple[str, ...]:
        """Real names of the volumes that a create would make."""
        return tuple(v.name for v in self.project.volumes if not v.external and v.name not in self.found.volumes)

    @property
    def mounted(self) -> Mapping[str, tuple[str, ...]]:
        """Keys of the project's volumes -> those of our services that mount them."""
        found: dict[str, list[str]] = {}
        for service in self.project.services:
            for key in {m.source for m in service.volumes if m.type == "volume" and m.source}:
                if service.name in self.own:
                    found.setdefault(key, []).append(service.name)
        return {key: tuple(names) for key, names in found.items()}

    def image(self, service: str) -> str:
        """What the service's containers are made of; Compose names what it builds after project and service."""
        return str(self.services[service].get("image") or f"{self.project.name}-{service}")

    def with_volumes(self, names: Iterable[str]) -> DesiredState:
        """The stage with these volumes there."""
        return replace(self, found=replace(self.found, volumes=self.found.volumes | set(names)))

    def only(self, names: Iterable[str]) -> Project:
        """The project with these services alone."""
        chosen_ones = frozenset(names)
        return replace(self.project, services=tuple(s for s in self.project.services if s.name in chosen_ones))

    def wanted_ports(self, names: Collection[str]) -> tuple[Wanted, ...]:
        """The host ports that these services publish."""
        return checks.wanted_ports(self.project, names, self._changes, self.addresses)

    @property
    def _changes(self) -> Mapping[tuple[str, int], str]:
        return {(change.service, change.target): change.published for change in self.ports}

    @property
    def is_narrowed(self) -> bool:
        """Whether a port that plain Compose would publish everywhere is published on fewer addresses."""
        ports = (port for s in self.project.services if s.name in self.own for port in s.ports)
        return bool(self.addresses) and any(not port.host_ip for port in ports)

    @cached_property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """Our services as Compose gets them."""
        services: Mapping[str, Mapping[str, Any]] = self._model(self.own)["services"]
        return services

    @cached_property
    def compose(self) -> Compose:
        """Compose with all chosen services."""
        return self._compose(self.names)

    @cached_property
    def making(self) -> Compose:
        """Compose without what somebody else started: it would replace that where it differs."""
        return self._compose(self.own)

    def starting(self, names: Iterable[str], running: Iterable[str]) -> Compose:
        """Compose for a start of these: it would start what they need, too, and what has ended is to stay so."""
        needed = {*names, *running}
        needed |= {other for name in needed & self.services.keys() for other in shares(self.services[name])}
        return self._compose(self.own & needed)

    def window(self, project_state: ProjectState) -> Window:
        """What a Compose call may create now, of our services and the networks of the model."""
        model = self._model(self.own)
        names = {
            n: str(s.get("container_name") or "") for n, s in model["services"].items() if n not in self.unmarked
        }
        networks = (n or {} for n in (model.get("networks") or {}).values())
        return Window(
            project=self.project.name,
            owner=self.owner,
            before=frozenset([*(c.id for c in project_state.containers), *(n.id for n in project_state.networks)]),
            services=names,
            networks=frozenset(n["name"] for n in networks if "name" in n and not n.get("external")),
        )

    def renewed(self, service: str) -> DesiredState:
        """The stage in which the service, whose containers are replaced, has no label of devenv 0.1 any more."""
        return replace(self, found=replace(self.found, old_services=self.found.old_services - {service}))

    def _compose(self, names: frozenset[str]) -> Compose:
        given = {} if self.auto else {(port.service, port.target): port.published for port in self.ports}
        return Compose(self.project.name, self.project.directory, run_model.dump(self._model(names)), given)

    def _model(self, names: frozenset[str]) -> dict[str, Any]:
        told = checks.variables(self._changes) if self.auto else {}
        choices = Choices(
            addresses=self.addresses,
            environment={name: {**told, **self.supply.environment.get(name, {})} for name in names},
            images=self.supply.images,
            builds=self.supply.builds,
            ports=self.ports,
            owner=self.owner,
            unmarked=self.unmarked,
        )
        return run_model.run_model(self.loaded.model, found=self.found, choices=choices, services=names)


async def published(
    stage: DesiredState, options: Options, engine: Engine, project_state: ProjectState
) -> DesiredState:
    """The stage with its ports decided; those that devenv chose before, and that a container has, stay the same.

    Raises ConfigError, with the place of the second, for two services or containers on one host port.
    """
    setting, local = stage.project.settings.ports, engine.endpoint.local
    as_written = options.lan or setting == "as-written" or not local
    auto = options.auto_ports or setting == "auto"
    after = replace(
        stage,
        ports=options.ports + (await _automatic(stage, options, engine, project_state) if auto else ()),
        addresses=() if as_written else listeners.loopbacks(engine.kernel),
        auto=auto,
    )
    wanted = after.wanted_ports(after.names)
    if found := checks.clash(wanted):
        one, other = [(port, await _where(port, options)) for port in found]
        ports = {port.port for port in wanted}
        raise checks.clash_error(
            one, other, lambda port: listeners.free_port(port.ips, port.port, ports), options.ports
        )
    for port in after.wanted_ports(after.own):
        if (count := stage.project.service(port.service).scale) > 1:
            file, line = await _where(port, options)
            said = f"`{port.service}` has {count} containers, and only one of them can have the host port {port.port}"
            raise ConfigError(said, hint="Leave the host port out, and the engine chooses.", file=file, line=line)
    return after


async def require_checks(stage: DesiredState, options: Options, engine: Engine) -> None:
    """Returns where whoever is waited for until it is healthy has a health check, in the file or in its image.

    The images have to be there. Raises ConfigError at the line that waits; Compose says so once all others run.
    """
    for service in stage.project.services if stage.own else ():
        for needed in service.depends_on:
            waits = service.name in stage.own and needed.condition is Condition.HEALTHY and needed.required
            if waits and needed.service in stage.own and not await _is_checked(stage, needed.service, engine):
                path = ("services", service.name, "depends_on", needed.service)
                file, line = await anyio.to_thread.run_sync(resolve.where, options.selection, path)
                hint = f"Give {needed.service} a `healthcheck`, or wait with `condition: service_started`."
                said = f"`{service.name}` waits for `{needed.service}` to be healthy, and that has no health check"
                raise ConfigError(said, hint=hint, file=file, line=line)


async def _is_checked(stage: DesiredState, name: str, engine: Engine) -> bool:
    if stage.project.service(name).has_healthcheck:
        return True
    written = stage.services[name].get("healthcheck") or {}
    if written.get("disable") or "test" in written:  # it is turned off
        return False
    try:
        config = (await engine.images.inspect(stage.image(name))).get("Config") or {}
    except EngineError:
        return True  # who makes the container says more of that
    test = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    return bool(test[0] != "NONE")


async def _where(port: Wanted, options: Options) -> Place:
    written = (port.service, port.port, port.target)
    return await anyio.to_thread.run_sync(resolve.where_port, options.selection, *written)


async def _automatic(
    stage: DesiredState, options: Options, engine: Engine, project_state: ProjectState
) -> tuple[PortChange, ...]:
    project = stage.project
    known = {(c.service, target): host for c in project_state.containers for _, host, target in c.ports}
    known |= {(c.service, c.target): int(c.published) for c in stage.ports if stage.auto}
    known = {place: host for place, host in known.items() if checks.is_chosen(host)}
    fixed = {(c.service, c.target) for c in options.ports}
    services = [s for s in project.services if s.scale == 1 and s.name not in stage.found.foreign_services]
    places = [(s.name, port.target) for s in services for port in s.ports if (s.name, port.target) not in fixed]
    seed = f"{project.directory}\0{project.name}"
    found = await automatic(dict.fromkeys(places), seed=seed, known=known, engine=engine)
    return tuple(PortChange(service, str(host), target) for (service, target), host in found.items())


def chosen(project: Project, wanted: Iterable[str]) -> frozenset[str]:
    """The services asked for (all where none is), and what they need. Raises UsageError for an unknown one."""
    try:
        return closure(project, wanted)
    except KeyError as error:
        raise unknown("service", error.args[0], [service.name for service in project.services]) from None


async def look(engine: Engine, project_state: ProjectState) -> Found:
    """What is there, of this project and of all others."""
    networks, times = await engine.networks.names(), await engine.volumes.times()
    return Found(
        foreign_services=frozenset(c.service for c in project_state.containers if not c.ours),
        networks=networks,
        volumes=frozenset(times),
        old_services=frozenset(c.service for c in project_state.containers if c.ours and c.is_old),
        times=times,
    )
