"""What was seen of a machine and a project -> findings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from devenv.doctor.catalog import ERROR, SEVERITIES, WARNING, finding
from devenv.errors import DevenvError
from devenv.host.ports import Taken
from devenv.images.pull_errors import Failure
from devenv.model.addresses import LOOPBACK
from devenv.model.finding import Disk, Finding
from devenv.redact import masked

GIGA = 10**9
FULL, LOW = 2 * 10**8, 2 * GIGA  # bytes
FEW_INODES = 0.02  # of all
FEW_INSTANCES = 128
FEW_PULLS = 10
VIRTUAL = ("desktop", "orbstack", "colima")  # engines in a virtual machine, which bring an emulator along
KINDS = {
    "desktop": (
        "Docker Desktop: memory, disk and proxies are those of its machine",
        "Docker Desktop: Settings, Resources",
    ),
    "orbstack": ("OrbStack: memory and proxies are those of its machine", "orb config show"),
    "colima": ("Colima: only the home folder is mounted in its machine", "colima start --edit"),
    "rootless": ("the engine is rootless: its daemon.json is in ~/.config/docker", "systemctl --user status docker"),
    "podman": ("podman answers in place of Docker's engine: it builds in a container", "docker buildx ls"),
}
HERE = ("localhost", "127.0.0.1", "::1")
BUILDX = (
    ((2, 37), (0, 17), "Compose {compose} does not build with it"),
    ((2,), (0, 12), "builds ask registries for images that are here"),
)
MIRROR = "name a mirror in your settings ([registry] mirrors), or `devenv images load FILE`"


@dataclass(frozen=True, slots=True)
class Route:
    """What this machine hears from a registry and where it gives tokens: why it hears nothing, or empty.

    `issuer`: who opens TLS on the way; `left` of `limit` pulls, where that is told.
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
class Facts:
    """All that was looked at; each default means that it was not, or that there is nothing of the kind."""

    # tools: versions, None where one is not there; and a `devenv` that is another program
    docker: bool = True
    compose: str | None = ""
    buildx: str | None = ""
    other: str = ""
    # the engine: its address; why it cannot be used, as the code of a finding; (name, address) of others that answer
    host: str = ""
    context: str | None = None
    state: str = ""
    why: str = ""  # the words of what was to lead there
    start: str = ""  # the command that starts one, or selects another
    elsewhere: tuple[tuple[str, str], ...] = ()
    # what it says of itself; `here`: it runs on this kernel, `capacity` is its memory in bytes
    version: str = ""
    kind: str = ""
    platform: str = ""
    capacity: int = 0
    root: str = ""
    here: bool = False
    gateway: str = ""
    engine_proxies: Mapping[str, str] = field(default_factory=dict)
    engine_mirrors: tuple[str, ...] = ()
    # proxies of the environment by variable, those that do not answer, (variable, host) of Docker Desktop's own
    environment: Mapping[str, str] = field(default_factory=dict)
    exceptions: str = ""
    dead: tuple[str, ...] = ()
    internal: tuple[tuple[str, str], ...] = ()
    # the docker CLI's config.json: where it is, the proxies that containers get, helpers that are not on PATH
    config: str = ""
    inside: Mapping[str, str] = field(default_factory=dict)
    helpers: tuple[str, ...] = ()
    # the builder that is selected, and the file that selects it
    builder: str = ""
    driver: str = ""
    proxied: bool = False
    gone: bool = False
    selection: str = ""
    # limits of this machine
    disks: tuple[Disk, ...] = ()
    watches: int = 0
    instances: int = 0
    interface: str = ""
    mtu: int = 0
    servers: tuple[str, ...] = ()
    lowest_port: int = 0
    # what the project asks for: newer key -> Compose that knows it; (reference, platform, whether it is emulated)
    keys: Mapping[str, str] = field(default_factory=dict)
    built: tuple[str, ...] = ()
    memory: int = 0
    ports: tuple[int, ...] = ()
    networks: Mapping[str, int] = field(default_factory=dict)  # -> MTU
    folders: int = 0
    silent: str = ""  # the file system without events
    crlf: tuple[str, ...] = ()
    unresolved: str = ""  # what this machine finds by name and a container does not
    foreign: tuple[tuple[str, str, bool], ...] = ()
    taken: tuple[Taken, ...] = ()
    registries: tuple[Registry, ...] = ()
    mirrors: tuple[tuple[str, str, Failure | None], ...] = ()  # name, whose, why it does not give an image
    consent: bool = False  # to stand-ins
    # errors that say it themselves, by code; areas that were looked at, and those that gave no answer in time
    told: tuple[tuple[str, DevenvError], ...] = ()
    looked: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """Every finding, errors first."""
    parts = (_tools, _engine, _registries, _proxies, _builder, _machine, _network, _project)
    found = [one for part in parts for one in part(facts)]
    found += [finding(code, said=error.said, hint=error.hint) for code, error in facts.told]
    found += [replace(finding("unchecked", area=area), area=area) for area in facts.unchecked]
    return tuple(sorted(dict.fromkeys(found), key=lambda one: SEVERITIES.index(one.severity)))


