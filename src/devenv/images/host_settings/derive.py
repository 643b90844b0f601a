"""Derive images with this host's package registries and its company's CA.

A derived image is the original one with files added. No setting is in a variable, an argument or a command, so that
neither the history nor the config of an image built on it shows any.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import json
import os
import re
import ssl
import tarfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlsplit

import anyio

from devenv.docker.client import Engine
from devenv.events import Emit, ImageState, Notice
from devenv.host import certificates, package_managers
from devenv.host.package_managers import PackageSettings
from devenv.images.host_settings import overlay
from devenv.model.images import DERIVED_REGISTRY, SETTINGS_LABEL, familiar, split
from devenv.tasks import each

ORIGINAL_LABEL = "devenv.inside.of"
FORMAT = "1"  # changed whenever the derivation changes
WORDS = {"ca": "company CA", "npm": "npm registry", "pip": "pip index", "apt": "apt mirror", "go": "Go proxy"}
HUB_SITE = "registry-1.docker.io"
LONGEST_TAG = 100
ABANDONED = 600.0  # seconds after which a container of an unfinished derivation is removed


async def host_settings() -> PackageSettings:
    """The package registries of this host's package managers, and the company's CAs."""
    npm, pip, settings = await anyio.to_thread.run_sync(_host_files)
    values = (settings.npm, settings.pip, settings.go, settings.apt)
    addresses = (address for setting in values for address in setting.values())
    sites = [host for address in addresses if (host := urlsplit(address.partition(",")[0]).hostname)]
    files = [value for value in (npm.get("cafile"), pip.get("cert")) if value]
    company_cas, public = (sorted(found) for found in await certificates.find([*sites, HUB_SITE], files))
    pem = ssl.DER_cert_to_PEM_cert
    return replace(settings, authorities=tuple(map(pem, company_cas)), public=tuple(map(pem, public)))


def environment(settings: PackageSettings) -> dict[str, str]:
    """The variables for containers of derived images: some tools do not read the system's CA bundle."""
    return dict.fromkeys(overlay.VARIABLES, overlay.CA_BUNDLE) if settings.authorities else {}


def notices(settings: PackageSettings) -> tuple[Notice, ...]:
    """A notice that lists the settings, and one for each setting that is left out."""
    words = ", ".join(WORDS[kind] for kind in settings.kinds)
    summary = [Notice(f"builds and containers get this host's {words}")] if words else []
    return (*summary, *(Notice(f"not given to builds: {left}") for left in settings.left_out))


async def derive(engine: Engine, wanted: Mapping[str, str], settings: PackageSettings, emit: Emit) -> dict[str, str]:
    """Derive the missing images, and return reference -> derived image; `wanted` is reference -> image on the engine.

    Images with ONBUILD are not changed. Older derived images of a reference are removed unless they are in use.
    """
    if not settings.kinds:
        return {}
    known = await engine.images.labelled(ORIGINAL_LABEL)
    shown = await each(engine.images.inspect, wanted.values())
    names: dict[str, str] = {}
    missing: list[tuple[str, Mapping[str, Any]]] = []
    for reference, image in zip(wanted, shown, strict=True):
        if image["Config"].get("OnBuild"):
            emit(Notice(f"{familiar(reference)} has ONBUILD instructions, so it does not get this host's settings"))
            continue
        names[reference] = name(reference, image["Id"], settings)
        missing += [(reference, image)] if names[reference] not in known else []

    async def make(original: tuple[str, Mapping[str, Any]]) -> None:
        emit(ImageState(original[0], "making", "this host's settings"))
        await _make(engine, *original, names[original[0]], settings)

    if missing:
        await _sweep(engine)
        await each(make, missing)
    derived_before = {image: labels for image, labels in known.items() if image.startswith(f"{DERIVED_REGISTRY}/")}
    current = {image: names.get(labels[ORIGINAL_LABEL], image) for image, labels in derived_before.items()}
    await each(engine.images.untag, [image for image, name in current.items() if image != name])
    return names


def name(reference: str, image_id: str, settings: PackageSettings) -> str:
    """The derived image's name, such as `inside.devenv/node:22-0123456789ab`, from its original and the settings."""
    setting_values = asdict(replace(settings, left_out=(), public=()))
    content = json.dumps([FORMAT, image_id, setting_values], sort_keys=True)
    repository, tag, _ = split(familiar(reference))
    path = re.sub(r"[^a-z0-9/._-]", "-", repository)
    tags = [*([tag[:LONGEST_TAG]] if tag else []), hashlib.sha256(content.encode()).hexdigest()[:12]]
    return f"{DERIVED_REGISTRY}/{path}:{'-'.join(tags)}"


async def _sweep(engine: Engine) -> None:
    """Remove containers that killed derivations left; they were never meant to start."""
    query = {"all": "1", "filters": json.dumps({"label": [f"{SETTINGS_LABEL}="], "status": ["created"]})}
    listed = await engine.ask("containers/json", "listing containers", list, query)
    old = [container["Id"] for container in listed if time.time() - container["Created"] > ABANDONED]
    await each(engine.containers.remove, old)


async def _make(
    engine: Engine, reference: str, image: Mapping[str, Any], derived: str, settings: PackageSettings
) -> None:
    config = image["Config"]
    labels = {SETTINGS_LABEL: ",".join(settings.kinds), ORIGINAL_LABEL: reference}
    # An image without an entry point would get that of the container.
    derived_config = config | {
        "Entrypoint": config.get("Entrypoint") or [],
        "Labels": {**(config.get("Labels") or {}), **labels},
    }
    # The container never starts, but the engine requires a command.
    temporary, alone = {**labels, SETTINGS_LABEL: ""}, {"NetworkMode": "none"}
    container = await engine.containers.create(
        {"Image": image["Id"], "Entrypoint": ["-"], "Labels": temporary, "HostConfig": alone}
    )
    try:
        archives = await each(lambda path: engine.archive.get(container, path), overlay.READ)
        files: dict[str, bytes | None] = {}
        for path, archive in zip(overlay.READ, archives, strict=True):
            files |= _unpacked(os.path.dirname(path), archive) if archive else {}
        await engine.archive.put(container, _packed(overlay.changed_files(settings, files), overlay.links(files)))
        await engine.images.commit(container, derived, derived_config)
    finally:
        with anyio.CancelScope(shield=True):
            await engine.containers.remove(container)


def _unpacked(folder: str, archive: bytes) -> dict[str, bytes | None]:
    """Path -> content of the entries of the archive; None if an entry is not a regular file."""
    files: dict[str, bytes | None] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            files[os.path.join(folder, member.name.rstrip("/"))] = content.read() if content else None
    return files


def _packed(files: Mapping[str, bytes], targets: Mapping[str, str]) -> bytes:
    """A tar of the files and links, owned by root and readable by all; reproducible, so without times."""
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


def _host_files() -> tuple[dict[str, str], dict[str, str], PackageSettings]:
    """All keys of npm's and of pip's files, and the settings that a container can use."""
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
    go_settings = package_managers.go("".join(go[:1]), environment)
    apt = package_managers.apt(sources, "".join(release))
    return npm, pip, package_managers.settings(npm=npm, pip=pip, go=go_settings, apt=apt)


def _texts(paths: Iterable[str]) -> list[str]:
    """The texts of the readable files."""
    texts = []
    for path in paths:
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            texts.append(file.read())
    return texts
