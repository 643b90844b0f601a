"""Facts about a project: its files, and whether the engine and this machine reach the registries of its images."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import field
from functools import partial
from typing import Any

import anyio

from devenv.compose.outline import Selection
from devenv.compose.positions import shown
from devenv.compose.resolve import Loaded, selected_files
from devenv.compose.user_config import user_settings
from devenv.docker import peer
from devenv.docker.client import Engine
from devenv.docker.exec import OWN_VARIABLES
from devenv.doctor import network
from devenv.doctor.facts import VIRTUAL, EngineInfo, Files, ImageSources, Registry, Tree
from devenv.errors import ConfigError, EngineError
from devenv.host import certificates, limits
from devenv.host.registry_auth import credentials
from devenv.images import acquire
from devenv.images.acquire import LocalMatch, local_matches
from devenv.images.failures import Failure
from devenv.images.needs import Need, candidates, prefix, prefixes
from devenv.images.pull import unavailable
from devenv.images.standins.recipes import instead, versions
from devenv.lazy_dataclass import dataclass
from devenv.model.images import HUB, registry
from devenv.model.project import Project
from devenv.sync.host import mount_sources, scan
from devenv.sync.rules import rules
from devenv.tasks import each

SITE, CLIENT, HELPER, TREE = 3.0, 2.5, 1.5, 1.0  # seconds
ANY_IMAGE = "library/hello-world"
MTU, BRIDGE_MTU = "com.docker.network.driver.mtu", 1500
NOT_FOUND = 2  # the exit code of getent
MADE_HERE = (".devenv", "localhost")
SKIPPED = frozenset({".git", "node_modules", ".venv", "vendor", "target", "dist"})
SHOWN = 3
SCRIPTS = (".sh", ".bash", "entrypoint")


@dataclass
class ImageSourcesProbe:
    """Checks the sources of a project's images; outside of a project, of a small image on Docker Hub.

    `missing_helpers` are credential helpers that are not on PATH.
    """

    engine: Engine
    project: Project | None
    engine_info: EngineInfo
    missing_helpers: tuple[str, ...]
    _public: certificates.Certificates = frozenset()
    _helper_errors: list[EngineError] = field(default_factory=list)  # credential helpers that failed or were slow

    async def check(self) -> dict[str, Any]:
        """The `images` and `errors` of the facts."""
        try:
            settings = user_settings()
            wanted = await acquire.wanted_by(self.engine, self.project) if self.project else (Need(ANY_IMAGE, ()),)
            asked = prefixes(acquire.mirrors_of(self.project) if self.project else settings.mirrors)
        except ConfigError as error:
            return {"errors": (("project-wrong", error),)}
        _, self._public = await certificates.find(())
        here = await local_matches(self.engine, wanted, asked)
        by_host: dict[str, list[Need]] = {}
        for need in wanted:
            if not (name := registry(need.reference)).endswith(MADE_HERE):
                by_host.setdefault(name, []).append(need)
        own = prefixes(settings.mirrors)
        whose = {name: "yours" if name in own else "the project's" for name in asked}
        whose |= dict.fromkeys(self.engine_info.mirrors if self.project else (), "the engine's")
        example = next((n.reference for n in wanted if registry(n.reference) == HUB), ANY_IMAGE)
        registries, mirrors, unresolved = await _all(
            lambda: each(partial(self._registry, here), by_host.items()),
            lambda: asked_mirrors(self.engine, whose, example),
            lambda: self._unresolved(list(by_host)[:1]),
        )
        images = ImageSources(tuple(registries), mirrors, self._foreign(wanted), unresolved, settings.stand_ins)
        return {"images": images, "errors": tuple(("helper-failed", error) for error in self._helper_errors)}

    def _foreign(self, wanted: Iterable[Need]) -> tuple[tuple[str, str, bool], ...]:
        """(reference, platform, whether it is emulated) of each image for another platform than the engine's."""
        info = self.engine_info
        return tuple(
            (n.reference, n.platform, limits.emulates(n.platform) if info.here else info.kind in VIRTUAL)
            for n in wanted
            if n.platform and not limits.is_native(n.platform, info.platform)
        )

    async def _registry(self, here: Mapping[str, LocalMatch], host: tuple[str, list[Need]]) -> Registry:
        name, needs = host
        pulled = [need for need in needs if acquire.to_pull(need, here) and need.kind != "frontend"]
        need = (pulled or needs)[0]
        shown = await self._credentials(name)
        failure, route = await _all(
            lambda: unavailable(self.engine, need.reference, shown, SITE),
            lambda: network.route(name, need.reference, self._public, CLIENT),
        )
        missing = tuple(dict.fromkeys(need.reference for need in pulled if need.users))
        recipes = tuple(acquire.recipes_for(pulled))
        unmade = [n for n in pulled if n.users and n.reference not in recipes and versions(n.reference)]
        others = tuple(instead(n.reference, n.users, plain=n.kind == "service") for n in unmade)
        return Registry(name, need.reference, need.users, failure, route, missing, recipes, others)

    async def _credentials(self, name: str) -> str:
        """The registry's credentials; empty if a helper fails or is slow."""
        failed = EngineError(f"the credential helper for {name} did not answer in time")
        with anyio.move_on_after(HELPER):
            try:
                return await credentials(name)
            except ConfigError:
                return ""  # another check reports it, and missing helpers too
            except EngineError as error:
                failed = error
        if not self.missing_helpers:
            self._helper_errors.append(failed)
        return ""

    async def _unresolved(self, names: Iterable[str]) -> str:
        """A registry's name that this machine resolves and a running container does not; empty if there is none."""
        if self.project is None:
            return ""
        running = [c for c in (await self.engine.project_state(self.project.name)).containers if c.running]
        for name in names if running else ():
            host = network.HUB_HOST if name == HUB else name.partition(":")[0]
            if await network.within(HELPER, partial(socket.getaddrinfo, host, 443)):
                code = NOT_FOUND
                with anyio.move_on_after(HELPER):  # an unreachable name server gives no answer
                    command = ["/usr/bin/getent", "hosts", host]
                    code, _ = await self.engine.exec.run(running[0].id, command, environment=OWN_VARIABLES)
                return host if code == NOT_FOUND else ""
        return ""


