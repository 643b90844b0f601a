"""Stand-ins for public images, made on this host from package registries when no image registry answers."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable

import anyio

from devenv.engine import docker, process
from devenv.errors import EngineError
from devenv.images import roots
from devenv.images.recipes import NpmPackage, Recipe, find
from devenv.images.together import together
from devenv.model.events import Emit, ImageState, Notice

FOR = "devenv.stand-in"
INSIDE = "devenv.stand-in.inside"
RECIPE = "devenv.stand-in.recipe"
NPM_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


async def make(references: Iterable[str], emit: Emit) -> dict[str, str]:
    """Reference -> the name of its stand-in, all of them present afterwards; what is missing is made, in parallel.

    Raises EngineError where there is no recipe, a tool is missing or a package cannot be had.
    """
    recipes = {reference: _recipe(reference) for reference in references}
    workshop = _Workshop(
        emit,
        authorities=await anyio.to_thread.run_sync(host_authorities),
        script=await anyio.Path(roots.trust_script()).read_bytes(),
    )
    await workshop.look([*recipes.values()])
    async with together() as tasks:
        for recipe in recipes.values():
            tasks.start_soon(workshop.get, recipe)
    return {reference: recipe.image for reference, recipe in recipes.items()}


def host_authorities() -> bytes:
    """The certificates that this host trusts, as PEM text; empty where it keeps none in a file."""
    for path in (os.environ.get("SSL_CERT_FILE"), roots.BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt"):
        if path and os.path.isfile(path):
            with open(path, "rb") as file:
                return file.read()
    return b""


def _recipe(reference: str) -> Recipe:
    recipe = find(reference)
    if recipe is None:
        raise EngineError(f"there is no stand-in for {reference}", hint="devenv images")
    return recipe


class _Workshop:
    """One run of `make`: what is there already, who is at work on what, and the host's authorities."""

    def __init__(self, emit: Emit, *, authorities: bytes, script: bytes) -> None:
        self._emit = emit
        self._authorities = authorities
        self._script = script
        self._digests: dict[str, str] = {}
        self._at_work: dict[str, anyio.Lock] = {}

    async def look(self, recipes: list[Recipe]) -> None:
        """Learn which stand-ins the engine has, those that others are based on among them."""
        names = {recipe.image for recipe in recipes}
        names |= {_recipe(recipe.base).image for recipe in recipes if recipe.base}
        for image in await docker.local_images(names):
            for name in image.names:
                self._digests[name] = image.label(RECIPE) or ""

    async def get(self, recipe: Recipe) -> None:
        """The stand-in is there and made by today's recipe; an older one does where a new one cannot be had."""
        async with self._at_work.setdefault(recipe.image, anyio.Lock()):
            known = self._digests.get(recipe.image)
            digest = recipe.digest(self._authorities, self._script)
            if known == digest:
                return
            self._say(recipe, "starting")
            try:
                inside = await self._make(recipe, digest)
            except EngineError as error:
                if known is None:
                    raise EngineError(
                        f"the stand-in for {recipe.reference} could not be made: {error.message}", hint=error.hint
                    ) from error
                self._emit(Notice(f"the stand-in for {recipe.reference} is an older one: {error.message}"))
                return
            self._digests[recipe.image] = digest
            self._emit(ImageState(recipe.reference, "made", inside))

    async def _make(self, recipe: Recipe, digest: str) -> str:
        roots.require_tools(*(["mmdebstrap"] if recipe.roots else []), *(["npm"] if recipe.npm else []))
        with tempfile.TemporaryDirectory(prefix="devenv-image-", ignore_cleanup_errors=True) as folder:
            context = os.path.join(folder, "context")
            shutil.copytree(recipe.folder, context)
            versions: dict[str, str] = {}
            async with together() as tasks:
                for package in recipe.npm:
                    tasks.start_soon(self._fetch, recipe, package, context, versions)
                base, inside = await self._root(recipe, folder, versions)
            text = inside.format_map(versions)
            self._say(recipe, "building")
            await docker.build(
                context,
                recipe.image,
                args={"ROOT": base},
                labels={FOR: recipe.reference, INSIDE: text, RECIPE: digest},
                on_line=len,
            )
        if recipe.roots:
            await docker.untag(base)
        return text

    async def _root(self, recipe: Recipe, folder: str, versions: dict[str, str]) -> tuple[str, str]:
        """The image to build on, and what to say of what is inside."""
        if recipe.base:
            base = _recipe(recipe.base)
            await self.get(base)
            return base.image, recipe.inside
        await anyio.Path(folder, "host-ca.crt").write_bytes(self._authorities)
        image = f"{recipe.image}-root"
        failure: EngineError | None = None
        for root in recipe.roots:
            try:
                found = await roots.make(root, image, folder=folder, say=lambda text: self._say(recipe, text))
            except EngineError as error:
                failure = failure or error
                continue
            versions.update(found)
            return image, root.inside
        raise failure or EngineError("its recipe names neither a base nor a root")

    async def _fetch(self, recipe: Recipe, package: NpmPackage, context: str, versions: dict[str, str]) -> None:
        machine = platform.machine().lower()
        name = package.package.format(arch=NPM_ARCHITECTURES.get(machine, machine))
        self._say(recipe, f"fetching {name}")
        done = await process.run(
            ["npm", "pack", "--json", "--loglevel=error", f"{name}@{package.version}"], cwd=context
        )
        try:
            packed = json.loads(done.stdout)
            entry = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
            file, version = entry["filename"], entry["version"]
        except (ValueError, LookupError, StopIteration) as error:
            raise EngineError(f"npm has no {name}@{package.version}: {_npm_cause(done)}") from error
        os.replace(os.path.join(context, os.path.basename(file)), os.path.join(context, f"{package.file}.tgz"))
        versions[package.file] = version

    def _say(self, recipe: Recipe, detail: str) -> None:
        self._emit(ImageState(recipe.reference, "making", detail))


def _npm_cause(done: process.Completed) -> str:
    """The first line in which npm says what went wrong, without its prefix."""
    for line in done.error_text.splitlines():
        text = line.removeprefix("npm error").removeprefix("npm ERR!").strip()
        if text and not text.startswith("code "):
            return text[:200]
    return docker.last_line(done.error_text)
