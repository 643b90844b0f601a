"""What the doctor looked at, in groups; each default means that it was not looked at, or that there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from devenv.errors import DevenvError
from devenv.host.ports import Taken
from devenv.images.failures import Failure
from devenv.model.finding import Disk

VIRTUAL = ("desktop", "orbstack", "colima")  # engines in a virtual machine, which bring an emulator along


@dataclass(frozen=True, slots=True)
class Tools:
    """Versions of the tools, None for a missing one; `other` is the path of a `devenv` that is another program."""

    docker: bool = True
    compose: str | None = ""
    buildx: str | None = ""
    other: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """The engine's address; `state` is why it cannot be used, as the code of a finding.

    `why` is what failed on the way there, `start` the command that starts an engine or selects another, `elsewhere`
    are (name, address) of other engines that answer.
    """

    host: str = ""
    context: str | None = None
    state: str = ""
    why: str = ""
    start: str = ""
    elsewhere: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the engine says of itself. `here`: it runs on this kernel; `memory` in bytes; `kind` as in `KINDS`."""

    version: str = ""
    kind: str = ""
    platform: str = ""
    memory: int = 0
    root: str = ""
    here: bool = False
    proxies: Mapping[str, str] = field(default_factory=dict)
    mirrors: tuple[str, ...] = ()

    @property
    def goes_direct(self) -> bool:
        """Whether the engine is on this machine and reaches sites without a proxy."""
        return self.here and not self.proxies


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies of the environment by variable, and NO_PROXY.

    `dead` do not answer; `internal` are (variable, host) of those that Docker Desktop keeps for itself.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    exceptions: str = ""
    dead: tuple[str, ...] = ()
    internal: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """The docker CLI's config.json: its path, the proxies that containers get, helpers that are not on PATH."""

    path: str = ""
    proxies: Mapping[str, str] = field(default_factory=dict)
    missing_helpers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Builder:
    """The selected builder, and the file that selects it; `gateway` is this machine as containers reach it."""

    name: str = ""
    driver: str = ""
    has_proxy: bool = False
    is_gone: bool = False
    selection: str = ""
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """Limits of this machine; `mtu` in bytes is that of the default route's interface."""

    disks: tuple[Disk, ...] = ()
    watches: int = 0
    instances: int = 0
    interface: str = ""
    mtu: int = 0
    servers: tuple[str, ...] = ()
    lowest_port: int = 0


@dataclass(frozen=True, slots=True)
class Demands:
    """What the project asks for: newer key -> Compose that knows it; memory in bytes; network -> MTU."""

    keys: Mapping[str, str] = field(default_factory=dict)
    built: tuple[str, ...] = ()
    memory: int = 0
    ports: tuple[int, ...] = ()
    networks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tree:
    """The project's files: how many folders, a file system without events, scripts with CRLF line ends."""

    folders: int = 0
    silent: str = ""
    crlf: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """What this machine hears from a registry and from its token server: why it hears nothing, or empty.

    `issuer`: who opens TLS on the way; `left` of `limit` pulls, if the registry tells.
    """

    registry: str = ""
    token: str = ""
    token_host: str = ""
    issuer: str = ""
    left: int | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that the project needs, by one reference of it: what the engine heard (`failure`), and we.

    `missing` names the images that are to come from there; `recipe`: there are stand-ins for all of them.
    """

    host: str
    reference: str
    users: tuple[str, ...]
    failure: Failure | None
    route: Route
    missing: tuple[str, ...] = ()
    recipe: bool = False


@dataclass(frozen=True, slots=True)
class ImageSources:
    """Where the images come from.

    `mirrors` are (name, whose, why it does not give an image), `foreign` (reference, platform, whether it is
    emulated); `unresolved` is a name that this machine resolves and a container does not; `consent` is to stand-ins.
    """

    registries: tuple[Registry, ...] = ()
    mirrors: tuple[tuple[str, str, Failure | None], ...] = ()
    foreign: tuple[tuple[str, str, bool], ...] = ()
    unresolved: str = ""
    consent: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All groups; `errors` that are findings by themselves, by code; areas that were looked at, or gave no answer."""

    tools: Tools = Tools()
    connection: Connection = Connection()
    engine: EngineInfo = EngineInfo()
    proxies: Proxies = Proxies()
    client: ClientConfig = ClientConfig()
    builder: Builder = Builder()
    machine: Machine = Machine()
    demands: Demands = Demands()
    tree: Tree = Tree()
    images: ImageSources = ImageSources()
    taken: tuple[Taken, ...] = ()
    errors: tuple[tuple[str, DevenvError], ...] = ()
    looked: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
