"""The desired state of a project on the engine, and the model that Compose gets for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from typing import Any

import anyio
from anyio.abc import TaskGroup

from devenv.compose import resolve, run_model
from devenv.compose.files import Place
from devenv.compose.positions import port_place
from devenv.compose.resolve import Loaded
from devenv.compose.run_model import Choices, Existing, PortChange
from devenv.docker.cli import Compose, EarlyCommand
from devenv.docker.client import Engine
from devenv.errors import ConfigError, EngineError, unknown
from devenv.events import Emit
from devenv.host import listeners
from devenv.host import ports as host_ports
from devenv.host.listeners import automatic
from devenv.host.ports import WantedPort
from devenv.images import prepare
from devenv.images.early_builds import EarlyBuilds
from devenv.images.prepare import PreparedImages
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import ProjectState
from devenv.model.images import ImageOptions
from devenv.model.project import Condition, Project
from devenv.run.active.model_diff import shares
from devenv.run.active.phases import closure
from devenv.run.preload import UpOptions
from devenv.state.identity import Window
from devenv.tasks import each


@dataclass(frozen=True)
class DesiredState:
    """The project as loaded, the names of the chosen services, what exists already, ports and images."""

    loaded: Loaded
    names: frozenset[str]
    existing: Existing = field(default_factory=Existing)
    ports: tuple[PortChange, ...] = ()
    addresses: tuple[str, ...] = ()  # for ports without an address; empty: all addresses
    auto: bool = False  # devenv chose ports, and containers get all of them as variables
    supply: PreparedImages = field(default_factory=PreparedImages)
    owner: str = ""  # the label of what is created
    unmarked: frozenset[str] = frozenset()  # services that do not get the label
    folders: tuple[str, ...] = ()  # sources of bind mounts that do not exist yet

    @property
    def project(self) -> Project:
        """The whole project."""
        return self.loaded.project

    @property
    def own(self) -> frozenset[str]:
        """The chosen services that no one else runs."""
        return self.names - self.existing.foreign_services

    @property
    def built(self) -> tuple[str, ...]:
        """Our services that have a build section."""
        return tuple(s.name for s in self.project.services if s.name in self.own and s.build is not None)

    @property
    def mounted(self) -> Mapping[str, tuple[str, ...]]:
        """For each volume key, our services that mount the volume."""
        users: dict[str, list[str]] = {}
        for service in self.project.services:
            for key in {m.source for m in service.volumes if m.type == "volume" and m.source}:
                if service.name in self.own:
                    users.setdefault(key, []).append(service.name)
        return {key: tuple(names) for key, names in users.items()}

    def image(self, service: str) -> str:
        """The image of the service's containers; Compose names a built image after project and service."""
        return str(self.services[service].get("image") or f"{self.project.name}-{service}")

    def only(self, names: Iterable[str]) -> Project:
        """The project with only these services."""
        selected = frozenset(names)
        return replace(self.project, services=tuple(s for s in self.project.services if s.name in selected))

    def wanted_ports(self, names: Collection[str]) -> tuple[WantedPort, ...]:
        """The host ports that these services publish."""
        return host_ports.wanted_ports(self.project, names, self._published, self.addresses)

    @property
    def _published(self) -> dict[tuple[str, int], str]:
        return {(change.service, change.target): change.published for change in self.ports}

    @property
    def is_narrowed(self) -> bool:
        """Whether a port that plain Compose would publish everywhere is published on fewer addresses."""
        ports = (port for s in self.project.services if s.name in self.own for port in s.ports)
        return bool(self.addresses) and any(not port.host_ip for port in ports)

    @cached_property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """Our services in the model that Compose gets."""
        services: Mapping[str, Mapping[str, Any]] = self.model_of(self.own)["services"]
        return services

    @cached_property
    def compose(self) -> Compose:
        """Compose for all chosen services."""
        return self.compose_of(self.names)

    @cached_property
    def making(self) -> Compose:
        """Compose for our services only: for all services, it would replace differing containers of others."""
        return self.compose_of(self.own)

    def starting(self, names: Iterable[str]) -> frozenset[str]:
        """Our services to start with these: also those whose namespaces they share, but no other dependencies."""
        named = {*names}
        named |= {other for name in named & self.services.keys() for other in shares(self.services[name])}
        return self.own & named

    def window(self, project_state: ProjectState) -> Window:
        """What a Compose call may create now: containers of our services, and networks of the model."""
        model = self.model_of(self.own)
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
        """The desired state after the service's containers with labels of devenv 0.1 are replaced."""
        return replace(self, existing=replace(self.existing, old_services=self.existing.old_services - {service}))

    def compose_of(self, names: Collection[str]) -> Compose:
        """Compose for these services."""
        published = {} if self.auto else self._published
        return Compose(self.project.name, self.project.directory, run_model.dump(self.model_of(names)), published)

    def model_of(self, names: Collection[str]) -> dict[str, Any]:
        """The model that Compose gets, with these services."""
        variables = host_ports.variables(self._published) if self.auto else {}
        choices = Choices(
            addresses=self.addresses,
            environment={name: {**variables, **self.supply.environment.get(name, {})} for name in names},
            images=self.supply.images,
            builds=self.supply.builds,
            ports=self.ports,
            owner=self.owner,
            unmarked=self.unmarked,
        )
        return run_model.run_model(self.loaded.model, existing=self.existing, choices=choices, services=names)


