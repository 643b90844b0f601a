"""`devenv layers`: the layers of a service's image, or of any image, and how to make the image smaller."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.errors import ConfigError, UsageError
from devenv.events import Emit, Step
from devenv.images import acquire
from devenv.images import layer_contents as anatomy
from devenv.images.acquire import local_matches
from devenv.images.layers import advice, common, with_build_times
from devenv.images.standins.recipes import find
from devenv.model.images import Anatomy, Report
from devenv.model.project import Service
from devenv.model.snapshot import shown
from devenv.run.desired import DesiredState
from devenv.state.run_dir import Run

LARGEST = 2 * 10**9  # bytes; the files of larger images are only read with --files
PACKED = "they are packed in a way that devenv does not read, or too many"


async def layers_of(selection: Selection, names: Sequence[str], emit: Emit, *, files: bool | None) -> Report:
    """One image with advice, or two images to compare; each name is that of a service or an image.

    `files`: whether to read the files in the layers; None: only for images up to LARGEST. Raises UsageError for an
    unknown name.
    """
    async with Engine.connect() as engine:
        images = tuple([await _image(engine, selection, name) for name in names])
        if len(images) > 1:
            return Report(images, common(*([layer.id for layer in image.layers] for image in images)))
        return await _advised(engine, images[0], files, emit)


async def _advised(engine: Engine, image: Anatomy, files: bool | None, emit: Emit) -> Report:
    contents, unread, shown_progress = None, "", ""

    def report(received: int) -> None:
        nonlocal shown_progress
        progress = f"reading {image.reference}: {min(received * 100 // max(image.size, 1), 99)} %"
        if progress != shown_progress:
            shown_progress = progress
            emit(Step("layers", "detail", progress))

    if files or (files is None and image.size <= LARGEST):
        report(0)  # the engine packs the whole image before it sends the first byte
        contents = await anatomy.contents(engine, image, report)
        unread = "" if contents else PACKED
    elif files is None:
        unread = f"{shown(image.size)} take a while; --files reads them"
    return Report((image,), advice=advice(image, contents), unread=unread)


async def _image(engine: Engine, selection: Selection, name: str) -> Anatomy:
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
        return await anatomy.anatomy(engine, name)
    except UsageError as error:
        if isinstance(broken, ConfigError) and broken.file:
            raise broken from None
        raise UsageError(error.message, hint=broken.hint if isinstance(broken, UsageError) else error.hint) from None


async def _of_service(engine: Engine, loaded: Loaded, service: Service) -> Anatomy:
    """The image that the service's containers use, or would use."""
    name, project, stage = service.name, loaded.project, DesiredState(loaded, frozenset({service.name}))
    reference = stage.image(name)
    if service.build is None:
        project_state = await engine.project_state(project.name)
        needs = [need for need in await acquire.wanted_by(engine, stage.only([name])) if need.reference == reference]
        matches = await local_matches(engine, needs, ())
        recipe = find(reference, plain=True)
        stand_in = recipe.image if recipe else reference
        reference = next(
            (c.image for c in project_state.of(name)), matches[reference][0] if reference in matches else stand_in
        )
    try:
        image = await anatomy.anatomy(engine, reference)
    except UsageError as error:
        message = f"the image of {name} ({service.image or reference}) was not found"
        raise UsageError(message, hint="devenv up") from error
    last = Run.known(engine.endpoint, project.name).last()
    is_last = last.get("images", {}).get(name) == image.id
    return with_build_times(image, last["steps"]) if is_last else image
