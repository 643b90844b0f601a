"""Build stand-ins for public images on this host, from package registries, if no image registry answers."""

from __future__ import annotations

import glob
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable
from functools import partial

import anyio

from devenv.docker import cli, process
from devenv.docker.cli import last_line
from devenv.docker.client import Engine
from devenv.docker.images import LocalImage
from devenv.errors import EngineError
from devenv.events import Emit, ImageState, Notice
from devenv.images.standins import debian
from devenv.images.standins.recipes import Package, Recipe, Root, common_folder, find
from devenv.model.images import STAND_IN_LABEL, STAND_IN_REGISTRY
from devenv.tasks import each

CONTENT_LABEL = "devenv.stand-in.inside"
LACKS_LABEL = "devenv.stand-in.lacks"
RECIPE_LABEL = "devenv.stand-in.recipe"
FIRST = "about a minute"
NPM_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


async def make(engine: Engine, recipes: Iterable[Recipe], emit: Emit) -> None:
    """Build the image of each recipe, in parallel, unless it is up to date.

    Raises EngineError if a tool is missing or a package is not available.
    """
    wanted = list(recipes)
    authorities = await anyio.to_thread.run_sync(host_authorities)
    script = await anyio.Path(debian.trust_script()).read_bytes()
    with tempfile.TemporaryDirectory(prefix="devenv-images-", ignore_cleanup_errors=True) as folder:
        builds = _Builds(emit, folder, authorities, script)
        await builds.find_existing(engine, wanted)
        await each(builds.get, wanted)


