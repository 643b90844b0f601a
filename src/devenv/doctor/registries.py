"""Whether the engine and this machine reach the registries and mirrors of a project's images."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio

from devenv.compose.user_config import user_settings
from devenv.docker.client import Engine
from devenv.docker.exec import OWN_VARIABLES
from devenv.docker.transport import CallError
from devenv.doctor import network
from devenv.doctor.facts import VIRTUAL, EngineInfo, ImageSources, Registry
from devenv.errors import ConfigError, EngineError
from devenv.host import certificates, limits
from devenv.host.registry_auth import credentials
from devenv.images import acquire
from devenv.images.acquire import LocalMatch, local_matches
from devenv.images.failures import Failure, read_failure
from devenv.images.mirrors import candidates, prefix, prefixes
from devenv.images.needs import Need
from devenv.model.image_ref import HUB, registry
from devenv.model.project import Project
from devenv.redact import masked
from devenv.tasks import each

SITE, CLIENT, HELPER = 3.0, 2.5, 1.5  # seconds
ANY_IMAGE = "library/hello-world"
MADE_HERE = (".devenv", "localhost")
NOT_FOUND = 2  # getent's exit code


@dataclass
class Sources:
    """One look at what a project's images need; `missing_helpers` are credential helpers that are not on PATH."""

    engine: Engine
    project: Project
    engine_info: EngineInfo
    missing_helpers: tuple[str, ...]
    _public: certificates.Certificates = frozenset()
    _helper_errors: list[EngineError] = field(default_factory=list)  # credential helpers that failed or were slow

    async def look(self) -> dict[str, Any]:
        """The `images` and `errors` of the facts."""
        try:
            settings = user_settings()
            wanted = await acquire.wanted_by(self.engine, self.project)
            asked = prefixes(acquire.mirrors_of(self.project))
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
        whose |= dict.fromkeys(self.engine_info.mirrors, "the engine's")
        example = next((n.reference for n in wanted if registry(n.reference) == HUB), ANY_IMAGE)
        registries, mirrors, unresolved = await _all(
            lambda: each(partial(self._registry, here), by_host.items()),
            lambda: asked_mirrors(self.engine, whose, example, at_site=self.engine_info.goes_direct),
            lambda: self._unresolved(list(by_host)[:1]),
        )
        foreign = [n for n in wanted if n.platform and not limits.native(n.platform, self.engine_info.platform)]
        images = ImageSources(
            registries=tuple(registries),
            mirrors=mirrors,
            foreign=tuple((n.reference, n.platform, self._runs(n.platform)) for n in foreign if n.platform),
            unresolved=unresolved,
            consent=settings.stand_ins,
        )
        return {"images": images, "errors": tuple(("helper-failed", error) for error in self._helper_errors)}

    def _runs(self, platform: str) -> bool:
        return limits.emulates(platform) if self.engine_info.here else self.engine_info.kind in VIRTUAL

    async def _registry(self, here: Mapping[str, LocalMatch], one: tuple[str, list[Need]]) -> Registry:
        name, needs = one
        pulled = [need for need in needs if acquire.to_pull(need, here) and need.kind != "frontend"]
        need = (pulled or needs)[0]
        shown = await self._credentials(name)
        failure, route = await _all(
            lambda: _asked(self.engine, need.reference, shown),
            lambda: network.route(name, need.reference, self._public, CLIENT),
        )
        missing = tuple(dict.fromkeys(need.reference for need in pulled))
        has_recipes = not set(missing) - acquire.recipes_for(pulled).keys()
        return Registry(name, need.reference, need.users, failure, route, missing, has_recipes)

    async def _credentials(self, name: str) -> str:
        """The registry's credentials; empty if a helper fails or is slow."""
        failed = EngineError(f"the credential helper for {name} did not answer in time")
        with anyio.move_on_after(HELPER):
            try:
                return await credentials(name)
            except ConfigError:
                return ""  # reported by itself, as missing helpers are
            except EngineError as error:
                failed = error
        if not self.missing_helpers:
            self._helper_errors.append(failed)
        return ""

    async def _unresolved(self, names: Iterable[str]) -> str:
        """A registry's name that this machine resolves and a running container does not; empty if it does."""
        running = [c for c in (await self.engine.project_state(self.project.name)).containers if c.running]
        for name in names if running else ():
            wanted = network.HUB_HOST if name == HUB else name.partition(":")[0]
            if await network.within(HELPER, partial(socket.getaddrinfo, wanted, 443)):
                code = NOT_FOUND
                with anyio.move_on_after(HELPER):  # an unreachable name server gives no answer
                    code, _ = await self.engine.exec.run(
                        running[0].id, ["/usr/bin/getent", "hosts", wanted], environment=OWN_VARIABLES
                    )
                return wanted if code == NOT_FOUND else ""
        return ""


async def asked_mirrors(
    engine: Engine, whose: Mapping[str, str], example: str = ANY_IMAGE, *, at_site: bool
) -> tuple[tuple[str, str, Failure | None], ...]:
    """(name, whose, why the engine does not get the example from it) of each mirror; `whose` is by name."""

    async def ask(one: tuple[str, str]) -> tuple[str, str, Failure | None] | None:
        try:
            name = prefix(one[0])
        except ConfigError:  # a mirror without TLS, which only the engine may use
            silent = await _silent(one[0]) if at_site else None  # it may accept connections and still lack the image
            return (masked(one[0]), one[1], silent) if silent else None
        failure = None
        for reference in candidates(example, name) or (f"{name}/{ANY_IMAGE}",):
            failure = await _asked(engine, reference, "")
            if failure is None or failure.impossible:
                break
        return name, one[1], failure

    return tuple(filter(None, await each(ask, whose.items())))


async def _silent(url: str) -> Failure | None:
    """Why nothing answers at the address; no image is requested."""
    address = urlsplit(url)

    def connect() -> Failure | None:
        try:
            with socket.create_connection((str(address.hostname), address.port or 80), CLIENT):
                return None
        except OSError as error:
            return Failure(network.reason(error, None), impossible=True)

    result = await network.within(CLIENT, lambda: [connect()])
    return result[0] if result else Failure(network.TOO_LATE, impossible=True)


async def _asked(engine: Engine, reference: str, shown: str) -> Failure | None:
    """Why the engine does not get the image from the registry."""
    with anyio.move_on_after(SITE):
        try:
            await engine.images.distribution(reference, shown)
        except CallError as error:
            return read_failure(error.reason, reference)
        return None
    return Failure(network.TOO_LATE, impossible=True)


async def _all(*works: Callable[[], Awaitable[Any]]) -> list[Any]:
    return await each(lambda work: work(), works)
