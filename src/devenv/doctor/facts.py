"""The facts that the doctor gathers, in groups, and the report about them. Pure.

A default value means that the fact was not gathered, or that there is nothing to report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

from devenv.errors import DevenvError
from devenv.host.ports import Taken
from devenv.images.failures import Failure
from devenv.lazy_dataclass import dataclass
from devenv.model.answers import Disk, Finding
from devenv.redact import masked

VIRTUAL = ("desktop", "orbstack", "colima")  # engines in a virtual machine, which bring an emulator along
CONTENTS = """# devenv doctor: report

What is in this file: versions of the tools, the kind and address of the engine, addresses of proxies (without user
names and passwords), names of the registries, images, services, files and ports that a finding is about, limits and
free space of the machine, and every finding. No value of another variable, no login. Your home folder is `~`. Read it
before you send it.
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """Versions of the tools, None if a tool is missing; `other` is the path of another program named `devenv`."""

    docker: bool = True
    compose: str | None = ""
    buildx: str | None = ""
    other: str = ""


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """The engine's address; `state` is the code of the finding if the engine cannot be used.

    `why` is the failure of the connection, `start` the command that starts an engine or selects another, `elsewhere`
    are (name, address) of other engines that answer. `lack`: why there is no line to an engine that ssh reaches.
    """

    host: str = ""
    context: str | None = None
    state: str = ""
    why: str = ""
    start: str = ""
    elsewhere: tuple[tuple[str, str], ...] = ()
    lack: str = ""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the engine reports. `here`: it runs on this machine; `kind` as in `diagnose.ENGINE_KINDS`."""

    version: str = ""
    kind: str = ""
    platform: str = ""
    root: str = ""
    here: bool = False
    proxies: Mapping[str, str] = field(default_factory=dict)
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proxies:
    """Proxies of the environment by variable, and NO_PROXY; `dead` do not answer."""

    environment: Mapping[str, str] = field(default_factory=dict)
    exceptions: str = ""
    dead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """The docker CLI's config.json: its path, the proxies that containers get, helpers that are not on PATH."""

    path: str = ""
    proxies: Mapping[str, str] = field(default_factory=dict)
    missing_helpers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OtherMachine:
    """The machine of an engine that ssh reaches.

    Seconds of a round trip, and by which its clock is ahead; free bytes, and sessions for each login (-1: unknown).
    """

    name: str = ""
    round_trip: float = 0.0
    ahead: float = 0.0
    free: int = -1
    sessions: int = -1


@dataclass(frozen=True, slots=True)
class Builder:
    """The selected builder, and the file that selects it; `gateway` is this machine's address for containers."""

    name: str = ""
    driver: str = ""
    is_gone: bool = False
    selection: str = ""
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """Free space, limits of inotify, the MTU in bytes of the default route's interface, and name servers."""

    disks: tuple[Disk, ...] = ()
    watches: int = 0
    instances: int = 0
    interface: str = ""
    mtu: int = 0
    servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """The project's files: number of folders, kind of a file system without events, scripts with CRLF line ends."""

    folders: int = 0
    eventless: str = ""
    crlf: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """Why this machine does not reach a registry or its token server; `issuer` is of a proxy that decrypts TLS."""

    registry: str = ""
    token: str = ""
    token_host: str = ""
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that the project needs, asked for `reference`: why the engine gets no answer, or this machine.

    `users` is empty outside of a project. `missing` are the images to pull from the registry; `recipes` are those of
    them with a stand-in, `others` are hints about stand-ins of other versions for the rest.
    """

    host: str
    reference: str
    users: tuple[str, ...]
    failure: Failure | None
    route: Route
    missing: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def unmade(self) -> list[str]:
        """The missing images without a stand-in."""
        return [reference for reference in self.missing if reference not in self.recipes]


@dataclass(frozen=True, slots=True)
class ImageSources:
    """The sources of the images.

    `mirrors` are (name, whose, why an image cannot be pulled from it), `foreign` (reference, platform, whether it is
    emulated); `unresolved` is a name that this machine resolves and a container does not; `consent` is to stand-ins.
    """

    registries: tuple[Registry, ...] = ()
    mirrors: tuple[tuple[str, str, Failure | None], ...] = ()
    foreign: tuple[tuple[str, str, bool], ...] = ()
    unresolved: str = ""
    consent: bool = False


@dataclass(frozen=True, slots=True)
class Files:
    """What replaces files that the engine does not see, and what cannot be replaced; sentences with file and line."""

    replaced: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DoctorFacts:
    """All groups of facts, and the services that are `built`.

    `errors` are findings by themselves, with their codes; `checked` are areas that were checked, `unchecked` areas
    with a check that did not finish.
    """

    tools: Tools = Tools()
    address: EngineAddress = EngineAddress()
    engine: EngineInfo = EngineInfo()
    other: OtherMachine = OtherMachine()
    proxies: Proxies = Proxies()
    client: ClientConfig = ClientConfig()
    builder: Builder = Builder()
    machine: Machine = Machine()
    tree: Tree = Tree()
    files: Files = Files()
    images: ImageSources = ImageSources()
    built: tuple[str, ...] = ()
    networks: Mapping[str, int] = field(default_factory=dict)  # name -> MTU
    taken: tuple[Taken, ...] = ()
    errors: tuple[tuple[str, DevenvError], ...] = ()
    checked: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def report(facts: DoctorFacts, findings: Sequence[Finding], versions: Mapping[str, str], home: str) -> str:
    """The report as Markdown; `versions` are those of devenv, Python and the system."""
    lines = [CONTENTS, *_findings(findings), "## Facts", "", *(f"- {line}" for line in _facts(facts, versions)), ""]
    text = "\n".join(lines)
    return re.sub(rf"{re.escape(home)}(?=/|\s|`|$)", "~", text) if home.strip("/") else text


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    yield "## Findings\n"
    for finding in findings:
        yield f"- **{finding.severity}** `{finding.code}`: {' '.join(finding.message.split())}"
    yield "" if findings else "None.\n"


def _facts(facts: DoctorFacts, versions: Mapping[str, str]) -> Iterator[str]:
    engine, context = facts.engine, facts.address.context or "default"
    address = re.sub(r"//\S*@", "//***@", facts.address.host)
    yield from (f"{name}: {value}" for name, value in versions.items())
    yield f"Compose: {facts.tools.compose or 'none'}, Buildx: {facts.tools.buildx or 'none'}"
    yield f"engine: {engine.version or 'none'} {engine.kind}, {engine.platform}, at {address}, context {context}"
    yield _proxies("environment", facts.proxies.environment)
    yield _proxies("engine", facts.engine.proxies)
    yield _proxies("docker CLI", facts.client.proxies)
    yield from map(_registry, facts.images.registries)
    machine = facts.machine
    yield from (f"free for {disk.what}: {disk.free / 10**9:.1f} GB" for disk in machine.disks)
    yield f"inotify: {machine.watches} watches, {machine.instances} instances"


def _proxies(layer: str, proxies: Mapping[str, str]) -> str:
    given = ", ".join(f"{name} {masked(value, 'http')}" for name, value in proxies.items() if name != "noProxy")
    return f"proxies of the {layer}: {given or 'none'}"


def _registry(registry: Registry) -> str:
    engine = registry.failure.cause if registry.failure else "answers"
    tokens = registry.route.token or "answers" if registry.route.token_host else "none wanted"
    here = registry.route.registry or "answers"
    return f"registry {registry.host}: engine: {engine}; here: {here}; tokens: {tokens}"