def host_authorities() -> bytes:
    """The certificates that this host trusts, as PEM text; empty if there are none."""
    for path in (os.environ.get("SSL_CERT_FILE"), debian.BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt"):
        if path and os.path.isfile(path):
            with open(path, "rb") as file:
                return file.read()
    return b""


def _base(reference: str) -> Recipe:
    """The recipe of a suite's minimal root."""
    recipe = find(reference)
    if recipe is None:
        raise EngineError(f"there is no recipe for {reference}")
    return recipe


class _Builds:
    """One run of `make`: the existing stand-ins, a lock for each build, and the host's CAs."""

    def __init__(self, emit: Emit, folder: str, authorities: bytes, script: bytes) -> None:
        self._emit = emit
        self._folder = folder
        self._authorities = authorities
        self._script = script
        self._known: dict[str, LocalImage] = {}
        self._done: set[str] = set()
        self._statuses: dict[str, str] = {}
        self._locks: dict[str, anyio.Lock] = {}

    async def find_existing(self, engine: Engine, recipes: list[Recipe]) -> None:
        """Find the stand-ins on the engine; raise EngineError if a tool to build the others is missing."""
        based = [*recipes, *(_base(recipe.base) for recipe in recipes if recipe.base)]
        images = await engine.images.local_images({recipe.image for recipe in based})
        self._known = {name: image for image in images for name in image.names}
        if absent := [recipe for recipe in based if recipe.image not in self._known]:
            _require_tools(absent)
        bases = [(r if r.base is None else _base(r.base)) for r in recipes if not self._is_current(r)]
        if new := dict.fromkeys(base.roots[0].suite for base in bases if not self._is_current(base)):
            first = f"the first stand-in of Debian {' and '.join(new)}"
            self._emit(Notice(f"{first} takes {FIRST}: its packages are fetched and installed"))

    def _is_current(self, recipe: Recipe) -> bool:
        known = self._known.get(recipe.image)
        return known is not None and known.labels.get(RECIPE_LABEL) == self._digest(recipe)

    async def get(self, recipe: Recipe) -> None:
        """Build the stand-in unless it is up to date; if that fails, an older one is kept."""
        async with self._locks.setdefault(recipe.image, anyio.Lock()):
            if recipe.image in self._done or self._is_current(recipe):
                return
            known, digest = self._known.get(recipe.image), self._digest(recipe)
            self._say(recipe, "starting")
            try:
                content = await self._make(recipe, digest)
            except EngineError as error:
                subject = f"the stand-in for {recipe.reference}"
                if known is None:
                    raise EngineError(f"{subject} could not be made: {error.message}", hint=error.hint) from error
                self._emit(Notice(f"{subject} is an older one: {error.message}"))
                self._done.add(recipe.image)
                return
            self._done.add(recipe.image)
            if known and all(name.startswith(f"{STAND_IN_REGISTRY}/") for name in known.names):
                await cli.remove(known.id)
            self._emit(ImageState(recipe.reference, "made", content))

    def _digest(self, recipe: Recipe) -> str:
        base = self._digest(_base(recipe.base)).encode() if recipe.base else b""
        return recipe.digest(base or self._authorities + self._script)

    async def _make(self, recipe: Recipe, digest: str) -> str:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            context = os.path.join(folder, "context")
            shutil.copytree(recipe.folder, context)
            shutil.copytree(common_folder(), os.path.join(context, "common"))
            os.mkdir(os.path.join(context, "packages"))
            versions: dict[str, str] = {}
            parts = [
                partial(self._provide_base, versions, recipe, folder),
                *(partial(self._fetch, versions, recipe, package, context) for package in recipe.fetched),
            ]
            try:
                await each(lambda part: part(), parts)
                content = versions["inside"].format_map(versions)
                self._say(recipe, "building")
                labels = {
                    STAND_IN_LABEL: recipe.reference,
                    CONTENT_LABEL: content,
                    LACKS_LABEL: recipe.lacks,
                    RECIPE_LABEL: digest,
                }
                base = _base(versions["base"]).image if recipe.base else f"{recipe.image}-root"
                args = {"ROOT": base, "VERSION": versions["version"], **recipe.args}
                on_step = partial(self._say_step, recipe)
                await cli.build(context, recipe.image, args=args, labels=labels, on_step=on_step)
            finally:
                if not recipe.base:
                    with anyio.CancelScope(shield=True):
                        await cli.remove(f"{recipe.image}-root")
        return content

    async def _provide_base(self, versions: dict[str, str], recipe: Recipe, folder: str) -> None:
        """Provide the base image, and the packages in the context, for the first root that is available."""
        failures: list[EngineError] = []
        for root in recipe.roots:
            try:
                own = await (self._packages if recipe.base else self._bare)(recipe, root, folder)
                version = root.checked(own)
            except EngineError as error:
                failures.append(error)
            else:
                facts = {"suite": root.suite, "version": version, "inside": root.inside, "base": root.base}
                versions.update(own, **facts)
                return
        raise failures[0]

    async def _bare(self, recipe: Recipe, root: Root, folder: str) -> dict[str, str]:
        await anyio.Path(folder, "host-ca.crt").write_bytes(self._authorities)
        return await debian.make(root, f"{recipe.image}-root", folder=folder, say=partial(self._say, recipe))

    async def _packages(self, recipe: Recipe, root: Root, folder: str) -> dict[str, str]:
        base = _base(root.base)
        try:
            await self.get(base)
        except EngineError as error:
            raise error.__cause__ or error from None  # only the cause: the user did not ask for the base
        apt_folder = os.path.join(self._folder, root.suite)
        async with self._locks.setdefault(apt_folder, anyio.Lock()):
            if root.suite not in self._statuses:
                status, sources = await cli.read(base.image, "/var/lib/dpkg/status", "/etc/apt/sources.list")
                await debian.fetch_lists(root.suite, status, sources, apt_folder)
                self._statuses[root.suite] = status
        self._say(recipe, "fetching packages")
        target = os.path.join(folder, "context", "packages")
        return await debian.fetch(root, self._statuses[root.suite], apt_folder, target)

    async def _fetch(self, versions: dict[str, str], recipe: Recipe, package: Package, context: str) -> None:
        machine = platform.machine().lower()
        arch = NPM_ARCHITECTURES.get(machine, machine)
        name = package.package.format(arch=package.architectures.get(arch, arch))
        self._say(recipe, f"fetching {name}")
        fetch = _npm_pack if package.tool == "npm" else _pip_download
        versions[package.file] = await fetch(name, package.version, context, package.file)

    def _say_step(self, recipe: Recipe, place: str) -> None:
        self._say(recipe, f"building, step {place.replace('/', ' of ')}")

    def _say(self, recipe: Recipe, detail: str) -> None:
        self._emit(ImageState(recipe.reference, "making", detail))


def _require_tools(absent: list[Recipe]) -> None:
    """Require the tools that build these stand-ins, and Debian's keys. Raises EngineError."""
    tools = [package.tool for recipe in absent for package in recipe.fetched]
    bare = ["mmdebstrap"] if any(not recipe.base for recipe in absent) else []
    debian.require_tools("apt-get", *bare, *dict.fromkeys(tools))
    debian.keyring()


async def _npm_pack(name: str, version: str, context: str, file: str) -> str:
    """Fetch a package of npm to `file`.tgz, and return its version."""
    argv = ["npm", "pack", "--json", "--loglevel=error", f"{name}@{version}"]
    finished = await process.run(argv, cwd=context)
    try:
        packed = json.loads(finished.stdout)
        entry = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
        packed_file, found_version = entry["filename"], str(entry["version"])
    except (ValueError, LookupError, StopIteration) as error:
        raise EngineError(f"npm has no {name}@{version}: {_npm_cause(finished)}") from error
    os.replace(os.path.join(context, os.path.basename(packed_file)), os.path.join(context, f"{file}.tgz"))
    return found_version


async def _pip_download(name: str, version: str, context: str, file: str) -> str:
    """Fetch a wheel of PyPI, unpack it to the folder `file`, and return its version."""
    options = ("--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet")
    finished = await process.run(["pip3", "download", *options, f"{name}{version}"], cwd=context)
    wheel = next(iter(glob.glob("*.whl", root_dir=context)), None)
    if wheel is None:
        raise EngineError(f"PyPI has no {name}{version}: {last_line(finished.error_text)}")
    await anyio.to_thread.run_sync(shutil.unpack_archive, f"{context}/{wheel}", f"{context}/{file}", "zip")
    return wheel.split("-")[1]


def _npm_cause(finished: process.Completed) -> str:
    """The first line of npm's error that has a reason, without its prefix."""
    lines = (re.sub(r"^npm (?:error|ERR!)", "", line).strip() for line in finished.error_text.splitlines())
    reasons = (line[:200] for line in lines if line and not line.startswith("code "))
    return next(reasons, "no reason given")
