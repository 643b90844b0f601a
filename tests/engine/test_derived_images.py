"""Derived images on a real engine: the original with some files, which neither config nor history show."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devenv.docker.client import Engine
from devenv.events import Event, ImageState, Notice
from devenv.host.package_managers import PackageSettings
from devenv.images.host_settings import derive as inside
from devenv.images.host_settings.derive import ORIGINAL_LABEL, derive
from support import docker_cli as docker
from support.stack import unique_name

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

CA, PUBLIC = (
    f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n" for body in ("Q09NUEFOWQ==", "UFVC")
)
CANARY = "npm-canary.test"
GIVEN = PackageSettings(authorities=(CA,), public=(PUBLIC,), npm={"registry": f"https://{CANARY}/"})
CHANGES = (
    "USER 1000",
    "ENV A=b",
    'ENTRYPOINT ["/run"]',
    'CMD ["x"]',
    "WORKDIR /w",
    "VOLUME /v",
    "LABEL own=1",
    "EXPOSE 80",
)
DEBIANS = {"etc/ssl/certs/ca-certificates.crt": PUBLIC, "usr/lib/ssl/openssl.cnf": ""}
Make = Callable[..., str]


@pytest.fixture
def image(engine: str, tmp_path: Path) -> Iterator[Make]:
    """Builds an image of these files, links and instructions; it is removed at the end, with derived images."""
    made: list[str] = []

    def make(
        files: Mapping[str, str], links: Mapping[str, str] | None = None, changes: Sequence[str] = CHANGES
    ) -> str:
        name = f"{unique_name('inside')}:1"
        with tarfile.open(tmp_path / "root.tar", "w") as tar:
            folder = tarfile.TarInfo("etc/ssl")
            folder.type, folder.mode, folder.uid = tarfile.DIRTYPE, 0o711, 7
            tar.addfile(folder)
            for path, text in files.items():
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(text), 0o644
                tar.addfile(entry, io.BytesIO(text.encode()))
            for path, target in (links or {}).items():
                entry = tarfile.TarInfo(path)
                entry.type, entry.linkname = tarfile.SYMTYPE, target
                tar.addfile(entry)
        docker.docker("import", *(f"--change={change}" for change in changes), str(tmp_path / "root.tar"), name)
        made.append(name)
        return name

    yield make
    for name in made:
        on_it = docker.docker("images", "-q", f"--filter=label={ORIGINAL_LABEL}={name}").split()
        docker.docker("rmi", "-f", *on_it, name)


@pytest.fixture
def events() -> list[Event]:
    """The events."""
    return []


async def test_derived_image_differs_only_in_layers_and_a_label(
    api: Engine, image: Make, events: list[Event]
) -> None:
    """An inspection or the history shows nothing of the host; no container is left."""
    name = image(DEBIANS)
    before = docker.docker("ps", "-aq", f"--filter=label={ORIGINAL_LABEL}={name}")
    derived = (await derive(api, {name: name}, GIVEN, events.append))[name]
    assert before == docker.docker("ps", "-aq", f"--filter=label={ORIGINAL_LABEL}={name}") == ""
    base, details = docker.inspect(name), docker.inspect(derived)
    assert details["RootFS"]["Layers"][:-1] == base["RootFS"]["Layers"]
    labels = details["Config"].pop("Labels")
    assert labels == {**base["Config"].pop("Labels"), "devenv.inside": "ca,npm", "devenv.inside.of": name}
    assert details["Config"] == base["Config"]
    assert (details["Os"], details["Architecture"]) == (base["Os"], base["Architecture"])
    written = docker.docker("history", "--no-trunc", derived) + docker.docker("inspect", derived)
    assert CANARY not in written
    assert "CERTIFICATE" not in written
    assert events == [ImageState(name, "making", "this host's settings")]


async def test_lines_are_added_to_files_of_the_image(api: Engine, image: Make, events: list[Event]) -> None:
    """Root owns the changed files and all may read them; folders do not change."""
    name = image({**DEBIANS, "etc/npmrc": "fund=false\n"})
    derived = (await derive(api, {name: name}, GIVEN, events.append))[name]
    members = await _files(api, derived)
    bundle = members["etc/ssl/certs/ca-certificates.crt"]
    assert bundle[1] == PUBLIC + CA
    assert (bundle[0].mode & 0o777, bundle[0].uid) == (0o644, 0)
    assert members["etc/npmrc"][1].splitlines() == [
        "fund=false",
        f"registry=https://{CANARY}/",
        "cafile=/etc/ssl/certs/ca-certificates.crt",
    ]
    assert members["usr/lib/ssl/cert.pem"][0].linkname == "/etc/ssl/certs/ca-certificates.crt"
    assert [path for path in members if path.startswith("usr/local/share/ca-certificates/devenv-")]
    assert (members["etc/ssl"][0].mode & 0o777, members["etc/ssl"][0].uid) == (0o711, 7)


async def test_links_in_the_image_are_kept(api: Engine, image: Make, events: list[Event]) -> None:
    """With Red Hat's layout, the folder of Debian's bundle is a link, and stays one."""
    bundle = "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
    links = {"etc/ssl/certs": "../pki/tls/certs", "etc/pki/tls/certs/ca-bundle.crt": f"/{bundle}"}
    name = image({bundle: PUBLIC}, links)
    members = await _files(api, (await derive(api, {name: name}, GIVEN, events.append))[name])
    assert members[bundle][1] == PUBLIC + CA
    assert members["etc/pki/tls/certs/ca-certificates.crt"][1] == PUBLIC + CA
    assert members["etc/ssl/certs"][0].issym()
    assert members["etc/pki/tls/certs/ca-bundle.crt"][0].issym()


async def test_containers_of_dead_derivations_are_removed(
    api: Engine, image: Make, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only old containers of ours are removed."""
    name = image(DEBIANS)
    mine = f"label={ORIGINAL_LABEL}={name}"
    for mark in ("", "ca"):
        docker.docker(
            "create", f"--label=devenv.inside={mark}", f"--label={ORIGINAL_LABEL}={name}", "--entrypoint=-", name
        )
    left = docker.docker("ps", "-aq", f"--filter={mine}").split()
    await derive(api, {name: name}, GIVEN, events.append)
    assert docker.docker("ps", "-aq", f"--filter={mine}").split() == left
    monkeypatch.setattr(inside, "ABANDONED", -60.0)
    await derive(api, {name: name}, replace(GIVEN, npm={}), events.append)
    kept = docker.docker("ps", "-aq", f"--filter={mine}", "--filter=label=devenv.inside=ca").split()
    assert docker.docker("ps", "-aq", f"--filter={mine}").split() == kept
    assert len(kept) == 1
    docker.docker("rm", "-v", *kept)