def _tools(facts: Facts) -> Iterator[Finding]:
    if facts.other:
        yield finding("other-devenv", path=facts.other)
    if not facts.docker:
        yield finding("cli-missing")
        return
    if facts.compose is None:
        yield finding("compose-missing")
    newer = {key: needed for key, needed in facts.keys.items() if numbers(facts.compose) < numbers(needed)}
    if facts.compose and newer:
        names = ", ".join(f"`{key}`" for key in sorted(newer))
        yield finding("compose-keys", version=facts.compose, keys=names, needed=max(newer.values(), key=numbers))
    if facts.built and facts.buildx is None:
        yield finding("buildx-missing", services=", ".join(facts.built))
    for compose, needed, why in BUILDX:
        if facts.buildx and numbers(facts.compose) >= compose and numbers(facts.buildx) < needed:
            least, why_so = ".".join(map(str, needed)), why.format(compose=facts.compose)
            yield finding("buildx-old", version=facts.buildx, needed=least, why=why_so)
            return


def numbers(version: str | None) -> tuple[int, ...]:
    """What a version begins with: `v2.26.1-4` is (2, 26, 1)."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version or "")
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _engine(facts: Facts) -> Iterator[Finding]:
    if facts.state:
        by = f" (context {facts.context})" if facts.context else ""
        yield finding(facts.state, host=facts.host, by=by, why=facts.why, hint=facts.start)
    for name, where in facts.elsewhere:
        yield finding("engine-elsewhere", name=name, address=where)
    if facts.kind:
        said, hint = KINDS[facts.kind]
        yield finding("engine-kind", said=said, hint=hint)
    low = [str(port) for port in facts.ports if port < facts.lowest_port]
    if facts.kind == "rootless" and low:
        yield finding("rootless-port", ports=", ".join(low))


def _registries(facts: Facts) -> Iterator[Finding]:
    for one in facts.registries:
        if one.failure:
            yield _unanswered(one, one.failure, facts) if one.failure.elsewhere else _refused(one, one.failure)
        elif one.route.token:
            proxy = shown(next(iter(facts.engine_proxies.values()), ""))
            hint = (
                f"export HTTPS_PROXY={proxy}   (the engine's; only `docker build` needs it)" if proxy else "devenv up"
            )
            yield finding("registry-client", token=one.route.token_host, cause=one.route.token, hint=hint)
        if one.route.left is not None and one.route.left < FEW_PULLS:
            yield finding("hub-limit", left=one.route.left, limit=one.route.limit)
        if one.route.issuer:
            yield finding("tls-intercepted", host=one.host, issuer=one.route.issuer)
    for mirror, whose, failure in facts.mirrors:
        if failure and failure.impossible:
            yield finding("mirror-dead", mirror=mirror, whose=whose, cause=failure.cause, hint=failure.hint)
    for program in facts.helpers:
        yield finding("helper-missing", program=program, path=facts.config)


def _refused(one: Registry, failure: Failure) -> Finding:
    values = {
        "reference": one.reference,
        "users": ", ".join(one.users),
        "cause": failure.cause,
        "hint": failure.hint or "",
    }
    return finding("image-refused", None if one.missing else WARNING, **values)


def _unanswered(one: Registry, failure: Failure, facts: Facts) -> Finding:
    """The registry does not answer the engine, and perhaps this machine."""
    client, proxy = one.route.registry or one.route.token, shown(next(iter(facts.environment.values()), ""))
    mirror = next((name for name, _, fault in facts.mirrors if fault is None), None)
    offered = ("devenv up" if facts.consent else "devenv up --stand-ins") if one.missing and one.recipe else None
    hint = "; or ".join(filter(None, (failure.hint, offered))) or (MIRROR if one.missing and not mirror else "")
    if not client and proxy and not facts.engine_proxies:
        hint = f"give the engine your proxy {proxy}: `proxies` in daemon.json"
    need = (
        f"{', '.join(one.missing)} cannot be had" if one.missing else "all images are here, so it is not needed now"
    )
    if one.missing and mirror:
        need = f"the mirror {mirror} answers in its place"
    values = {"host": one.host, "cause": failure.cause, "client": client, "need": need, "hint": hint}
    severity = ERROR if one.missing and not mirror and not (one.recipe and facts.consent) else WARNING
    return finding("registry-silent" if client else "registry-engine", severity, **values)


def _proxies(facts: Facts) -> Iterator[Finding]:
    yield from (finding("proxy-internal", name=name, host=host) for name, host in facts.internal)
    yield from (finding("proxy-dead", proxy=shown(proxy)) for proxy in facts.dead)
    if facts.environment and _misses_loopback(facts.exceptions):
        yield finding("proxy-loopback")
    inside = dict.fromkeys(value for name, value in facts.inside.items() if name != "noProxy" and value)
    if inside and _misses_loopback(facts.inside.get("noProxy", "")):
        yield finding("proxy-inside", path=facts.config)
    for value in inside:
        if re.search(rf"//(?:[^/@]*@)?(?:{LOOPBACK.pattern})(?=[:/]|\Z)", value):
            gateway = facts.gateway or "host.docker.internal"
            yield finding("proxy-local", path=facts.config, proxy=shown(value), gateway=gateway)


def _misses_loopback(exceptions: str) -> bool:
    named = {entry.strip().lower() for entry in exceptions.split(",")}
    return "*" not in named and not {"localhost", "127.0.0.1"} <= named


def with_loopback(exceptions: str) -> str:
    """The value of NO_PROXY that names this machine, too."""
    return ",".join(dict.fromkeys([*filter(None, map(str.strip, exceptions.split(","))), *HERE]))


def shown(proxy: str) -> str:
    """A proxy's address that may be shown."""
    return masked(proxy, "http")


