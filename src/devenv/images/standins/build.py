"""Stand-ins for public images, made on this host from package registries when no image registry answers."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import anyio

from devenv.docker import cli, process
from devenv.docker.cli import LocalImage
from devenv.docker.client import Engine
from devenv.errors import EngineError
from devenv.events import Emit, ImageState, Notice
from devenv.images.local import local_images
from devenv.images.standins import debian
from devenv.images.standins.recipes import STAND_IN_REGISTRY, NpmPackage, Recipe, Root, common_folder, find
from devenv.tasks import each

FOR = "devenv.stand-in"
INSIDE = "devenv.stand-in.inside"
LACKS = "devenv.stand-in.lacks"
RECIPE = "devenv.stand-in.recipe"
NPM_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


async def make(engine: Engine, references: Iterable[str], emit: Emit) -> dict[str, str]:
    """Reference -> the name of its stand-in, all of them present afterwards; what is missing is made, in parallel.

    Raises EngineError where there is no recipe, a tool is missing or a package cannot be had.
    """
    recipes = {reference: _recipe(reference) for reference in references}
    await make_recipes(engine, recipes.values(), emit)
    return {reference: recipe.image for reference, recipe in recipes.items()}


async def make_recipes(engine: Engine, recipes: Iterable[Recipe], emit: Emit) -> None:
    """The image of each recipe is there, made by it. Raises as `make`."""
    wanted = list(recipes)
    with tempfile.TemporaryDirectory(prefix="devenv-images-", ignore_cleanup_errors=True) as folder:
        workshop = _Workshop(
            emit,
            folder,
            authorities=await anyio.to_thread.run_sync(host_authorities),
            script=await anyio.Path(debian.trust_script()).read_bytes(),
        )
        await workshop.look(engine, wanted)
        await each(workshop.get, wanted)


def host_authorities() -> bytes:
    """The certificates that this host trusts, as PEM text; empty where it keeps none in a file."""
    for path in (os.environ.get("SSL_CERT_FILE"), debian.BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt"):
        if path and os.path.isfile(path):
            with open(path, "rb") as file:
                return file.read()
    return b""


def _recipe(reference: str) -> Recipe:
    recipe = find(reference)
    if recipe is None:
        raise EngineError(f"there is no stand-in for {reference}", hint="devenv images")
    return recipe


@dataclass(slots=True)
class _Ground:
    """What an image is built on, what to say of its inside, and the versions that this needs."""

    image: str
    inside: str
    versions: dict[str, str] = field(default_factory=dict)


class _Workshop:
    """One run of `make`: what is there already, who is at work on what, and the host's authorities."""

    def __init__(self, emit: Emit, folder: str, *, authorities: bytes, script: bytes) -> None:
        self._emit = emit
        self._folder = folder
        self._authorities = authorities
        self._script = script
        self._known: dict[str, LocalImage] = {}
        self._done: set[str] = set()
        self._statuses: dict[str, str] = {}
        self._at_work: dict[str, anyio.Lock] = {}

    async def look(self, engine: Engine, recipes: list[Recipe]) -> None:
        """Learn which stand-ins the engine has; raise EngineError if a tool for those it has not is missing."""
        based = [*recipes, *(_recipe(recipe.base) for recipe in recipes if recipe.base)]
        self._known = await local_images(engine, {recipe.image for recipe in based})
        absent = [recipe for recipe in based if recipe.image not in self._known]
        if absent:
            bare, npm = any(not recipe.base for recipe in absent), any(recipe.npm for recipe in absent)
            debian.require_tools("apt-get", *(["mmdebstrap"] if bare else []), *(["npm"] if npm else []))
            debian.keyring()

    async def get(self, recipe: Recipe) -> None:
        """The stand-in is there and made by today's recipe; an older one does where a new one cannot be had."""
        async with self._at_work.setdefault(recipe.image, anyio.Lock()):
            known = self._known.get(recipe.image)
            digest = self._digest(recipe)
            if recipe.image in self._done or (known and known.labels.get(RECIPE) == digest):
                return
            self._say(recipe, "starting")
            try:
                inside = await self._make(recipe, digest)
            except EngineError as error:
                what = f"the stand-in for {recipe.reference}"
                if known is None:
                    raise EngineError(f"{what} could not be made: {error.message}", hint=error.hint) from error
                self._emit(Notice(f"{what} is an older one: {error.message}"))
                self._done.add(recipe.image)
                return
            self._done.add(recipe.image)
            if known and all(name.startswith(f"{STAND_IN_REGISTRY}/") for name in known.names):
                await cli.drop(known.id)
            self._emit(ImageState(recipe.reference, "made", inside))

    def _digest(self, recipe: Recipe) -> str:
        base = self._digest(_recipe(recipe.base)).encode() if recipe.base else b""
        return recipe.digest(base or self._authorities + self._script)

    async def _make(self, recipe: Recipe, digest: str) -> str:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            context = os.path.join(folder, "context")
            shutil.copytree(recipe.folder, context)
            shutil.copytree(common_folder(), os.path.join(context, "common"))
            os.mkdir(os.path.join(context, "packages"))
            ground = _Ground(f"{recipe.image}-root", "")
            parts = [
                partial(self._lay, ground, recipe, folder),
                *(partial(self._fetch, ground, recipe, package, context) for package in recipe.npm),
            ]
            try:
                await each(lambda part: part(), parts)
                inside = ground.inside.format_map(ground.versions)
                self._say(recipe, "building")
                labels = {FOR: recipe.reference, INSIDE: inside, LACKS: recipe.lacks, RECIPE: digest}
                args = {"ROOT": ground.image, "VERSION": ground.versions["version"], **recipe.args}
                await cli.build(context, recipe.image, args=args, labels=labels)
            finally:
                if not recipe.base:
                    with anyio.CancelScope(shield=True):
                        await cli.drop(ground.image)
        return inside

    async def _lay(self, ground: _Ground, recipe: Recipe, folder: str) -> None:
        """What the Dockerfile builds on is there, and its packages are in the context: the first root's to be had."""
        failure: EngineError | None = None
        for root in recipe.roots:
            try:
                found = await (self._packages if recipe.base else self._bare)(ground, recipe, root, folder)
                version = root.checked(found)
            except EngineError as error:
                failure = failure or error
                continue
            ground.inside = root.inside
            ground.versions |= {**found, "suite": root.suite, "version": version}
            return
        raise failure or EngineError("its recipe names no root")

    async def _bare(self, ground: _Ground, recipe: Recipe, root: Root, folder: str) -> dict[str, str]:
        await anyio.Path(folder, "host-ca.crt").write_bytes(self._authorities)
        return await debian.make(root, ground.image, folder=folder, say=partial(self._say, recipe))

    async def _packages(self, ground: _Ground, recipe: Recipe, root: Root, folder: str) -> dict[str, str]:
        base = _recipe(root.base)
        try:
            await self.get(base)
        except EngineError as error:
            raise error.__cause__ or error from None  # the cause alone: what is wanted is not the base
        ground.image = base.image
        shelf = os.path.join(self._folder, root.suite)
        async with self._at_work.setdefault(shelf, anyio.Lock()):
            if root.suite not in self._statuses:
                status, sources = await cli.read(base.image, "/var/lib/dpkg/status", "/etc/apt/sources.list")
                await debian.stock(root.suite, status, sources, shelf)
                self._statuses[root.suite] = status
        self._say(recipe, "fetching packages")
        return await debian.fetch(
            root, self._statuses[root.suite], shelf, os.path.join(folder, "context", "packages")
        )

    async def _fetch(self, ground: _Ground, recipe: Recipe, package: NpmPackage, context: str) -> None:
        machine = platform.machine().lower()
        name = package.package.format(arch=NPM_ARCHITECTURES.get(machine, machine))
        self._say(recipe, f"fetching {name}")
        argv = ["npm", "pack", "--json", "--loglevel=error", f"{name}@{package.version}"]
        done = await process.run(argv, cwd=context)
        try:
            packed = json.loads(done.stdout)
            entry = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
            file, version = entry["filename"], entry["version"]
        except (ValueError, LookupError, StopIteration) as error:
            raise EngineError(f"npm has no {name}@{package.version}: {_npm_cause(done)}") from error
        os.replace(os.path.join(context, os.path.basename(file)), os.path.join(context, f"{package.file}.tgz"))
        ground.versions[package.file] = version

    def _say(self, recipe: Recipe, detail: str) -> None:
        self._emit(ImageState(recipe.reference, "making", detail))


def _npm_cause(done: process.Completed) -> str:
    """The first line in which npm says what went wrong, without its prefix."""
    lines = (re.sub(r"^npm (?:error|ERR!)", "", line).strip() for line in done.error_text.splitlines())
    told = (line[:200] for line in lines if line and not line.startswith("code "))
    return next(told, "no reason given")
