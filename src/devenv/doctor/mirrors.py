"""`devenv doctor --mirror`: ask mirrors for the project's images, rank them, write the good ones into config.toml."""

from __future__ import annotations

import json
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import anyio

from devenv.compose import files as compose_files
from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.user_config import user_file, user_settings, with_mirrors
from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.doctor import network
from devenv.doctor.doctor import Fix
from devenv.doctor.project import ANY_IMAGE, MADE_HERE
from devenv.errors import ConfigError, StateError
from devenv.host.registry_auth import credentials
from devenv.images.acquire import wanted_by
from devenv.images.failures import SILENT, read_failure
from devenv.images.needs import Need, candidates, prefixes
from devenv.model.images import canonical, registry, split
from devenv.tasks import each

TIMEOUT = 10.0  # seconds for an answer
SAMPLE = 6.0  # seconds for the download that measures the speed
AT_ONCE = 4
EXAMPLE = 50e6  # bytes of an image, for which the times of mirrors are compared


@dataclass(frozen=True, slots=True)
class Asked:
    """What one mirror answered: image -> its digest there, or why there is none; `fault`: why nothing came at all.

    `first_byte` is in seconds, `speed` in bytes per second; both are 0 if they are unknown.
    """

    mirror: str
    digests: Mapping[str, str]
    lacks: Mapping[str, str]
    fault: str = ""
    first_byte: float = 0.0
    speed: float = 0.0


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror in the ranking. `differs` are images with another digest than the pinned, or than elsewhere.

    `is_good`: it answers, has images of the project, and all of them with the digest that they should have.
    """

    mirror: str
    is_good: bool
    has: tuple[str, ...]
    lacks: tuple[str, ...]
    differs: tuple[str, ...]
    fault: str
    first_byte: float
    speed: float


async def ask(selection: Selection, entries: Sequence[str], say: Callable[[str], object]) -> tuple[Mirror, ...]:
    """The mirrors, the best first, asked for the images of the project, or for any one outside of a project.

    Raises ConfigError for what is no mirror and for an invalid project, and EngineError without an engine.
    """
    mirrors = prefixes(entries)
    async with Engine.connect() as engine:
        needs = await _needs(engine, selection)
        say(f"asking {', '.join(mirrors)} for {len(needs)} image{'s' * (len(needs) > 1)}")
        asked = await each(partial(_ask, engine, needs), mirrors)
    # The downloads one after the other: at the same time they would measure each other.
    measured = []
    for one in asked:
        say(f"measuring {one.mirror}")
        measured.append(await _measured(one, engine.platform))
    return ranked(measured, {need.reference: split(need.reference)[2] or "" for need in needs})


async def _needs(engine: Engine, selection: Selection) -> tuple[Need, ...]:
    try:
        compose_files.find(selection.directory, selection.files)
    except ConfigError:
        return (Need(ANY_IMAGE, ()),)
    needs = await wanted_by(engine, (await resolve.load(selection)).project)
    foreign = {n.reference: n for n in needs if not registry(n.reference).endswith(MADE_HERE)}
    return tuple(foreign.values()) or (Need(ANY_IMAGE, ()),)


async def _ask(engine: Engine, needs: Sequence[Need], mirror: str) -> Asked:
    """Ask for the first image alone: a mirror that does not answer is not asked for the others."""
    auth = await credentials(registry(f"{mirror}/x"))
    digests: dict[str, str] = {}
    lacks: dict[str, str] = {}
    turns = anyio.CapacityLimiter(AT_ONCE)

    async def ask(need: Need) -> str:
        """Why the mirror is silent; empty if it says anything."""
        failure = None
        async with turns:
            for name in candidates(need.reference, mirror):
                failure = SILENT
                with anyio.move_on_after(TIMEOUT):
                    try:
                        digests[need.reference] = await engine.images.distribution(name, auth)
                    except CallError as error:
                        failure = read_failure(error.reason, name)
                    else:
                        return ""
                if failure.impossible:
                    return failure.cause
        lacks[need.reference] = failure.cause if failure else "a mirror cannot have it: its registry has a port"
        return ""

    if fault := await ask(needs[0]):
        return Asked(mirror, {}, {}, fault)
    faults = await each(ask, needs[1:])
    return Asked(mirror, digests, lacks, next(filter(None, faults), ""))


async def _measured(asked: Asked, platform: str) -> Asked:
    """With the first byte and the speed of a layer of the first image that it has, as this machine sees them."""
    for reference in asked.digests:
        for name in candidates(reference, asked.mirror):
            sample = await network.within(SAMPLE, partial(network.sample, canonical(name), platform, SAMPLE / 2))
            if sample:
                return Asked(asked.mirror, asked.digests, asked.lacks, asked.fault, *sample)
    return asked


def ranked(asked: Iterable[Asked], pinned: Mapping[str, str]) -> tuple[Mirror, ...]:
    """The mirrors, the best first: those that lack least, then the fastest. `pinned`: image -> digest, or empty.

    Without a pin, an image should have the digest that most mirrors give; of two that differ, neither is right.
    """
    asked = tuple(asked)
    right: dict[str, str] = {}
    for reference, pin in pinned.items():
        counted = Counter(a.digests[reference] for a in asked if reference in a.digests).most_common(2)
        tied = len(counted) > 1 and counted[0][1] == counted[1][1]
        right[reference] = pin or ("" if tied or not counted else counted[0][0])

    def mirror(one: Asked) -> Mirror:
        differs = tuple(name for name, digest in one.digests.items() if digest != right[name])
        good = bool(one.digests) and not differs and not one.fault
        has, lacks = tuple(one.digests), tuple(one.lacks)
        return Mirror(one.mirror, good, has, lacks, differs, one.fault, one.first_byte, one.speed)

    def seconds(one: Mirror) -> float:
        return one.first_byte + EXAMPLE / one.speed if one.speed else float("inf")

    return tuple(sorted(map(mirror, asked), key=lambda m: (not m.is_good, -len(m.has), seconds(m))))


def planned(ranking: Sequence[Mirror]) -> Fix | None:
    """The change of config.toml: the good mirrors in order, then those of the file that were not asked.

    None if there is nothing to change. Raises ConfigError for an invalid file.
    """
    path, before = os.path.realpath(user_file()), b""
    known = user_settings().mirrors
    asked = {m.mirror for m in ranking}
    wanted = [m.mirror for m in ranking if m.is_good]
    wanted += [entry for entry in known if not asked.intersection(prefixes([entry]))]
    if tuple(wanted) == known or not any(m.is_good for m in ranking):
        return None
    is_new = not os.path.exists(path)
    if not is_new:
        with open(path, "rb") as file:
            before = file.read()
    after = with_mirrors(before.decode(), wanted)
    expected = tomllib.loads(before.decode())
    expected["registry"] = {**expected.get("registry", {}), "mirrors": wanted}
    try:
        done = tomllib.loads(after) == expected
    except tomllib.TOMLDecodeError:
        done = False
    if not done:
        raise StateError(f"{path} is written in a way that cannot be changed", hint=f"mirrors = {json.dumps(wanted)}")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    shows = [f"- mirrors = {json.dumps(list(known))}"] * bool(known) + [f"+ mirrors = {json.dumps(wanted)}"]
    return Fix(("mirrors",), path, tuple(shows), None if is_new else before, after.encode())
