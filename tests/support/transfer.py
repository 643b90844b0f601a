"""A transfer of volumes on an engine that holds their archives by name."""

from __future__ import annotations

# ruff: noqa: D102 - the fake has the methods of what it replaces
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio

from devenv.docker.endpoint import Endpoint
from devenv.docker.transport import CallError
from devenv.events import Event
from devenv.model.containers import Volume
from devenv.state.identity import Place
from devenv.state.run_dir import Run
from devenv.volumes.lineage import Lineage
from devenv.volumes.lineages import Lineages
from devenv.volumes.store import Store
from devenv.volumes.transfer import VolumeTransfer

AT = "2026-11-30T10:00:00Z"
DATA = Volume("p_data", "p", "data", driver="local", created=AT)
LINE = Lineage("l1", "an engine", Place("/p", 1, 2), "p", "data", "p_data")


def tar(root_name: str = ".devenv-volume/", **files: bytes) -> bytes:
    """A volume's archive, as Docker makes it; Podman calls the root `/`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        root = tarfile.TarInfo(root_name)
        root.type = tarfile.DIRTYPE
        archive.addfile(root)
        for name, content in files.items():
            info = tarfile.TarInfo(f"{root_name}{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


WHOLE = tar(a=b"hello", b=b"world" * 100)


class PlayedEngine:
    """Holds volumes' archives by name; `slow` saves take a minute, an answer to a create takes a moment."""

    endpoint = Endpoint("unix:///x")
    is_podman = False

    def __init__(self, **archives: bytes) -> None:
        self.archives = archives
        self.asked = anyio.Event()
        self.there: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self.refused: set[str] = set()  # images
        self.tried: list[str] = []  # images
        self.put_in: list[bytes] = []
        self.put_at: list[str] = []
        self.made: list[Mapping[str, Any]] = []
        self.paused: list[tuple[str, bool]] = []
        self.trouble: Exception | None = None
        self.others: dict[str, Volume] = {}
        self.slow = False
        self.recorded: bytes = b""
        self.record = ""
        self.containers = SimpleNamespace(
            create=self.create_container, remove=self.remove_container, pause=self.pause
        )
        self.archive = SimpleNamespace(download=self.download, put=self.put, upload=self.upload)
        self.volumes = SimpleNamespace(inspect=self.volume, create=self.create_volume, remove=self.remove_volume)
        self.removed: list[str] = []  # volumes
        self.images = SimpleNamespace(ids=self.image_ids)

    async def image_ids(self) -> tuple[str, ...]:
        return ("image", "another")

    async def volume(self, name: str) -> Volume | None:
        return self.others.get(name)

    async def create_container(self, wish: Mapping[str, Any], name: str = "") -> str:
        self.asked.set()
        self.tried.append(wish["Image"])
        self.recorded = Path(self.record).read_bytes() if self.record else b""
        if wish["Image"] in self.refused:
            raise CallError(404, f"no such image: {wish['Image']}", "creating a container")
        self.there[f"id-{name}"] = (name, wish)
        if self.slow:
            await anyio.sleep(0.05)
        return f"id-{name}"

    async def download(self, holder: str, path: str, take: Any) -> None:
        assert path == "/.devenv-volume"
        if self.slow:
            await anyio.sleep(60)
        volume = self.there[holder][1]["HostConfig"]["Mounts"][0]["Source"]
        content = self.archives[volume]
        for start in range(0, len(content), 700):
            take(memoryview(content)[start : start + 700])
            if self.trouble is not None:
                raise self.trouble

    async def put(self, holder: str, archive: bytes, path: str = "/") -> None:
        if self.trouble is not None:
            raise self.trouble
        assert holder in self.there
        self.put_in.append(bytes(archive))
        self.put_at.append(path)

    async def upload(self, holder: str, pieces: Iterator[bytes], size: int, path: str = "/") -> None:
        await self.put(holder, b"".join(pieces), path)
        assert size == len(self.put_in[-1])

    async def remove_volume(self, name: str) -> None:
        self.removed.append(name)

    async def remove_container(self, container_id: str) -> None:
        del self.there[container_id]

    async def create_volume(self, wish: Mapping[str, Any]) -> Volume:
        self.made.append(wish)
        if self.trouble is not None:
            raise self.trouble
        return replace(DATA, name=wish["Name"])

    async def pause(self, container_id: str, *, on: bool) -> None:
        self.paused.append((container_id, on))


class Played:
    """A VolumeTransfer, its engine, and its events."""

    def __init__(self, **archives: bytes) -> None:
        self.engine = PlayedEngine(**archives)
        self.told: list[Event] = []
        run = Run.open("an engine", self.engine.endpoint, "p")
        store, lineages = Store.at_home(), Lineages.at_home()
        limits = 10**6, 10**7
        self.volume_transfer = VolumeTransfer(self.engine, self.told.append, run, "p", "/p", store, lineages, *limits)  # type: ignore[arg-type]
        self.engine.record = run.made.path

    @property
    def line(self) -> Lineage:
        """The lineage as it is on disk now."""
        lineage = self.volume_transfer.lineages.get("l1")
        assert lineage is not None
        return lineage
