"""Which findings follow from the facts of a machine and a project; their texts are in `findings.toml`. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from devenv.doctor.facts import DoctorFacts, OtherMachine, Registry
from devenv.explain import table
from devenv.images.failures import MIRROR, Failure
from devenv.model.answers import ERROR, SEVERITIES, WARNING, Finding
from devenv.model.images import LOOPBACK
from devenv.redact import masked

GIGA = 10**9
FULL, LOW = 2 * 10**8, 2 * GIGA  # bytes
FEW_INODES = 0.02  # of all
FEW_INSTANCES = 128
MOST_OTHERS = 3  # images for which a hint names stand-ins of other versions
ENGINE_KINDS = {
    "desktop": (
        "Docker Desktop: memory, disk and proxies are those of its virtual machine",
        "Docker Desktop: Settings, Resources",
    ),
    "orbstack": ("OrbStack: memory and proxies are those of its virtual machine", "orb config show"),
    "colima": ("Colima: only the home folder is mounted in its virtual machine", "colima start --edit"),
    "rootless": ("the engine is rootless: its daemon.json is in ~/.config/docker", "systemctl --user status docker"),
    "podman": (
        "podman answers instead of Docker's engine: builds need the image moby/buildkit, and health checks systemd",
        "docker buildx ls",
    ),
}
HERE = ("localhost", "127.0.0.1", "::1")
COMPOSE_NEEDS, BUILDX_NEEDED = (2, 37), (0, 17)
EMULATOR = "apt install qemu-user-static binfmt-support"
WASM = "an engine with a WebAssembly runtime, such as Docker Desktop with containerd"
CLOCK_DIFFERS = 5.0  # seconds
_URL = re.compile(r"//\S*@")


def diagnose(facts: DoctorFacts) -> tuple[Finding, ...]:
    """All findings, errors first."""
    checks = (
        _tools, _engine, _registries, _proxies, _client_proxies, _builder,
        _disks, _taken_ports, _watches, _network, _project,
    )  # fmt: skip
    findings = [finding_ for check in checks for finding_ in check(facts)]
    findings += [finding(code, message=error.said, hint=error.hint) for code, error in facts.errors]
    findings += [replace(finding("unchecked", area=area), area=area) for area in facts.unchecked]
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding_: SEVERITIES.index(finding_.severity)))


@functools.cache
def kinds() -> dict[str, Mapping[str, str]]:
    """The kinds of findings by code: area, severity, message, hint, and `why`, which only the page shows."""
    areas = table.data("doctor/findings.toml")
    return {code: {"area": area, **kind} for area, of_area in areas.items() for code, kind in of_area.items()}


def finding(code: str, severity: str | None = None, **values: object) -> Finding:
    """The finding with this code; `severity` replaces the table's. User names in addresses are hidden."""
    kind = kinds()[code]
    message, hint = (_URL.sub("//***@", kind[text].format(**values)) for text in ("message", "hint"))
    return Finding(code, severity or kind["severity"], kind["area"], message, None if hint in ("", "None") else hint)


def _tools(facts: DoctorFacts) -> Iterator[Finding]:
    tools = facts.tools
    if tools.other:
        yield finding("other-devenv", path=tools.other)
    if not tools.docker:
        yield finding("cli-missing")
        return
    if tools.compose is None:
        yield finding("compose-missing")
    if facts.built and tools.buildx is None:
        yield finding("buildx-missing", services=", ".join(facts.built))
    if tools.buildx and numbers(tools.buildx) < BUILDX_NEEDED and numbers(tools.compose) >= COMPOSE_NEEDS:
        yield finding("buildx-old", version=tools.buildx, compose=tools.compose)


