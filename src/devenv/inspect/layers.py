"""`devenv layers`: the layers of a service's image, or of any image, and what would make it smaller."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

import anyio

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.errors import ConfigError, UsageError
from devenv.events import Emit, Step
from devenv.images import acquire
from devenv.images.layers import contents as anatomy
from devenv.images.layers.advice import COPIES_ALL, LEAST, advice
from devenv.images.layers.history import common, with_build_times
from devenv.images.local import local_matches
from devenv.images.standins.recipes import find
from devenv.model.layers import Advice, Anatomy, Report
from devenv.model.project import Build, Service
from devenv.model.snapshot import shown
from devenv.run.desired import DesiredState
from devenv.state.run_dir import Run
from devenv.sync.host import scan
from devenv.sync.rules.patterns import Patterns

LARGEST = 2 * 10**9  # bytes; the files of a larger image are only read with --files
SPARE = ("node_modules", ".git")  # folders that no build needs of its context
PACKED = "they are packed in a way that devenv does not read, or too many"


@dataclass(frozen=True, slots=True)
class _Found:
    """An image, its config, and its build if it is a service's own."""

    image: Anatomy
    config: dict[str, Any]
    build: Build | None = None


async def layers_of(selection: Selection, names: Sequence[str], emit: Emit, *, files: bool | None) -> Report:
    """One image with advice, or two to compare; each name is a service's or an image's.

    `files`: whether to read the files in the layers; None: only of images up to LARGEST. Raises UsageError for a
    name that is neither.
    """
    async with Engine.connect() as engine:
        found = [await _found(engine, selection, name) for name in names]
        images = tuple(one.image for one in found)
        if len(images) > 1:
            one, other = ([layer.id for layer in image.layers] for image in images)
            return Report(images, common(one, other))
        return await _advised(engine, found[0], files, emit)


async def _advised(engine: Engine, one: _Found, files: bool | None, emit: Emit) -> Report:
    image, contents, unread = one.image, None, ""
    said = ""

    def tell(came: int) -> None:
        nonlocal said
        before, said = said, f"reading {image.reference}: {min(came * 100 // max(image.size, 1), 99)} %"
        if said != before:
            emit(Step("layers", "detail", said))

    if files or (files is None and image.size <= LARGEST):
        tell(0)  # the engine packs all of it before the first byte comes
        contents = await anatomy.contents(engine, image, tell)
        unread = "" if contents else PACKED
    elif files is None:
        unread = f"{shown(image.size)} take a while; --files reads them"
    spare = await anyio.to_thread.run_sync(_context_advice, one)
    return Report((image,), advice=(*spare, *advice(image, contents, one.config)), unread=unread)


async def _found(engine: Engine, selection: Selection, name: str) -> _Found:
    broken = None
    if re.fullmatch(r"[\w.-]+", name):
        try:
            loaded = await resolve.load(replace(selection, services=(name,)))
            service = loaded.project.service(name)
        except (ConfigError, UsageError, KeyError) as error:
            broken = error
        else:
            return await _of_service(engine, loaded, service)
    try:
        return _Found(*await anatomy.anatomy(engine, name))
    except UsageError as error:
        if isinstance(broken, ConfigError) and broken.file:
            raise broken from None
        raise UsageError(error.message, hint=broken.hint if isinstance(broken, UsageError) else error.hint) from None


async def _of_service(engine: Engine, loaded: Loaded, service: Service) -> _Found:
    """The image that the service's containers use, or would use."""
    name, project, stage = service.name, loaded.project, DesiredState(loaded, frozenset({service.name}))
    reference = stage.image(name)
    if service.build is None:
        project_state = await engine.project_state(project.name)
        needs = [need for need in await acquire.wanted_by(engine, stage.only([name])) if need.reference == reference]
        here = await local_matches(engine, needs, ())
        recipe = find(reference)
        stand_in = recipe.image if recipe else reference
        reference = next(
            (c.image for c in project_state.of(name)), here[reference].name if reference in here else stand_in
        )
    try:
        image, config = await anatomy.anatomy(engine, reference)
    except UsageError as error:
        said = f"the image of {name} ({service.image or reference}) is not here"
        raise UsageError(said, hint="devenv up") from error
    last = Run.known(engine.endpoint, project.name).last()
    if last.get("images", {}).get(name) == image.id:
        image = with_build_times(image, last["steps"])
    return _Found(image, config, service.build)


def _context_advice(one: _Found) -> tuple[Advice, ...]:
    """What a build copies into the image though nobody needs it. Blocking."""
    build = one.build
    copies = any(COPIES_ALL.match(layer.instruction) for layer in one.image.layers[one.image.inherited :])
    if build is None or not copies or not os.path.isabs(build.context):
        return ()
    file, lines = scan.dockerignore(build)
    sizes = _spare(build.context, Patterns.parse(lines))
    if (total := sum(sizes.values())) < LEAST:
        return ()
    which = ", ".join(f"{path} ({shown(size)})" for path, size in sorted(sizes.items()))
    where = f"{os.path.relpath(file)} does not keep out" if file else "no .dockerignore keeps out"
    # a file that exists may lack the end of its last line
    names = ("\\n" if file else "") + "".join(f"**/{name}\\n" for name in SPARE)
    hint = f"printf '{names}' >> {quote(os.path.relpath(file or os.path.join(build.context, '.dockerignore')))}"
    return (Advice("dockerignore", f"{where} what each build copies into the image: {which}", hint, bytes=total),)


def _spare(context: str, ignored: Patterns) -> dict[str, int]:
    """The folders in a build context that no build needs and that are not ignored: path -> bytes."""
    sizes: dict[str, int] = {}
    for folder, folders, _ in os.walk(context):
        paths = {name: os.path.relpath(os.path.join(folder, name), context) for name in folders}
        kept = {name: path for name, path in paths.items() if not ignored.matches(path)}
        folders[:] = [name for name in kept if name not in SPARE]
        sizes |= {path: _size(os.path.join(context, path)) for name, path in kept.items() if name in SPARE}
    return sizes


def _size(folder: str) -> int:
    """The bytes of all files below the folder."""
    total = 0
    for path in (os.path.join(above, name) for above, _, names in os.walk(folder) for name in names):
        with contextlib.suppress(OSError):  # removed meanwhile
            total += os.lstat(path).st_size
    return total
