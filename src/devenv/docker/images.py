"""Images of the Engine API; the engine asks the registries, since it knows its proxies and mirrors."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, TypeVar
from urllib.parse import quote

import anyio

from devenv.docker import inspect as answers
from devenv.docker.bulk import Take
from devenv.docker.transport import CallError, EngineGroup, IgnoreAbsent
from devenv.errors import EngineError
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import PROJECT_LABEL, SERVICE_LABEL
from devenv.model.images import split
from devenv.tasks import each

ANONYMOUS = "e30="  # `{}` in base64: some engines refuse a push without the header
STALLED = 60.0  # seconds that a transfer may be silent
UNPACKING = 600.0  # seconds for the engine to pack or unpack an archive, without progress
MEGA = 1e6
T = TypeVar("T")
DIGEST = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})")
DONE = ("Pull complete", "Already exists", "Pushed", "Layer already exists", "Mounted from")


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image that the engine has; `size` in bytes, `created` in RFC 3339.

    `platform` such as `linux/amd64`; empty if it is unknown.
    """

    id: str
    names: tuple[str, ...]
    size: int
    created: str
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """Progress of a transfer: layers `done` of all `layers`, and `current` bytes of the known `total`.

    As text `3 of 8 layers, 12 of 40 MB`; without the bytes if no size is known.
    """

    done: int = 0
    layers: int = 0
    current: int = 0
    total: int = 0

    def __str__(self) -> str:
        layers = f"{self.done} of {self.layers} layers"
        amount = f", {self.current / MEGA:.0f} of {self.total / MEGA:.0f} MB" if self.total else ""
        return layers + amount


OnProgress = Callable[[TransferProgress], object]