async def test_image_without_a_command_is_derived(api: Engine, image: Make, events: list[Event]) -> None:
    """The derived image has no command either."""
    name = image({"a": "b"}, changes=())
    config = docker.inspect((await derive(api, {name: name}, GIVEN, events.append))[name])["Config"]
    assert not config["Cmd"]
    assert not config["Entrypoint"]
    assert not config["Env"]


async def test_derived_image_is_reused_for_the_same_settings(api: Engine, image: Make, events: list[Event]) -> None:
    """Other settings replace it, unless a container uses the old one."""
    name = image(DEBIANS)
    first = await derive(api, {name: name}, GIVEN, events.append)
    made = docker.inspect(first[name])["Id"]
    assert await derive(api, {name: name}, replace(GIVEN, public=(), left_out=("x",)), events.append) == first
    assert docker.inspect(first[name])["Id"] == made
    assert len(events) == 1
    second = await derive(api, {name: name}, replace(GIVEN, npm={}), events.append)
    assert not docker.succeeds("image", "inspect", first[name])
    container = docker.docker("create", second[name])
    try:
        third = await derive(api, {name: name}, replace(GIVEN, pip={"index-url": "https://p.test"}), events.append)
        assert docker.succeeds("image", "inspect", second[name], third[name])
    finally:
        docker.docker("rm", "-v", container)
    assert len({first[name], second[name], third[name]}) == 3


async def test_images_with_onbuild_are_not_derived(api: Engine, image: Make, events: list[Event]) -> None:
    """Without settings such an image is used unchanged."""
    name = image(DEBIANS, changes=("ONBUILD RUN true",))
    assert await derive(api, {name: name}, GIVEN, events.append) == {}
    assert [event for event in events if isinstance(event, Notice) and "ONBUILD" in event.message] == events != []
    assert await derive(api, {name: name}, PackageSettings(left_out=("x",)), events.append) == {}


async def _files(api: Engine, image: str) -> dict[str, tuple[tarfile.TarInfo, str]]:
    container = docker.docker("create", "--network=none", image)
    try:
        archive = await api.archive.get(container, "/")
    finally:
        docker.docker("rm", "-v", container)
    assert archive is not None
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name.strip("./"): (member, _text(tar, member)) for member in tar}


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file: Any = tar.extractfile(member) if member.isreg() else None
    return file.read().decode() if file else ""
