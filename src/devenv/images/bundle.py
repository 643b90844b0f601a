"""`devenv images pull`, `save` and `load`: pull a project's images, save them to a file, load them from it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import BinaryIO

import anyio

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.user_config import user_settings
from devenv.docker.client import Engine
from devenv.errors import EngineError, UsageError
from devenv.events import Emit, Notice, Step
from devenv.images import acquire, bundle_file
from devenv.images.acquire import local_images
from devenv.images.bundle_file import Bundle, BundledImage
from devenv.images.needs import LOADED_REGISTRY, exact, loaded
from devenv.model.images import STAND_IN_LABEL, familiar
from devenv.model.project import Project
from devenv.model.snapshot import shown
from devenv.state.verified_archive import CHUNK
from devenv.tasks import repeated, throttled

EVERY = 0.2  # seconds between two progress events


async def pull(selection: Selection, emit: Emit, *, stand_ins: bool) -> None:
    """Provide every image that the project needs on the engine. Raises EngineError if an image is not available."""
    project = (await resolve.load(selection)).project
    async with Engine.connect() as engine:
        names = await _names(engine, project, emit, stand_ins=stand_ins)
    images = ", ".join(dict.fromkeys(map(familiar, names))) or "no image"
    emit(Notice(f"the engine has all that {project.name} needs: {images}"))


async def save(selection: Selection, path: str, emit: Emit, *, stand_ins: bool) -> None:
    """Save every image that the project needs to a new file, which is read back before it gets its name.

    Missing images are pulled first. Raises UsageError if the file exists or cannot be written, EngineError if an
    image is not available.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} exists already", hint="Name a file that does not exist.")
    project = (await resolve.load(selection)).project
    async with Engine.connect() as engine:
        names = await _names(engine, project, emit, stand_ins=stand_ins)
        local = await local_images(engine, [*names.values()])
        images = {exact(reference): local[name] for reference, name in names.items()}
        bundled = [BundledImage(n, i.id, i.platform, STAND_IN_LABEL in i.labels) for n, i in images.items()]
        if not bundled:
            raise UsageError(f"{project.name} needs no image")
        with bundle_file.created(path) as (file, part), bundle_file.begin(file) as draft:

            def report() -> None:
                emit(Step("save", "detail", f"saving images ({shown(draft.size)})"))

            ids = dict.fromkeys(image.id for image in bundled)
            async with _named(engine, ids) as temporary, repeated(report, EVERY):
                await engine.images.export(temporary, draft.write)
            emit(Step("save", "detail", "reading it back"))
            finish = partial(bundle_file.finish, file, part, draft, project.name, bundled)
            size = await anyio.to_thread.run_sync(finish, abandon_on_cancel=False)
    emit(Notice(f"{path} ({shown(size)}) holds {_list(bundled)}", f"devenv images load {path}"))


async def load(path: str, emit: Emit) -> None:
    """Load the images of a saved file, under names that begin with `loaded.devenv/`.

    The whole file is verified before any of it is sent to the engine. Raises UsageError if the file cannot be read,
    ConfigError if it is damaged or of another kind, RefusedError if it would do more than load images.
    """
    with bundle_file.opened(path) as file:
        emit(Step("load", "detail", f"checking {path}"))
        bundle = await anyio.to_thread.run_sync(bundle_file.check, file, path)
        async with Engine.connect() as engine:
            await _load(engine, file, bundle, emit)
    for image in bundle.images:
        if "@" in image.reference:
            emit(Notice(f"{familiar(image.reference)} has this digest by the file's word: only a pull proves it"))
    emit(Notice(f"loaded {_list(bundle.images)}, needed by {bundle.project}", "devenv up"))


async def _names(engine: Engine, project: Project, emit: Emit, *, stand_ins: bool) -> dict[str, str]:
    """Reference as written -> its name on the engine, for all images that the project needs."""
    mirrors, consent = acquire.mirrors_of(project), stand_ins or user_settings().stand_ins
    acquired = await acquire.acquire_images(engine, project, mirrors=mirrors, stand_ins=consent, emit=emit)
    wanted = [need.reference for need in acquired.wanted]
    if spare := [reference for reference, name in acquired.frontends.items() if name is None]:
        emit(Notice(f"{', '.join(spare)} cannot be pulled: the engine's own builder is used instead"))
    return {reference: acquired.swaps.get(reference, reference) for reference in wanted if reference not in spare}


def _list(bundled: Iterable[BundledImage]) -> str:
    return ", ".join(f"{familiar(image.reference)}{' (a stand-in)' if image.stand_in else ''}" for image in bundled)


def _detail(step: str, emit: Emit, detail: str) -> None:
    emit(Step(step, "detail", detail))


@contextlib.asynccontextmanager
async def _named(engine: Engine, ids: Iterable[str]) -> AsyncIterator[list[str]]:
    """Give the images temporary names: of several images without a name, engines write only one into the index."""
    word = f"{LOADED_REGISTRY}/saving-{os.urandom(4).hex()}"
    names = {id_: f"{word}:{number}" for number, id_ in enumerate(ids)}
    try:
        for id_, name in names.items():
            await engine.images.tag(id_, name)
        yield [*names.values()]
    finally:
        await _unnamed(engine, names.values())


async def _unnamed(engine: Engine, names: Iterable[str]) -> None:
    with anyio.CancelScope(shield=True):
        for name in names:
            await engine.images.untag(name)


async def _load(engine: Engine, file: BinaryIO, bundle: Bundle, emit: Emit) -> None:
    names = {image.reference: loaded(image.reference) for image in bundle.images}
    replaced = (await local_images(engine, [*names.values()])).values()
    try:
        await engine.images.load(_chunks(file, bundle.length, emit))
        ids = {image.reference: await _loaded_id(engine, image, bundle) for image in bundle.images}
        for reference, id_ in ids.items():
            await engine.images.tag(id_, names[reference])
    finally:
        await _unnamed(engine, bundle.names)
    for former in await engine.images.local_images([image.id for image in replaced]):
        if not former.names:
            await engine.images.remove(former.id)
    for image in bundle.images:
        if image.platform not in ("", engine.platform):
            emit(Notice(f"{familiar(image.reference)} is for {image.platform}, and the engine for {engine.platform}"))


async def _loaded_id(engine: Engine, bundled: BundledImage, bundle: Bundle) -> str:
    """The id of the loaded image on this engine. Raises EngineError if it is missing."""
    for image in await engine.images.local_images(bundle.ids[bundled.id]):
        return image.id
    raise EngineError(f"the engine took the file, and has no {familiar(bundled.reference)}", hint="docker images")


async def _chunks(file: BinaryIO, length: int, emit: Emit) -> AsyncIterator[bytes]:
    file.seek(bundle_file.BLOCK)
    done, report = 0, throttled(partial(_detail, "load", emit), EVERY)
    while done < length and (chunk := file.read(min(CHUNK, length - done))):
        yield chunk
        done += len(chunk)
        report(f"loading images ({done / length:.0%})")