class Images(EngineGroup):
    """The images of an engine, and of the registries that the engine reaches."""

    async def ids(self) -> tuple[str, ...]:
        """The ids of all images."""
        return tuple(await self._api.ask_all("images/json", "listing images", answers.object_id))

    async def inspect(self, reference: str) -> dict[str, Any]:
        """The image as the engine describes it. Raises CallError if the engine does not have it."""
        return await self._read(reference, dict)

    async def _read(self, reference: str, read: Callable[[Any], T]) -> T:
        return await self._api.ask(f"images/{quote(reference)}/json", f"inspecting {reference}", read)

    async def platform(self, image_id: str) -> str:
        """The platform of an image, such as `linux/amd64`; empty if it is unknown."""
        with contextlib.suppress(EngineError):
            return await self._read(image_id, lambda answer: answers.platform(answer, "Architecture"))
        return ""

    async def variables(self, reference: str) -> dict[str, str]:
        """The environment variables of an image; none if the engine does not have it."""
        with contextlib.suppress(CallError):
            return await self._read(reference, lambda answer: answers.variables(answer["Config"].get("Env")))
        return {}

    async def tags(self, image_id: str) -> tuple[str, ...]:
        """The names of an image; none if it is dangling or gone."""
        with contextlib.suppress(CallError):
            return await self._read(image_id, lambda answer: tuple(answer.get("RepoTags") or ()))
        return ()

    async def remove(self, image_id: str) -> None:
        """Remove an image by its name, or an untagged image by its id; does nothing if the image is in use."""
        with contextlib.suppress(CallError):
            await self._api.call("DELETE", f"images/{image_id}", "removing an image")

    async def local_images(self, references: Iterable[str]) -> tuple[LocalImage, ...]:
        """Those of the referenced images that the engine has, inspected concurrently."""

        async def local(reference: str) -> LocalImage | None:
            with IgnoreAbsent():
                return await self._read(reference, _local_image)
            return None

        images = await each(local, dict.fromkeys(references))
        return tuple({image.id: image for image in images if image}.values())

    async def labelled(self, label: str) -> dict[str, Mapping[str, str]]:
        """The labels of all images with this label, by the names of the images."""
        query = {"filters": json.dumps({"label": [label]})}

        def labels(answer: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, str]]:
            tags = ((name, image.get("Labels") or {}) for image in answer for name in image.get("RepoTags") or ())
            return {answers.text(name): labels for name, labels in tags}

        return await self._api.ask("images/json", "listing images", labels, query)

    async def built_by(self, project: str) -> tuple[LocalImage, ...]:
        """The images that Compose built for the project and that have no other name than its default, or no name."""
        label = f"{PROJECT_LABEL}={project}"

        def own(image: Mapping[str, Any]) -> LocalImage | None:
            names = tuple(name for name in image.get("RepoTags") or () if name != "<none>:<none>")
            service = (image.get("Labels") or {}).get(SERVICE_LABEL)
            default = {f"{project}{sign}{service}:latest" for sign in "-_"}
            found = LocalImage(answers.object_id(image), names, int(image["Size"]), "")
            return found if service and default.issuperset(names) else None

        query = {"filters": json.dumps({"label": [label]})}
        images = await self._api.ask_all("images/json", "listing images", own, query)
        return tuple(image for image in images if image is not None)

    async def recorded_texts(self, image: str) -> tuple[str, ...]:
        """Texts that all users of the image can read: its environment, and the instructions that built it."""
        environment = await self._read(image, lambda answer: tuple((answer.get("Config") or {}).get("Env") or ()))
        path, action = f"images/{quote(image)}/history", f"inspecting {image}"
        history = await self._api.ask_all(path, action, lambda layer: str(layer["CreatedBy"]))
        return (*environment, *history)

    async def distribution(self, reference: str, auth: str = "") -> str:
        """The digest of the reference in its registry, asked by the engine; nothing is downloaded.

        `auth` is the result of `credentials`. Raises CallError with the engine's reason if the image is not found or
        the registry refuses access or does not answer.
        """
        path, action = f"distribution/{quote(reference)}/json", f"asking for {reference}"

        def digest(answer: Mapping[str, Any]) -> str:
            return answers.text(answer["Descriptor"]["digest"])

        return await self._api.ask(path, action, digest, headers=_headers(auth), total=STALLED)

    async def pull(
        self, reference: str, *, platform: str | None = None, auth: str = "", on_progress: OnProgress = lambda _: None
    ) -> None:
        """Pull an image. Raises CallError with the engine's reason."""
        name, tag = parted(reference)
        query = {"fromImage": name, "tag": tag} | ({"platform": platform} if platform else {})
        await self._transfer("images/create", f"pulling {reference}", query, auth, on_progress)

    async def push(self, reference: str, *, auth: str = "", on_progress: OnProgress = lambda _: None) -> str:
        """Push an image and return its digest in the registry. Raises CallError."""
        name, tag = parted(reference)
        path, action = f"images/{quote(name)}/push", f"pushing {reference}"
        if digest := await self._transfer(path, action, {"tag": tag}, auth, on_progress):
            return digest
        raise CallError(0, "the engine reported no digest", action)

    async def _transfer(
        self, path: str, action: str, query: dict[str, str], auth: str, on_progress: OnProgress
    ) -> str:
        """Pull or push; the digest of a push. Raises CallError after `STALLED` seconds without progress."""
        lines = _Lines(action, on_progress)
        with anyio.move_on_after(STALLED) as patience:

            def take(chunk: bytes) -> None:
                patience.deadline = anyio.current_time() + STALLED
                lines.take(chunk)

            await self._api.stream("POST", path, action, take, query=query, headers=_headers(auth), idle=2 * STALLED)
            return lines.digest
        raise CallError(0, f"no progress for {STALLED:.0f} seconds", action)

    async def tag(self, image: str, reference: str) -> None:
        """Add a name to the image."""
        name, version = parted(reference)
        query = {"repo": name, "tag": version}
        await self._api.call("POST", f"images/{quote(image)}/tag", f"tagging {reference}", query=query)

    async def untag(self, reference: str) -> None:
        """Remove the name, and the image if it has no other name; does nothing if the name does not exist."""
        path, action = f"images/{quote(reference)}", f"removing {reference}"
        with contextlib.suppress(CallError):
            await self._api.call("DELETE", path, action, query={"noprune": "1"})

    async def commit(self, container: str, reference: str, config: Mapping[str, Any]) -> None:
        """Create an image from the container's files, with `config` on top of the container's configuration."""
        name, version = parted(reference)
        query, body = {"container": container, "repo": name, "tag": version}, json.dumps(config).encode()
        await self._api.call("POST", "commit", f"making {reference}", query=query, body=body, total=UNPACKING)

    async def export(self, references: Sequence[str], take: Take) -> None:
        """Pass a tar of all images, as for `docker load`, to `take` in pieces, in a thread.

        A piece is valid until `take` returns.
        """
        query = [("names", reference) for reference in references]
        await self._api.download("images/get", "exporting images", take, query=query, idle=UNPACKING)

    async def load(self, archive: AsyncIterable[bytes]) -> tuple[str, ...]:
        """Load a tar of images and return their names, or ids without a name. Raises CallError for a broken tar."""
        lines = _Lines("loading images", lambda _: None)
        await self._api.stream(
            "POST", "images/load", lines.action, lines.take, query={"quiet": "1"}, body=archive, idle=UNPACKING
        )
        loaded = (line.partition(": ") for line in "".join(lines.streamed).splitlines())
        return tuple(name.strip() for text, _, name in loaded if text in ("Loaded image", "Loaded image ID"))