async def with_ports(
    desired: DesiredState, options: UpOptions, engine: Engine, project_state: ProjectState
) -> DesiredState:
    """The desired state with its ports. Ports chosen by devenv that a container already has stay the same.

    Raises ConfigError, at the second place, if two services or two containers publish the same host port.
    """
    setting, local = desired.project.settings.ports, engine.endpoint.has_ports
    as_written = options.lan or setting == "as-written" or not local
    auto = options.auto_ports or setting == "auto"
    after = replace(
        desired,
        ports=options.ports + (await _automatic(desired, options, engine, project_state) if auto else ()),
        addresses=() if as_written else listeners.published_on(engine),
        auto=auto,
    )
    wanted = after.wanted_ports(after.names)
    if clash := host_ports.clash(wanted):
        first, second = [(port, await _where(port, options)) for port in clash]
        ports = {port.port for port in wanted}
        raise host_ports.clash_error(
            first, second, lambda port: listeners.free_port(port.ips, port.port, ports), options.ports
        )
    for port in after.wanted_ports(after.own):
        if (count := desired.project.service(port.service).scale) > 1:
            file, line = await _where(port, options)
            message = f"`{port.service}` has {count} containers, but only one can have the host port {port.port}"
            raise ConfigError(message, hint="Leave the host port out, and the engine chooses.", file=file, line=line)
    return after


async def supplied(
    engine: Engine,
    desired: DesiredState,
    names: Iterable[str],
    options: ImageOptions,
    emit: Emit,
    early: EarlyBuilds | None = None,
) -> DesiredState:
    """The desired state with every image that these services and their Dockerfiles need: present, pulled or made."""
    prepared = await prepare.prepare_images(
        engine, desired.only(names), options, emit, reported=desired.supply.reported, early=early
    )
    return replace(desired, supply=prepared.merged_over(desired.supply))


def early_builds(desired: DesiredState, tasks: TaskGroup, emit: Emit) -> EarlyBuilds:
    """The builds of our services that begin while images of others are pulled."""

    async def begin(names: Sequence[str], prepared: PreparedImages, number: int) -> None:
        await build(replace(desired, supply=prepared.merged_over(desired.supply)), names, emit, number)

    return EarlyBuilds(tasks, begin, emit)


async def build(
    desired: DesiredState, names: Sequence[str], emit: Emit, number: int = 0, early: EarlyCommand | None = None
) -> None:
    """Build the images of these services; `number` tells apart builds that run at the same time.

    `early`: a command that builds all our services, which is used if these are all.
    """
    if names:
        early = early if tuple(names) == desired.built else None
        await prepare.build(desired.making, names, emit, desired.project, desired.supply, number=number, early=early)


async def require_checks(desired: DesiredState, options: UpOptions, engine: Engine) -> None:
    """Require a health check for each service that another service waits for with `service_healthy`.

    The check may be in the file or in the image; the images must exist. Raises ConfigError at the line of the
    dependency; Compose would fail only after all other services run.
    """
    for service in desired.project.services if desired.own else ():
        for needed in service.depends_on:
            waits = service.name in desired.own and needed.condition is Condition.HEALTHY and needed.required
            if waits and needed.service in desired.own and not await _is_checked(desired, needed.service, engine):
                path = ("services", service.name, "depends_on", needed.service)
                file, line = await anyio.to_thread.run_sync(resolve.where, options.selection, path)
                hint = f"Give {needed.service} a `healthcheck`, or wait with `condition: service_started`."
                message = f"`{service.name}` waits for `{needed.service}` to be healthy, which has no health check"
                raise ConfigError(message, hint=hint, file=file, line=line)


async def _is_checked(desired: DesiredState, name: str, engine: Engine) -> bool:
    if desired.project.service(name).has_healthcheck:
        return True
    written = desired.services[name].get("healthcheck") or {}
    if written.get("disable") or "test" in written:  # turned off
        return False
    try:
        config = (await engine.images.inspect(desired.image(name))).get("Config") or {}
    except EngineError:
        return True  # the step that creates the container reports the missing image in detail
    test = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    return bool(test[0] != "NONE")


async def _where(port: WantedPort, options: UpOptions) -> Place:
    sources = await anyio.to_thread.run_sync(resolve.selected_files, options.selection)
    return port_place(sources, port.service, port.port, port.target)


async def _automatic(
    desired: DesiredState, options: UpOptions, engine: Engine, project_state: ProjectState
) -> tuple[PortChange, ...]:
    project = desired.project
    known = {(c.service, target): host for c in project_state.containers for _, host, target in c.ports}
    known |= {(c.service, c.target): int(c.published) for c in desired.ports if desired.auto}
    known = {place: host for place, host in known.items() if host_ports.is_chosen(host)}
    fixed = {(c.service, c.target) for c in options.ports}
    services = [s for s in project.services if s.scale == 1 and s.name not in desired.existing.foreign_services]
    places = [(s.name, port.target) for s in services for port in s.ports if (s.name, port.target) not in fixed]
    seed = f"{project.directory}\0{project.name}"
    hosts = await automatic(dict.fromkeys(places), seed=seed, known=known, engine=engine)
    return tuple(PortChange(service, str(host), target) for (service, target), host in hosts.items())


def chosen(project: Project, wanted: Iterable[str]) -> frozenset[str]:
    """The wanted services (all if none is named) and their dependencies. Raises UsageError for an unknown service."""
    try:
        return closure(project, wanted)
    except KeyError as error:
        raise unknown("service", error.args[0], [service.name for service in project.services]) from None


async def observe(engine: Engine, project_state: ProjectState) -> Existing:
    """What exists on the engine: containers of this project, and networks and volumes of all projects."""
    listings: tuple[Callable[[], Awaitable[Any]], ...] = (engine.networks.names, engine.volumes.times)
    networks, times = await each(lambda listing: listing(), listings)
    return Existing(
        foreign_services=frozenset(c.service for c in project_state.containers if not c.ours),
        networks=networks,
        volumes=frozenset(times),
        old_services=frozenset(c.service for c in project_state.containers if c.ours and c.is_old),
        times=times,
    )
