"""What builds and containers have to know of this host: its package registries and its company's CA.

An image that is to know it gets a derived one in its place: the same, and some files. Nothing of it is in a variable,
in an argument or in a command, so that neither the history nor the config of what is built on it shows it.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import json
import os
import re
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import anyio

from devenv.docker.client import Engine
from devenv.events import Emit, ImageState, Notice
from devenv.host import certificates, package_managers
from devenv.host.package_managers import Settings
from devenv.images.host_settings.overlay import INSIDE, INSIDE_REGISTRY, READ, TRUSTED, VARIABLES, links, overlay
from devenv.model.image_ref import familiar, split
from devenv.tasks import each

OF = "devenv.inside.of"
FORMAT = "1"  # a new one where what is done to an image changes
WORDS = {"ca": "company CA", "npm": "npm registry", "pip": "pip index", "apt": "apt mirror", "go": "Go proxy"}
HUB_SITE = "registry-1.docker.io"
LONGEST_TAG = 100
ABANDONED = 600.0  # seconds after which nobody is at work on a container any more


async def host_settings() -> Settings:
    """Where this host's package managers get their packages, and which authorities are its company's."""
    npm, pip, found = await anyio.to_thread.run_sync(_host_files)
    addresses = (word for values in (found.npm, found.pip, found.go, found.apt) for word in values.values())
    sites = [host for word in addresses if (host := urlsplit(word.partition(",")[0]).hostname)]
    files = [value for value in (npm.get("cafile"), pip.get("cert")) if value]
    companys, public = await certificates.find([*sites, HUB_SITE], files)
    return replace(
        found,
        authorities=tuple(certificates.pem(one) for one in sorted(companys)),
        public=tuple(certificates.pem(one) for one in sorted(public)),
    )


def environment(settings: Settings) -> dict[str, str]:
    """The variables for containers of derived images: for tools that read no file of the system's."""
    return dict.fromkeys(VARIABLES, TRUSTED) if settings.authorities else {}


def notices(settings: Settings) -> tuple[Notice, ...]:
    """What is said of it: one line, and one for each setting that is left out."""
    words = ", ".join(WORDS[kind] for kind in settings.kinds)
    given = [Notice(f"builds and containers get this host's {words}")] if words else []
    return (*given, *(Notice(f"not given to builds: {left}") for left in settings.left_out))


async def derive(engine: Engine, wanted: Mapping[str, str], settings: Settings, emit: Emit) -> dict[str, str]:
    """Reference -> the derived image, made where it is missing, for `wanted`: reference -> image on the engine.

    Images with ONBUILD stay as they are. What was derived from the reference before goes, where nothing uses it.
    """
    if not settings.kinds:
        return {}
    known = await engine.images.labelled(OF)
    shown = await each(engine.images.inspect, wanted.values())
    places = {}
    for reference, image in zip(wanted, shown, strict=True):
        if image["Config"].get("OnBuild"):
            emit(Notice(f"{familiar(reference)} has ONBUILD instructions, and gets nothing of this host's settings"))
        else:
            places[reference] = Derived(name(reference, image["Id"], settings), reference, image)

    async def make(derived: Derived) -> None:
        emit(ImageState(derived.reference, "making", "this host's settings"))
        await _make(engine, derived, settings)

    if missing := [derived for derived in places.values() if derived.name not in known]:
        await _sweep(engine)
        await each(make, missing)
    stale = [
        old
        for old, labels in known.items()
        if old.startswith(f"{INSIDE_REGISTRY}/") and (place := places.get(labels[OF])) and place.name != old
    ]
    await each(engine.images.untag, stale)
    return {reference: derived.name for reference, derived in places.items()}


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived image: its name, what it takes the place of, and the engine's description of what is under it."""

    name: str
    reference: str
    image: Mapping[str, Any]

    def config(self, settings: Settings) -> dict[str, Any]:
        """That of the image under it, with our labels.

        An entry point that is not there has to be said to be empty: else that of the container counts.
        """
        config = dict(self.image["Config"])
        labels = {INSIDE: ",".join(settings.kinds), OF: self.reference}
        entry = config.get("Entrypoint") or []
        return config | {"Entrypoint": entry, "Labels": {**(config.get("Labels") or {}), **labels}}


