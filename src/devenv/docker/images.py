"""Images by the Engine API. Every question to a registry is asked by the engine: it knows its proxies and mirrors."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import anyio

from devenv.docker import inspect as answers
from devenv.docker.cli import LocalImage, local_image
from devenv.docker.client import CallError, Engine
from devenv.tasks import each

ANONYMOUS = "e30="  # an empty object: some engines refuse a push without the header
STALLED = 60.0  # seconds that a running transfer may say nothing
UNPACKING = 600.0  # seconds for an archive to be put together or taken apart, of which the engine tells nothing
MEGA = 1e6
DIGEST = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})")
DONE = ("Pull complete", "Already exists", "Pushed", "Layer already exists", "Mounted from")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is: layers that are done, of so many; bytes that came, of so many as are known by now.

    As text `3 of 8 layers, 12 of 40 MB`, without the bytes where there are none to wait for.
    """

    done: int = 0
    layers: int = 0
    current: int = 0
    total: int = 0

    def __str__(self) -> str:
        layers = f"{self.done} of {self.layers} layers"
        amount = f", {self.current / MEGA:.0f} of {self.total / MEGA:.0f} MB" if self.total else ""
        return layers + amount


OnProgress = Callable[[Progress], object]


async def local_images(engine: Engine, references: Iterable[str]) -> tuple[LocalImage, ...]:
    """Those of the referenced images that the engine has, asked for all at once; what is missing is left out."""

    async def one(reference: str) -> LocalImage | None:
        try:
            return await engine.ask(f"images/{quote(reference)}/json", "inspecting an image", local_image)
        except CallError as error:
            if error.absent:
                return None
            raise

    found = await each(one, dict.fromkeys(references))
    return tuple({image.id: image for image in found if image}.values())


async def distribution(engine: Engine, reference: str, auth: str = "") -> str:
    """The digest that the reference has in its registry, asked by the engine; nothing is downloaded.

    `auth` is what `credentials` gives. Raises CallError with the engine's words where the registry has no such image,
    does not let us have it or does not answer.
    """
    path, what = f"distribution/{quote(reference)}/json", f"asking for {reference}"

    def digest(shown: Mapping[str, Any]) -> str:
        return answers.text(shown["Descriptor"]["digest"])

    return await engine.ask(path, what, digest, headers=_headers(auth), total=STALLED)


async def pull(
    engine: Engine,
    reference: str,
    *,
    platform: str | None = None,
    auth: str = "",
    on_progress: OnProgress = lambda _: None,
) -> None:
    """The image is here, under the name asked for. Raises CallError with the engine's words where it cannot."""
    name, tag = parted(reference)
    query = {"fromImage": name, "tag": tag} | ({"platform": platform} if platform else {})
    await _transfer(engine, "images/create", f"pulling {reference}", query, auth, on_progress)


async def push(engine: Engine, reference: str, *, auth: str = "", on_progress: OnProgress = lambda _: None) -> str:
    """The digest under which the registry took the image. Raises CallError where it did not."""
    name, tag = parted(reference)
    path, what = f"images/{quote(name)}/push", f"pushing {reference}"
    if digest := await _transfer(engine, path, what, {"tag": tag}, auth, on_progress):
        return digest
    raise CallError(0, "the engine named no digest", what)


async def tag(engine: Engine, image: str, reference: str) -> None:
    """The image goes by another name, too."""
    name, version = parted(reference)
    what = f"tagging {reference}"
    await engine.call("POST", f"images/{quote(image)}/tag", what, query={"repo": name, "tag": version})


async def untag(engine: Engine, reference: str) -> None:
    """The name is gone, and the image with it where it has no other; nothing happens where it is not there."""
    with contextlib.suppress(CallError):
        await engine.call("DELETE", f"images/{quote(reference)}", f"removing {reference}", query={"noprune": "1"})


async def written(engine: Engine, image: str) -> tuple[str, ...]:
    """What can be read in the image without running it: its environment, and the instructions that made it."""
    path, what = f"images/{quote(image)}", f"inspecting {image}"
    environment = await engine.ask(
        f"{path}/json", what, lambda shown: tuple((shown.get("Config") or {}).get("Env") or ())
    )
    history = await engine.ask(f"{path}/history", what, lambda shown: [str(layer["CreatedBy"]) for layer in shown])
    return (*environment, *history)


async def inspect(engine: Engine, reference: str) -> dict[str, Any]:
    """The image as the engine describes it. Raises CallError where it is not there."""
    return await engine.ask(f"images/{quote(reference)}/json", f"inspecting {reference}", dict)


