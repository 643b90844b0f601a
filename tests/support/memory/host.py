"""The state of an engine, which all its clients share."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from support.memory.files import Tree
from support.memory.refusal import Refused

BASE_IMAGE = "stand-in.devenv/debian:trixie-slim"
BEGAN = 1_767_225_600  # 2026-01-01T00:00:00Z
TICK = 1_000  # nanoseconds between two effects
NEVER = "0001-01-01T00:00:00Z"
ANONYMOUS_LABEL = "com.docker.volume.anonymous"


@dataclass(slots=True)
class Image:
    """An image: its configuration and its files."""

    id: str
    tags: set[str] = field(default_factory=set)
    labels: dict[str, str] = field(default_factory=dict)
    environment: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=lambda: ["sh"])
    volumes: tuple[str, ...] = ()
    user: str = ""
    healthcheck: dict[str, Any] | None = None
    files: Tree = field(default_factory=Tree)


@dataclass(slots=True)
class Volume:
    """A volume; `created` is in whole Unix seconds, as the local driver reports it."""

    name: str
    created: int
    labels: dict[str, str] | None = None
    driver: str = "local"
    options: dict[str, str] | None = None
    files: Tree = field(default_factory=Tree)


@dataclass(slots=True)
class Network:
    """A network; its users are the running containers that name it."""

    id: str
    name: str
    created: int
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount of a container: a volume or a folder of the host. `is_named`: its creation named the source."""

    kind: str
    source: str
    target: str
    is_named: bool = True
    writable: bool = True


@dataclass(slots=True)
class Container:
    """A container; `wish` is the body of its creation, times are Unix nanoseconds, 0 for never."""

    id: str
    name: str
    image: str  # id
    wish: Mapping[str, Any]
    labels: dict[str, str]
    created: int
    mounts: tuple[Mount, ...] = ()
    networks: tuple[str, ...] = ()  # names
    state: str = "created"
    exit_code: int = 0
    error: str = ""
    started: int = 0
    finished: int = 0
    health: str | None = None
    health_log: list[dict[str, Any]] = field(default_factory=list)
    restarts: int = 0
    files: Tree = field(default_factory=Tree)
    log: list[tuple[int, int, str]] = field(default_factory=list)  # stream, Unix nanoseconds, line

    @property
    def running(self) -> bool:
        """Whether it has a process."""
        return self.state in ("running", "paused", "restarting")

    @property
    def host_config(self) -> Mapping[str, Any]:
        """`HostConfig` of its creation."""
        config: Mapping[str, Any] = self.wish.get("HostConfig") or {}
        return config

    @property
    def command(self) -> list[str]:
        """The arguments of its process, as far as its creation has them."""
        return [*(self.wish.get("Entrypoint") or ()), *(self.wish.get("Cmd") or ())]


Program = Callable[["MemoryHost", Container], None]
Output = bytes | Sequence[tuple[int, bytes]]  # of standard output, or of streams (1, 2)
Execution = Callable[[Container, Sequence[str], Mapping[str, Any]], tuple[int, Output]]


def default_program(host: MemoryHost, container: Container) -> None:
    """`true`, `false` and `sh -c 'exit N'` end at once; all else runs, and is healthy if there is a check."""
    from support.memory import verbs  # noqa: PLC0415 - verbs are of a host

    command = container.command
    last = command[-1] if command else ""
    if command in (["true"], ["false"]) or (command[:2] == ["sh", "-c"] and last.startswith("exit ")):
        code = {"true": 0, "false": 1}.get(last)
        verbs.end(host, container, int(last.removeprefix("exit ")) if code is None else code)
    elif container.health is not None:
        verbs.set_health(host, container, "healthy")


def default_execution(_: Container, argv: Sequence[str], options: Mapping[str, Any]) -> tuple[int, Output]:
    """Succeed and print nothing; there is no shell."""
    return (127, b"") if options.get("AttachStdin") else (0, b"")


