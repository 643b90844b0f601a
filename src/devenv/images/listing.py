"""`devenv images`: every image that a project needs, which services need it, and its source."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.user_config import user_settings
from devenv.docker.client import Engine
from devenv.docker.images import LocalImage
from devenv.errors import DevenvError, PortError
from devenv.host.registry_auth import credentials
from devenv.images.acquire import LocalMatch, local_images, local_matches, mirrors_of, recipes_for, to_pull, wanted_by
from devenv.images.failures import Failure, cause
from devenv.images.needs import LOADED_REGISTRY, Need, candidates, prefixes
from devenv.images.pull import unavailable
from devenv.images.standins.build import CONTENT_LABEL
from devenv.images.standins.recipes import Offer, Recipe, instead, offers
from devenv.lazy_dataclass import dataclass
from devenv.model.images import STAND_IN_LABEL, registry
from devenv.model.project import Project
from devenv.model.snapshot import ago, shown
from devenv.tasks import each

TIMEOUT = 5.0  # seconds for a registry to answer
DAY = 86400.0
Answer = tuple[str, Failure | None]  # an image's name at a registry, and why it cannot be pulled from there


@dataclass(frozen=True, slots=True)
class Row:
    """An image, the lines that need it, and its source.

    `source` is present, loaded, mirror, registry, stand-in or nowhere; `name` is the image's name there, `detail`
    more about it. `id`, `digest`, `size` (bytes) and `created` are those of the image on the engine.
    """

    image: str
    platform: str | None
    kind: str
    users: tuple[str, ...]
    source: str
    detail: str
    name: str = ""
    id: str = ""
    digest: str = ""
    size: int = 0
    created: str = ""


async def list_offers() -> list[Offer]:
    """The available stand-ins, each with the size of its largest image on the engine, if that can be reached."""
    sizes: dict[str, int] = {}
    with contextlib.suppress(DevenvError):
        async with Engine.connect() as engine:
            made = await engine.images.labelled(STAND_IN_LABEL)
            local = await local_images(engine, made.keys())
            sizes = {labels[STAND_IN_LABEL]: local[name].size for name, labels in made.items() if name in local}
    return [
        replace(offer, size=max((size for name, size in sizes.items() if offer.covers(name)), default=0))
        for offer in offers()
    ]


async def list_images(selection: Selection) -> list[Row]:
    """A row for each image; registries and mirrors are asked for missing images. Raises ConfigError."""
    project = (await resolve.load(selection)).project
    async with Engine.connect() as engine:
        return await _rows(engine, project)


async def with_missing_images(error: PortError, engine: Engine, project: Project, *, stand_ins: bool) -> PortError:
    """The error with the images that the project lacks as well, so that both can be fixed at once."""
    try:
        rows = await _rows(engine, project)
    except DevenvError:  # `up` will report that error after the ports
        return error
    stand_ins = stand_ins or user_settings().stand_ins
    lacked = {"nowhere"} if stand_ins else {"nowhere", "stand-in"}
    missing = [row for row in rows if row.source in lacked and row.kind != "frontend"]
    if not missing:
        return error
    lines = [f"  {row.image} ({', '.join(row.users)}): {row.detail}" for row in missing]
    message = "\n".join([error.message, "and these images are not available:", *lines])
    hint = f"{error.hint} --stand-ins" if all(row.source == "stand-in" for row in missing) else error.hint
    return PortError(message, hint=hint)


async def _rows(engine: Engine, project: Project) -> list[Row]:
    mirrors = prefixes(mirrors_of(project))
    wanted = await wanted_by(engine, project)
    recipes = recipes_for(wanted)
    # separately: the same reference may be needed for two platforms
    matches = await each(lambda need: local_matches(engine, [need], mirrors), wanted)
    local = dict(zip(wanted, matches, strict=True))
    made = await local_images(engine, [recipe.image for recipe in recipes.values()])
    absent = [need for need in wanted if to_pull(need, local[need])]
    answers = dict(zip(absent, await each(partial(_ask, engine, mirrors), absent), strict=True))
    names = [(need, need.reference) for need in wanted]
    return [_row(need, local[need].get(name), answers.get(need), recipes.get(name), made) for need, name in names]


async def _ask(engine: Engine, mirrors: Sequence[str], need: Need) -> Answer:
    """Ask the image's own registry, then all mirrors; the first mirror that has the image counts."""
    own = await _failure(engine, need.reference)
    if own and own.elsewhere:
        names = [name for mirror in mirrors for name in candidates(need.reference, mirror)]
        failures = await each(partial(_failure, engine), names)
        for name, failure in zip(names, failures, strict=True):
            if failure is None:
                return name, None
    return need.reference, own


async def _failure(engine: Engine, name: str) -> Failure | None:
    try:
        return await unavailable(engine, name, await credentials(registry(name)), TIMEOUT)
    except DevenvError as error:  # a credential helper failed
        return Failure(error.said, hint=error.hint)


def _row(
    need: Need, local: LocalMatch | None, answer: Answer | None, recipe: Recipe | None, made: Mapping[str, LocalImage]
) -> Row:
    row = partial(Row, need.reference, need.platform, need.kind, need.users)
    name, failure = answer or ("", None)
    if name and failure is None:
        is_own = name == need.reference
        return row("registry" if is_own else "mirror", registry(name) if is_own else name, name)
    if local:
        return _held(row, local, need)
    if failure is None:
        return row("nowhere", "its pull_policy is never")
    if failure.impossible and recipe:
        return _stand_in(row, recipe, made.get(recipe.image))
    reason = cause(need.reference, failure)
    if failure.impossible and need.kind == "frontend":
        reason += "; the engine's own builder is used instead"
    elif failure.impossible and need.kind in ("service", "base"):
        reason += "; " + instead(need.reference, need.users, plain=need.kind == "service")
    return row("nowhere", reason)


def _stand_in(row: partial[Row], recipe: Recipe, made: LocalImage | None) -> Row:
    """The row of an image that a stand-in replaces; `made` is the stand-in on the engine."""
    state = f"{made.labels.get(CONTENT_LABEL)}, {shown(made.size)}" if made else f"{recipe.inside}, can be made"
    command = "devenv up" if user_settings().stand_ins else "devenv up --stand-ins"
    return row("stand-in", f"{recipe.image}, {state}: {command}", recipe.image)


def _held(row: partial[Row], match_: LocalMatch, need: Need) -> Row:
    name, image = match_
    digest = next((other.partition("@")[2] for other in image.names if "@" in other), "")
    parts = [shown(image.size), _age(image.created, time.time()), (digest or image.id).removeprefix("sha256:")[:12]]
    source = "present"
    if name != need.reference:
        source = "loaded" if name.startswith(f"{LOADED_REGISTRY}/") else "mirror"
        parts.append(f"as {name}")
    detail = ", ".join(part for part in parts if part)
    return row(source, detail, name, image.id, digest, image.size, image.created)


def _age(created: str, now: float) -> str:
    """How long ago that was; empty for an unknown time, such as that of a reproducible image."""
    try:
        seconds = now - dt.datetime.fromisoformat(created).timestamp()
    except (ValueError, OverflowError):
        return ""
    if seconds > 30 * 365 * DAY:
        return ""
    for unit, length in (("months", 30 * DAY), ("weeks", 7 * DAY)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit} ago"
    return ago(seconds)