async def labelled(engine: Engine, label: str) -> dict[str, Mapping[str, str]]:
    """Name -> labels of the images that carry the label."""
    query = {"filters": json.dumps({"label": [label]})}

    def labels(shown: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, str]]:
        return {
            answers.text(name): image.get("Labels") or {} for image in shown for name in image.get("RepoTags") or ()
        }

    return await engine.ask("images/json", "listing images", labels, query)


async def commit(engine: Engine, container: str, reference: str, config: Mapping[str, Any]) -> None:
    """The container's files as an image of that name, with that config where it says something."""
    name, version = parted(reference)
    query, body = {"container": container, "repo": name, "tag": version}, json.dumps(config).encode()
    await engine.call("POST", "commit", f"making {reference}", query=query, body=body, total=UNPACKING)


async def export(engine: Engine, references: Sequence[str], take: Callable[[bytes], object]) -> None:
    """One tar of all the images, in pieces, as `docker load` reads it. Raises CallError where one is not here."""
    query = [("names", reference) for reference in references]
    await engine.stream("GET", "images/get", "exporting images", take, query=query, idle=UNPACKING)


async def load(engine: Engine, archive: AsyncIterable[bytes]) -> tuple[str, ...]:
    """The names that the images of a tar go by now, ids where they have none. Raises CallError for a broken one."""
    lines = _Lines("loading images", lambda _: None)
    await engine.stream(
        "POST", "images/load", lines.what, lines.take, query={"quiet": "1"}, body=archive, idle=UNPACKING
    )
    loaded = (line.partition(": ") for line in "".join(lines.streamed).splitlines())
    return tuple(name.strip() for said, _, name in loaded if said in ("Loaded image", "Loaded image ID"))


def parted(reference: str) -> tuple[str, str]:
    """The name, and the digest or else the tag, or `latest`: without one the engine would pull them all."""
    name, _, digest = reference.partition("@")
    head, colon, version = name.rpartition(":")
    is_tagged = colon and "/" not in version
    return head if is_tagged else name, digest or (version if is_tagged else "latest")


async def _transfer(
    engine: Engine, path: str, what: str, query: dict[str, str], auth: str, on_progress: OnProgress
) -> str:
    """The digest of what was pushed; the engine may wait so long for a registry's next word."""
    lines = _Lines(what, on_progress)
    with anyio.move_on_after(STALLED) as patience:

        def take(chunk: bytes) -> None:
            patience.deadline = anyio.current_time() + STALLED
            lines.take(chunk)

        await engine.stream("POST", path, what, take, query=query, headers=_headers(auth), idle=2 * STALLED)
        return lines.digest
    raise CallError(0, f"nothing came for {STALLED:.0f} seconds", what)


def _headers(auth: str) -> dict[str, str]:
    return {"X-Registry-Auth": auth or ANONYMOUS}


class _Lines:
    """Reads the engine's stream of JSON lines, and sums up what its layers do."""

    def __init__(self, what: str, on_progress: OnProgress) -> None:
        self.what = what
        self.digest = ""
        self.streamed: list[str] = []
        self._on_progress = on_progress
        self._rest = b""
        self._layers: dict[str, tuple[str, int, int]] = {}  # state, bytes that came, bytes in all

    def take(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                self._line(json.loads(line))

    def _line(self, told: dict[str, Any]) -> None:
        if error := told.get("errorDetail") or told.get("error"):
            raise CallError(0, str(error.get("message") if isinstance(error, dict) else error), self.what)
        self.streamed.append(str(told.get("stream", "")))
        layer, state = str(told.get("id") or ""), str(told.get("status", ""))
        if found := DIGEST.search(state):
            self.digest = found[1]
        if layer and not state.startswith("Pulling from"):
            self._layers[layer] = self._layer(layer, state, told.get("progressDetail") or {})
        states = self._layers.values()
        done = sum(state.startswith(DONE) for state, _, _ in states)
        self._on_progress(Progress(done, len(states), sum(s[1] for s in states), sum(s[2] for s in states)))

    def _layer(self, layer: str, state: str, detail: dict[str, Any]) -> tuple[str, int, int]:
        """What is known of a layer: unpacking it does not make it come a second time."""
        _, current, total = self._layers.get(layer, ("", 0, 0))
        if state in ("Downloading", "Pushing"):
            return state, int(detail.get("current") or 0), max(int(detail.get("total") or 0), total)
        return state, total if state.startswith(("Download complete", *DONE)) else current, total