def name(reference: str, image_id: str, settings: Settings) -> str:
    """`inside.devenv/node:22-0123456789ab`: another one for another image and for other settings."""
    given = asdict(replace(settings, left_out=(), public=()))
    content = json.dumps([FORMAT, image_id, given], sort_keys=True)
    repository, tag, _ = split(familiar(reference))
    path = re.sub(r"[^a-z0-9/._-]", "-", repository)
    tags = [*([tag[:LONGEST_TAG]] if tag else []), hashlib.sha256(content.encode()).hexdigest()[:12]]
    return f"{INSIDE_REGISTRY}/{path}:{'-'.join(tags)}"


async def _sweep(engine: Engine) -> None:
    """What was left by somebody who died while making an image is gone: containers that were never to start."""
    query = {"all": "1", "filters": json.dumps({"label": [f"{INSIDE}="], "status": ["created"]})}
    listed = await engine.ask("containers/json", "listing containers", list, query)
    old = [one["Id"] for one in listed if time.time() - one["Created"] > ABANDONED]
    await each(engine.containers.remove, old)


async def _make(engine: Engine, derived: Derived, settings: Settings) -> None:
    # It never starts; an entry point only because the engine refuses a container that has nothing to run.
    wish = {"Image": derived.image["Id"], "Entrypoint": ["-"], "Labels": {INSIDE: "", OF: derived.reference}}
    container = await engine.containers.create({**wish, "HostConfig": {"NetworkMode": "none"}})
    try:
        archives = await each(lambda path: engine.archive.get(container, path), READ)
        found: dict[str, bytes | None] = {}
        for path, archive in zip(READ, archives, strict=True):
            found |= _unpacked(os.path.dirname(path), archive) if archive else {}
        await engine.archive.put(container, _packed(overlay(settings, found), links(found)))
        await engine.images.commit(container, derived.name, derived.config(settings))
    finally:
        with anyio.CancelScope(shield=True):
            await engine.containers.remove(container)


def _unpacked(folder: str, archive: bytes) -> dict[str, bytes | None]:
    """Path -> content of what is in the archive, None for all that is no plain file."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            os.path.join(folder, member.name.rstrip("/")): file.read() if (file := _plain(tar, member)) else None
            for member in tar
        }


def _plain(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    return tar.extractfile(member) if member.isreg() else None


def _packed(files: Mapping[str, bytes], targets: Mapping[str, str]) -> bytes:
    """Everybody may read them, and root owns them; no time is in them, so that one content is one archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
        for path, target in targets.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


def _host_files() -> tuple[dict[str, str], dict[str, str], Settings]:
    """All keys of npm's and of pip's files, and what of everything is good for a container."""
    environment, home = os.environ, os.path.expanduser("~")
    user = environment.get("npm_config_userconfig") or environment.get("NPM_CONFIG_USERCONFIG") or f"{home}/.npmrc"
    npmrc = _texts([user, "/usr/local/etc/npmrc", "/etc/npmrc", "/usr/etc/npmrc", "/opt/homebrew/etc/npmrc"])
    config = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    support = f"{home}/Library/Application Support"
    named = [environment.get("PIP_CONFIG_FILE", ""), f"{support}/pip/pip.conf", f"{config}/pip/pip.conf"]
    pips = _texts([*named, f"{home}/.pip/pip.conf", "/etc/pip.conf", "/etc/xdg/pip/pip.conf"])
    go = _texts([environment.get("GOENV", ""), f"{config}/go/env", f"{support}/go/env"])
    release = _texts(["/etc/os-release"])
    sources = _texts(["/etc/apt/sources.list", *glob.glob("/etc/apt/sources.list.d/*")])
    npm, pip = package_managers.npm(npmrc, environment), package_managers.pip(pips, environment)
    found = package_managers.settings(
        npm=npm,
        pip=pip,
        go=package_managers.go("".join(go[:1]), environment),
        apt=package_managers.apt(sources, "".join(release)),
    )
    return npm, pip, found


def _texts(paths: Iterable[str]) -> list[str]:
    """The files that are there and that we may read."""
    texts = []
    for path in paths:
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            texts.append(file.read())
    return texts
