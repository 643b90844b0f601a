"""`devenv doctor --mirror`: ask mirrors for the project's images, and write the good mirrors into config.toml."""

from __future__ import annotations

import json
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import anyio

from devenv.compose import files as compose_files
from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.user_config import user_file, user_settings, with_mirrors
from devenv.docker.client import Engine
from devenv.doctor import network
from devenv.doctor.doctor import Fix, content
from devenv.doctor.project import ANY_IMAGE, MADE_HERE
from devenv.errors import ConfigError, DevenvError, StateError
from devenv.host.registry_auth import credentials
from devenv.images.acquire import wanted_by
from devenv.images.needs import Need, candidates, prefixes
from devenv.images.pull import digest
from devenv.lazy_dataclass import dataclass
from devenv.model.images import canonical, registry, split
from devenv.tasks import each

TIMEOUT = 10.0  # seconds for an answer
SAMPLE = 6.0  # seconds for the download that measures the speed
AT_ONCE = 4
EXAMPLE = 50e6  # bytes of an example image: mirrors are compared by the time to download it


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of a mirror: image -> its digest there, and images that it lacks; `fault`: why it does not answer.

    `first_byte` is in seconds, `speed` in bytes per second; both are 0 if they are unknown.
    """

    mirror: str
    digests: Mapping[str, str]
    lacks: tuple[str, ...] = ()
    fault: str = ""
    first_byte: float = 0.0
    speed: float = 0.0


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror in the ranking. `differs` are images whose digest is not the pinned one, or that of other mirrors.

    `is_good`: it answers, and has images of the project, all of them with the right digest.
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
    """Ask the mirrors for the images of the project, or for a small image outside of a project; the best is first.

    Raises ConfigError for an invalid mirror or project, and EngineError without an engine.
    """
    mirrors = prefixes(entries)
    async with Engine.connect() as engine:
        needs = await _needs(engine, selection)
        say(f"asking {', '.join(mirrors)} for {len(needs)} image{'s' * (len(needs) > 1)}")
        answers = await each(partial(_ask, engine, needs), mirrors)
    # One download after the other, since downloads at the same time slow each other down.
    measured = []
    for answer in answers:
        say(f"measuring {answer.mirror}")
        measured.append(await _measured(answer, engine.platform))
    return ranked(measured, {need.reference: split(need.reference)[2] or "" for need in needs})


async def _needs(engine: Engine, selection: Selection) -> tuple[Need, ...]:
    try:
        compose_files.find(selection.directory, selection.files)
    except ConfigError:
        return (Need(ANY_IMAGE, ()),)
    needs = await wanted_by(engine, (await resolve.load(selection)).project)
    foreign = {n.reference: n for n in needs if not registry(n.reference).endswith(MADE_HERE)}
    return tuple(foreign.values()) or (Need(ANY_IMAGE, ()),)


async def _ask(engine: Engine, needs: Sequence[Need], mirror: str) -> Answers:
    """Ask the mirror for the first image, and only if it answers for the others."""
    try:
        auth = await credentials(registry(f"{mirror}/x"))
    except DevenvError as error:  # of a credential helper
        return Answers(mirror, {}, fault=error.said)
    digests: dict[str, str] = {}
    lacks: list[str] = []
    turns = anyio.CapacityLimiter(AT_ONCE)

    async def ask(need: Need) -> str:
        """Why the mirror does not answer; empty if it does."""
        async with turns:
            for name in candidates(need.reference, mirror):
                answer = await digest(engine, name, auth, TIMEOUT)
                if isinstance(answer, str):
                    digests[need.reference] = answer
                    return ""
                if answer.impossible:
                    return answer.cause
        lacks.append(need.reference)
        return ""

    fault = await ask(needs[0])
    faults = [fault] if fault else await each(ask, needs[1:])
    return Answers(mirror, digests, tuple(lacks), next(filter(None, faults), ""))


async def _measured(answers: Answers, platform: str) -> Answers:
    """Add the time to the first byte and the speed of a download to this machine, from an image that it has."""
    for reference in answers.digests:
        for name in candidates(reference, answers.mirror):
            sample = await network.within(SAMPLE, partial(network.sample, canonical(name), platform, SAMPLE / 2))
            if sample:
                return replace(answers, first_byte=sample[0], speed=sample[1])
    return answers


def ranked(answers: Sequence[Answers], pinned: Mapping[str, str]) -> tuple[Mirror, ...]:
    """The mirrors, the best first: those with most images, then the fastest. `pinned`: image -> digest, or empty.

    Without a pin, the digest that most mirrors give is right; if two are equally frequent, neither is.
    """
    right: dict[str, str] = {}
    for reference, pin in pinned.items():
        counted = Counter(a.digests[reference] for a in answers if reference in a.digests).most_common(2)
        tied = len(counted) > 1 and counted[0][1] == counted[1][1]
        right[reference] = pin or ("" if tied or not counted else counted[0][0])

    def mirror(a: Answers) -> Mirror:
        differs = tuple(name for name, digest_ in a.digests.items() if digest_ != right[name])
        good = bool(a.digests) and not differs and not a.fault
        return Mirror(a.mirror, good, tuple(a.digests), a.lacks, differs, a.fault, a.first_byte, a.speed)

    def seconds(mirror: Mirror) -> float:
        return mirror.first_byte + EXAMPLE / mirror.speed if mirror.speed else float("inf")

    return tuple(sorted(map(mirror, answers), key=lambda m: (not m.is_good, -len(m.has), seconds(m))))


def planned(ranking: Sequence[Mirror]) -> Fix | None:
    """The change of config.toml: the good mirrors in order, then the mirrors of the file that were not asked.

    None if there is nothing to change. Raises ConfigError for an invalid file.
    """
    known = user_settings().mirrors
    asked = {m.mirror for m in ranking}
    wanted = [m.mirror for m in ranking if m.is_good]
    if not wanted:
        return None
    wanted += [entry for entry in known if not asked.intersection(prefixes([entry]))]
    if tuple(wanted) == known:
        return None
    path = os.path.realpath(user_file())
    before = content(path)
    text = (before or b"").decode()
    after = with_mirrors(text, wanted)
    expected = tomllib.loads(text)
    expected["registry"] = {**expected.get("registry", {}), "mirrors": wanted}
    try:
        done = tomllib.loads(after) == expected
    except tomllib.TOMLDecodeError:
        done = False
    if not done:
        raise StateError(f"{path} is written in a way that cannot be changed", hint=f"mirrors = {json.dumps(wanted)}")
    shows = [f"- mirrors = {json.dumps(list(known))}"] * bool(known) + [f"+ mirrors = {json.dumps(wanted)}"]
    return Fix(("mirrors",), path, tuple(shows), before, after.encode())