def networks(model: Mapping[str, Any]) -> dict[str, int]:
    """The MTU of each bridge network of the model that is neither internal nor external."""
    result = {}
    for name, network_ in (model.get("networks") or {}).items():
        settings = network_ or {}
        if not (settings.get("external") or settings.get("internal")) and settings.get("driver") in (None, "bridge"):
            given = str((settings.get("driver_opts") or {}).get(MTU, ""))
            result[name] = int(given) if given.isdigit() else BRIDGE_MTU
    return result


async def asked_mirrors(
    engine: Engine, whose: Mapping[str, str], example: str
) -> tuple[tuple[str, str, Failure | None], ...]:
    """(name, whose, why the engine cannot pull the example from it) of each mirror with TLS; `whose` is by name."""

    async def ask(mirror: tuple[str, str]) -> tuple[str, str, Failure | None] | None:
        try:
            name = prefix(mirror[0])
        except ConfigError:  # a mirror without TLS, which only the engine may use
            return None
        failure = None
        for reference in candidates(example, name) or (f"{name}/{ANY_IMAGE}",):
            failure = await unavailable(engine, reference, "", SITE)
            if failure is None or failure.impossible:
                break
        return name, mirror[1], failure

    return tuple(filter(None, await each(ask, whose.items())))


async def _all(*works: Callable[[], Awaitable[Any]]) -> list[Any]:
    return await each(lambda work: work(), works)


async def tree(project: Project) -> Tree | None:
    """The facts about the project's files that were known in time; None if there are none."""
    checks: Mapping[str, Callable[[Project], object]] = {"folders": folders, "eventless": eventless, "crlf": crlf}
    answers = await each(lambda check: network.within(2 * TREE, partial(check, project)), checks.values())
    known: dict[str, Any] = {name: value for name, value in zip(checks, answers, strict=True) if value is not None}
    return Tree(**known) if known else None


async def files(engine: Engine, loaded: Loaded, selection: Selection) -> Files | None:
    """What of the project needs replacement, if the engine certainly does not see the files of this machine."""
    if await peer.sees_files(engine.endpoint, engine.kernel) is not False:
        return None
    return await anyio.to_thread.run_sync(_files, loaded, selection)


def _files(loaded: Loaded, selection: Selection) -> Files:
    _, remote = mount_sources.replacements(loaded, [service.name for service in loaded.project.services])
    sources = selected_files(selection)
    replaced, refused = (
        tuple(dict.fromkeys(f"{shown(mount_sources.placed(sources, r))}: {r.message}" for r in remarks))
        for remarks in (remote.replaced, remote.refused)
    )
    return Files(replaced, refused)


def folders(project: Project) -> int:
    """The number of watched folders; counting stops after a second. Blocking."""
    bound, end = rules.bind(project, scan.dockerignores(project)), time.monotonic() + TREE
    count = 0
    for root in rules.roots(bound):
        for folder, names, _ in os.walk(root):
            names[:] = [name for name in names if not rules.prune(bound, os.path.join(folder, name))]
            count += 1
            if time.monotonic() > end:
                return count
    return count


def eventless(project: Project) -> str:
    """The kind of a file system without events below the watched folders; empty if all have events. Blocking."""
    bound = rules.bind(project, scan.dockerignores(project))
    return scan.eventless_filesystem(rules.roots(bound) or (project.directory,)) or ""


def crlf(project: Project) -> tuple[str, ...]:
    """At most three scripts of the build contexts whose first line has a CRLF line end. Blocking."""
    contexts = {s.build.context for s in project.services if s.build and os.path.isabs(s.build.context)}
    end = time.monotonic() + TREE
    scripts: dict[str, None] = {}
    for folder, names, files in (level for context in sorted(contexts) for level in os.walk(context)):
        names[:] = sorted(set(names) - SKIPPED)
        for path in (os.path.join(folder, name) for name in sorted(files) if name.endswith(SCRIPTS)):
            if len(scripts) == SHOWN or time.monotonic() > end:
                return tuple(scripts)
            if os.access(path, os.R_OK) and os.path.isfile(path) and _has_crlf(path):
                scripts[os.path.relpath(path, project.directory)] = None
    return tuple(scripts)


def _has_crlf(path: str) -> bool:
    with open(path, "rb") as file:
        first = file.readline(200)
    return first.startswith(b"#!") and first.endswith(b"\r\n")