def numbers(version: str | None) -> tuple[int, ...]:
    """The numbers that a version begins with: `v2.26.1-4` is (2, 26, 1)."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version or "")
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _engine(facts: DoctorFacts) -> Iterator[Finding]:
    address, kind = facts.address, facts.engine.kind
    if address.state:
        by = f" (context {address.context})" if address.context else ""
        yield finding(address.state, host=address.host, by=by, why=address.why, hint=address.start)
    if address.lack:
        yield finding("line-missing", message=address.lack)
    for name, other in address.elsewhere:
        yield finding("engine-elsewhere", name=name, address=other)
    if kind:
        message, hint = ENGINE_KINDS[kind]
        yield finding("engine-kind", message=message, hint=hint)
    if facts.other.name:
        yield from _other_machine(facts.other, facts.engine.version)


def _other_machine(other: OtherMachine, version: str) -> Iterator[Finding]:
    known = [f"Engine {version}"] if version else []
    known += [f"{other.free / 1e9:.0f} GB free"] if other.free >= 0 else []
    known += [f"{other.sessions} sessions for each login"] if other.sessions >= 0 else []
    yield finding(
        "machine-away",
        name=other.name,
        trip=round(other.round_trip * 1000),
        known=f": {', '.join(known)}" if known else "",
    )
    if abs(other.ahead) > CLOCK_DIFFERS:
        how = "ahead of" if other.ahead > 0 else "behind"
        yield finding("machine-clock", name=other.name, how=f"{abs(other.ahead):.0f} s {how}")


def _registries(facts: DoctorFacts) -> Iterator[Finding]:
    for registry in facts.images.registries:
        yield from _registry(registry, facts)
    for mirror, whose, failure in facts.images.mirrors:
        if failure and failure.impossible:
            yield finding("mirror-dead", mirror=mirror, whose=whose, cause=failure.cause, hint=failure.hint)
    for program in facts.client.missing_helpers:
        yield finding("helper-missing", program=program, path=facts.client.path)


def _registry(registry: Registry, facts: DoctorFacts) -> Iterator[Finding]:
    failure, route = registry.failure, registry.route
    if failure:
        yield _unanswered(registry, failure, facts) if failure.elsewhere else _refused(registry, failure)
    elif route.token:
        proxy = masked(next(iter(facts.engine.proxies.values()), ""), "http")
        hint = f"export HTTPS_PROXY={proxy}   (the engine's; only `docker build` needs it)" if proxy else "devenv up"
        yield finding("registry-client", token=route.token_host, cause=route.token, hint=hint)
    if route.issuer:
        yield finding("tls-intercepted", host=registry.host, issuer=route.issuer)


def _refused(registry: Registry, failure: Failure) -> Finding:
    values = {"reference": registry.reference, "users": ", ".join(registry.users), "cause": failure.cause}
    return finding("image-refused", None if registry.missing else WARNING, **values, hint=failure.hint or "")


def _unanswered(registry: Registry, failure: Failure, facts: DoctorFacts) -> Finding:
    """The finding for a registry that does not answer the engine, and perhaps not this machine either."""
    client, missing, consent = registry.route.registry or registry.route.token, registry.missing, facts.images.consent
    mirror = next((name for name, _, fault in facts.images.mirrors if fault is None), None)
    if registry.users and not missing:
        effect = "all images are present, so it is not needed now"
    elif mirror:
        effect = f"the mirror {mirror} answers instead"
    elif not registry.users:
        effect = "images that are not on the engine cannot be pulled"
    else:
        effect = _effect(registry)
    values = {"host": registry.host, "cause": failure.cause, "client": client, "effect": effect}
    hint = _hint(registry, failure, mirror, facts)
    severity = ERROR if missing and not mirror and (registry.unmade or not consent) else WARNING
    return finding("registry-silent" if client else "registry-engine", severity, **values, hint=hint)


def _effect(registry: Registry) -> str:
    """What happens to the missing images if neither the registry nor a mirror answers."""
    pulled = f"{', '.join(registry.unmade)} cannot be pulled" if registry.unmade else ""
    made = f"stand-ins can be made for {', '.join(registry.recipes)}" if registry.recipes else ""
    return ", ".join(filter(None, (pulled, made)))


def _hint(registry: Registry, failure: Failure, mirror: str | None, facts: DoctorFacts) -> str:
    """What to type or to configure if the registry does not answer the engine."""
    is_reached = not (registry.route.registry or registry.route.token)
    proxy = masked(next(iter(facts.proxies.environment.values()), ""), "http")
    if is_reached and proxy and not facts.engine.proxies:
        return f"give the engine your proxy {proxy}: `proxies` in daemon.json"
    offered = None
    if registry.recipes or not registry.users:
        offered = "devenv up" if facts.images.consent else "devenv up --stand-ins"
    needed = MIRROR if not mirror and (registry.unmade or not registry.users) else None
    return "; or ".join(filter(None, (failure.hint, offered, *registry.others[:MOST_OTHERS], needed)))


def _proxies(facts: DoctorFacts) -> Iterator[Finding]:
    yield from (finding("proxy-dead", proxy=masked(proxy, "http")) for proxy in facts.proxies.dead)
    if facts.proxies.environment and _misses_loopback(facts.proxies.exceptions):
        yield finding("proxy-loopback")


def _client_proxies(facts: DoctorFacts) -> Iterator[Finding]:
    """The findings about the proxies that the docker CLI gives to containers."""
    given, path = facts.client.proxies, facts.client.path
    addresses = dict.fromkeys(value for name, value in given.items() if name != "noProxy" and value)
    if addresses and _misses_loopback(given.get("noProxy", "")):
        yield finding("proxy-inside", path=path)
    for address in addresses:
        if re.search(rf"//(?:[^/@]*@)?(?:{LOOPBACK.pattern})(?=[:/]|\Z)", address):
            gateway = facts.builder.gateway or "host.docker.internal"
            yield finding("proxy-local", path=path, proxy=masked(address, "http"), gateway=gateway)


def _misses_loopback(exceptions: str) -> bool:
    named = {entry.strip().lower() for entry in exceptions.split(",")}
    return "*" not in named and not {"localhost", "127.0.0.1"} <= named


def with_loopback(exceptions: str) -> str:
    """The value of NO_PROXY with this machine added."""
    return ",".join(dict.fromkeys([*filter(None, map(str.strip, exceptions.split(","))), *HERE]))


def _builder(facts: DoctorFacts) -> Iterator[Finding]:
    builder = facts.builder
    if builder.is_gone:
        fix = "devenv doctor --fix   (or: docker buildx use default)"
        yield finding("builder-gone", name=builder.name, hint=fix if builder.selection else "unset BUILDX_BUILDER")
    elif builder.driver not in ("", "docker"):
        yield finding("builder-foreign", name=builder.name, driver=builder.driver)


def _disks(facts: DoctorFacts) -> Iterator[Finding]:
    for disk in facts.machine.disks:
        if disk.free < LOW or disk.inodes <= FEW_INODES:
            left = f"{disk.free / GIGA:.1f} GB" if disk.inodes > FEW_INODES else "hardly any inodes"
            severity = ERROR if disk.free < FULL or not disk.inodes else WARNING
            values = {"what": disk.what, "path": disk.path, "free": left, "meaning": disk.meaning, "hint": disk.hint}
            yield finding("disk-full", severity, **values)


def _taken_ports(facts: DoctorFacts) -> Iterator[Finding]:
    for taken in facts.taken:
        ips = " and ".join(filter(None, taken.wanted.ips)) or "all addresses"
        values: dict[str, Any] = {"port": taken.wanted.port, "service": taken.wanted.service, "ips": ips}
        values |= {"target": taken.wanted.target, "free": taken.free, "owner": taken.owner or "another program"}
        yield finding("port-taken", **values)


def _watches(facts: DoctorFacts) -> Iterator[Finding]:
    machine, folders = facts.machine, facts.tree.folders
    if machine.watches and folders > machine.watches:
        yield finding("inotify-watches", folders=f"{folders:,}", watches=f"{machine.watches:,}")
    if machine.instances and machine.instances < FEW_INSTANCES:
        yield finding("inotify-instances", instances=machine.instances)
    if facts.tree.eventless:
        yield finding("no-events", kind=facts.tree.eventless)


def _network(facts: DoctorFacts) -> Iterator[Finding]:
    machine, here = facts.machine, facts.engine.here
    for name, mtu in facts.networks.items() if here and machine.mtu else ():
        if machine.mtu < mtu:
            yield finding("mtu", network=name, mtu=mtu, interface=machine.interface, host=machine.mtu)
    if here and machine.servers and all(re.match(r"127\.|::1$", server) for server in machine.servers):
        yield finding("dns-local", servers=", ".join(machine.servers))
    if facts.images.unresolved:
        yield finding("dns-inside", name=facts.images.unresolved)


def _project(facts: DoctorFacts) -> Iterator[Finding]:
    for reference, platform, emulated in facts.images.foreign:
        code = "platform-emulated" if emulated else "platform-missing"
        hint = WASM if "wasm" in platform else EMULATOR
        yield finding(code, reference=reference, platform=platform, own=facts.engine.platform, hint=hint)
    if refused := facts.files.refused:
        yield finding("files-refused", files="; ".join(refused))
    if replaced := facts.files.replaced:
        yield finding("files-replaced", files="; ".join(replaced))
    if crlf := facts.tree.crlf:
        yield finding("crlf", files=", ".join(crlf), first=crlf[0])