def _local_image(entry: Mapping[str, Any]) -> LocalImage:
    """The image in the answer of an inspection."""
    config = entry.get("Config") or {}
    return LocalImage(
        id=answers.text(entry["Id"]),
        names=(*(entry.get("RepoTags") or ()), *(entry.get("RepoDigests") or ())),
        size=int(entry.get("Size") or 0),
        created=str(entry.get("Created") or ""),
        labels=config.get("Labels") or {},
        platform=answers.platform(entry, "Architecture"),
    )


def parted(reference: str) -> tuple[str, str]:
    """The name, and the digest or else the tag (`latest` by default: without a tag the engine pulls all tags)."""
    name, tag, digest = split(reference)
    return name, digest or tag or "latest"


def _headers(auth: str) -> dict[str, str]:
    return {"X-Registry-Auth": auth or ANONYMOUS}


class _Lines:
    """The reader of the engine's stream of JSON lines, which adds up the progress of the layers."""

    def __init__(self, action: str, on_progress: OnProgress) -> None:
        self.action = action
        self.digest = ""
        self.streamed: list[str] = []
        self._on_progress = on_progress
        self._rest = b""
        self._layers: dict[str, tuple[str, int, int]] = {}  # state, bytes so far, bytes in all

    def take(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                self._line(json.loads(line))

    def _line(self, line: dict[str, Any]) -> None:
        if error := line.get("errorDetail") or line.get("error"):
            raise CallError(0, str(error.get("message") if isinstance(error, dict) else error), self.action)
        self.streamed.append(str(line.get("stream", "")))
        layer, state = str(line.get("id") or ""), str(line.get("status", ""))
        if digest := DIGEST.search(state):
            self.digest = digest[1]
        if layer and not state.startswith("Pulling from"):
            self._layers[layer] = self._layer(layer, state, line.get("progressDetail") or {})
        states = self._layers.values()
        done = sum(state.startswith(DONE) for state, _, _ in states)
        self._on_progress(TransferProgress(done, len(states), sum(s[1] for s in states), sum(s[2] for s in states)))

    def _layer(self, layer: str, state: str, detail: dict[str, Any]) -> tuple[str, int, int]:
        """The progress of a layer; unpacking does not count as another download."""
        _, current, total = self._layers.get(layer, ("", 0, 0))
        if state in ("Downloading", "Pushing"):
            return state, int(detail.get("current") or 0), max(int(detail.get("total") or 0), total)
        return state, total if state.startswith(("Download complete", *DONE)) else current, total