def _builder(facts: Facts) -> Iterator[Finding]:
    if facts.gone:
        by_file = "devenv doctor --fix   (or: docker buildx use default)"
        yield finding("builder-gone", name=facts.builder, hint=by_file if facts.selection else "unset BUILDX_BUILDER")
    elif facts.driver not in ("", "docker"):
        lost = "" if facts.proxied or not facts.engine_proxies else ", without the engine's proxy"
        yield finding("builder-foreign", name=facts.builder, driver=facts.driver, lost=lost)


def _machine(facts: Facts) -> Iterator[Finding]:
    for disk in facts.disks:
        if disk.free < LOW or disk.inodes <= FEW_INODES:
            left = f"{disk.free / GIGA:.1f} GB" if disk.inodes > FEW_INODES else "hardly an inode"
            severity = ERROR if disk.free < FULL or not disk.inodes else WARNING
            values = {"what": disk.what, "path": disk.path, "free": left, "meaning": disk.meaning, "hint": disk.hint}
            yield finding("disk-full", severity, **values)
    for one in facts.taken:
        ips = " and ".join(filter(None, one.wanted.ips)) or "all addresses"
        whose = {
            "service": one.wanted.service,
            "target": f"{one.wanted.target}",
            "owner": one.owner or "another program",
        }
        yield finding("port-taken", port=one.wanted.port, ips=ips, free=one.free, **whose)
    if facts.watches and facts.folders > facts.watches:
        yield finding("inotify-watches", folders=f"{facts.folders:,}", watches=f"{facts.watches:,}")
    if facts.instances and facts.instances < FEW_INSTANCES:
        yield finding("inotify-instances", instances=facts.instances)
    if facts.silent:
        yield finding("no-events", kind=facts.silent)
    if facts.capacity and facts.memory > facts.capacity:
        hint = KINDS["desktop"][1] if facts.kind == "desktop" else "lower `mem_limit` of a service"
        asked, there = (f"{size / GIGA:.1f} GB" for size in (facts.memory, facts.capacity))
        yield finding("memory", asked=asked, there=there, hint=hint)


def _network(facts: Facts) -> Iterator[Finding]:
    for name, mtu in facts.networks.items() if facts.here and facts.mtu else ():
        if facts.mtu < mtu:
            yield finding("mtu", network=name, mtu=mtu, interface=facts.interface, host=facts.mtu)
    if facts.here and facts.servers and all(re.match(r"127\.|::1$", server) for server in facts.servers):
        yield finding("dns-local", servers=", ".join(facts.servers))
    if facts.unresolved:
        yield finding("dns-inside", name=facts.unresolved)


def _project(facts: Facts) -> Iterator[Finding]:
    for reference, platform, emulated in facts.foreign:
        code = "platform-emulated" if emulated else "platform-missing"
        yield finding(code, reference=reference, platform=platform, own=facts.platform)
    if facts.crlf:
        yield finding("crlf", files=", ".join(facts.crlf), first=facts.crlf[0])