@dataclass
class MemoryHost:
    """One engine. Clients at any number of addresses share it; two engines may have one `id`.

    `now` is its clock in Unix nanoseconds, which only effects and the test advance. `program` is what a container
    does once it has started, `execution` what a command in a container does.
    """

    id: str = "b4e1a9a6-0000-4000-8000-000000000001"
    root: str = "/var/lib/docker"
    seed: int = 0
    now: int = BEGAN * 10**9
    containers: dict[str, Container] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)  # by id
    volumes: dict[str, Volume] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    program: Program = default_program
    execution: Execution = default_execution
    stamps: dict[str, int] = field(default_factory=dict)  # service -> a number that changes its next build
    is_away: bool = False
    is_elsewhere: bool = False  # it does not have the files of this machine

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._listeners: set[anyio.Event] = set()
        self.lives = 1  # how often the engine has started
        self.add_image(BASE_IMAGE)

    # --- clock and names ------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Advance the clock by so many seconds."""
        self.now += round(seconds * 1e9)

    def tick(self) -> int:
        """The time of an effect, which no other effect has."""
        self.now += TICK
        return self.now

    def new_id(self) -> str:
        """64 random hexadecimal digits, the same sequence for the same seed."""
        return f"{self._random.getrandbits(256):064x}"

    # --- looking --------------------------------------------------------------------------------------------

    def container(self, name: str) -> Container:
        """The container by id, prefix of an id, or name. Raises Refused."""
        if exact := self.containers.get(name):
            return exact
        bare = name.removeprefix("/")
        for container in self.containers.values():
            if container.name == bare:
                return container
        found_ones = [container for key, container in self.containers.items() if key.startswith(name)]
        if len(name) < 4 or len(found_ones) != 1:
            raise Refused(404, f"No such container: {name}")
        return found_ones[0]

    def network(self, name: str) -> Network:
        """The network by id or name. Raises Refused."""
        network = self.networks.get(name) or next((n for n in self.networks.values() if n.name == name), None)
        if network is None:
            raise Refused(404, f"network {name} not found")
        return network

    def volume(self, name: str) -> Volume:
        """The volume by name. Raises Refused."""
        if volume := self.volumes.get(name):
            return volume
        raise Refused(404, f"get {name}: no such volume")

    def image(self, reference: str) -> Image:
        """The image by id or tag. Raises Refused."""
        tagged = reference if ":" in reference.rpartition("/")[2] else f"{reference}:latest"
        for image in self.images.values():
            digits = image.id.removeprefix("sha256:")
            if reference in (image.id, digits, digits[:12]) or tagged in image.tags:
                return image
        raise Refused(404, f"No such image: {tagged}")

    def labelled(self, objects: Iterable[Any], wanted: Sequence[str]) -> Iterator[Any]:
        """The objects that have all labels, each `KEY` or `KEY=VALUE`."""
        pairs = [label.partition("=") for label in wanted]
        for item in objects:
            labels = item.labels or {}
            if all(key in labels and (not equals or labels[key] == value) for key, equals, value in pairs):
                yield item

    def users(self, volume: str) -> list[Container]:
        """The containers that mount the volume, running or not."""
        return [
            c for c in self.containers.values() if any(m.kind == "volume" and m.source == volume for m in c.mounts)
        ]

    def connected(self, network: str) -> list[Container]:
        """The running containers on the network of that name."""
        return [c for c in self.containers.values() if c.running and network in c.networks]

    # --- images ---------------------------------------------------------------------------------------------

    def add_image(self, *tags: str, **more: Any) -> Image:
        """Add an image with these tags, and remove the tags from other images."""
        image = Image(f"sha256:{self.new_id()}", set(), **more)
        self.images[image.id] = image
        for tag in tags:
            self.tag(image, tag)
        return image

    def tag(self, image: Image, tag: str) -> None:
        """Give the tag to the image, and remove it from other images."""
        tag = tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"
        for other in self.images.values():
            other.tags.discard(tag)
        image.tags.add(tag)

    # --- events ---------------------------------------------------------------------------------------------

    def emit_event(self, kind: str, action: str, key: str, attributes: Mapping[str, str]) -> None:
        """Emit an event in the engine's format."""
        at = self.tick()
        event: dict[str, Any] = {
            "Type": kind,
            "Action": action,
            "Actor": {"ID": key, "Attributes": dict(attributes)},
            "scope": "local",
            "time": at // 10**9,
            "timeNano": at,
        }
        if kind == "container":
            event |= {"status": action, "id": key, "from": attributes.get("image", "")}
        self.events.append(event)
        self.wake()

    def emit_container_event(self, container: Container, action: str, **more: str) -> None:
        """Emit an event of a container."""
        image = str(container.wish.get("Image", ""))
        attributes = {**container.labels, "image": image, "name": container.name, **more}
        self.emit_event("container", action, container.id, attributes)

    def wake(self) -> None:
        """Wake all who wait for a change."""
        for event in self._listeners:
            event.set()

    async def changed(self) -> None:
        """Wait until something has happened."""
        event = anyio.Event()
        self._listeners.add(event)
        try:
            await event.wait()
        finally:
            self._listeners.discard(event)

    # --- the engine itself ----------------------------------------------------------------------------------

    def stop_engine(self, *, takes_containers: bool = True) -> None:
        """Stop the engine, and its containers unless they run without it (`live-restore`)."""
        self.is_away = True
        for container in self.containers.values() if takes_containers else ():
            if container.running:
                container.state, container.exit_code, container.finished = "exited", 137, self.tick()
        self.wake()

    def start_engine(self) -> None:
        """Start the engine, and the containers that are always restarted."""
        from support.memory import verbs  # noqa: PLC0415 - verbs are of a host

        self.is_away = False
        self.lives += 1
        for container in list(self.containers.values()):
            policy = (container.host_config.get("RestartPolicy") or {}).get("Name", "")
            if container.state == "exited" and policy in ("always", "unless-stopped"):
                verbs.start(self, container)
        self.wake()

    def move_root(self, root: str) -> None:
        """Copy the data to another folder while the engine is stopped, which renews each volume's CreatedAt."""
        self.stop_engine()
        self.root = root
        for volume in self.volumes.values():
            volume.created = self.now // 10**9
        self.start_engine()


_SHOWN: dict[int, str] = {}


def shown(nanoseconds: int) -> str:
    """The time as the engine writes it (RFC 3339, UTC); 0 is never."""
    if not nanoseconds:
        return NEVER
    seconds, rest = divmod(nanoseconds, 10**9)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    if seconds not in _SHOWN:
        if len(_SHOWN) > 1000:
            _SHOWN.clear()
        _SHOWN[seconds] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{_SHOWN[seconds]}{fraction}Z"
