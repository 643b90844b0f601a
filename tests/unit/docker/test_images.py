"""Transfers of images, from the engine's stream of JSON lines."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import anyio
import pytest

from devenv.docker import images
from devenv.docker.http import Client
from devenv.docker.images import Images, TransferProgress, parted
from devenv.docker.transport import CallError, Transport

DIGEST = f"sha256:{'a' * 64}"
PULL = [
    {"status": "Pulling from library/x", "id": "1"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "aa"},
    {"status": "Already exists", "progressDetail": {}, "id": "bb"},
    {"status": "Downloading", "progressDetail": {"current": 10, "total": 40}, "id": "aa"},
    {"status": "Verifying Checksum", "progressDetail": {}, "id": "aa"},
    {"status": "Download complete", "progressDetail": {}, "id": "aa"},
    {"status": "Extracting", "progressDetail": {"current": 5, "total": 40}, "id": "aa"},
    {"status": "Pull complete", "progressDetail": {}, "id": "aa"},
    {"status": f"Digest: {DIGEST}"},
    {"status": "Status: Downloaded newer image for x:1"},
]


class Table:
    """An engine that answers with these lines, in pieces of `piece` bytes, and records the request."""

    def __init__(self, *lines: object, piece: int = 7, pause: float = 0.0, then_silent: bool = False) -> None:
        self.text = b"".join(json.dumps(line).encode() + b"\r\n" for line in lines)
        self.piece = piece
        self.pause = pause
        self.then_silent = then_silent
        self.path = ""
        self.query: dict[str, str] = {}
        self.headers: dict[str, str] = {}

    async def stream(
        self, _: str, path: str, __: str, take: Callable[[bytes], object], *, query: Any, **options: Any
    ) -> None:
        """The lines, in pieces."""
        self.path, self.query, self.headers = path, dict(query), options.get("headers") or {}
        for start in range(0, len(self.text), self.piece):
            take(self.text[start : start + self.piece])
            await anyio.sleep(self.pause)
        if self.then_silent:
            await anyio.sleep_forever()


def test_layers_and_bytes_of_a_pull() -> None:
    """Every line reports progress; unpacking a layer does not count as another download."""
    seen: list[TransferProgress] = []
    table = Table(*PULL)
    run(table, Images.pull, "r.test:5000/x", platform="linux/arm64", auth="secret", on_progress=seen.append)
    assert seen[:4] == [
        TransferProgress(),
        TransferProgress(0, 1),
        TransferProgress(1, 2),
        TransferProgress(1, 2, 10, 40),
    ]
    assert seen[4:6] == [TransferProgress(1, 2, 10, 40), TransferProgress(1, 2, 40, 40)]
    assert seen[-1] == TransferProgress(2, 2, 40, 40)
    assert table.query == {"fromImage": "r.test:5000/x", "tag": "latest", "platform": "linux/arm64"}
    assert table.headers == {"X-Registry-Auth": "secret"}


@pytest.mark.parametrize("error", [{"errorDetail": {"message": "why"}, "error": "why"}, {"error": "why"}])
def test_an_error_in_the_stream_is_raised(error: dict[str, Any]) -> None:
    """The status is 200 already when the engine fails; its message is the reason."""
    with pytest.raises(CallError) as raised:
        run(Table(PULL[0], error), Images.pull, "x")
    assert (raised.value.reason, raised.value.message) == ("why", "pulling x: why")


def test_a_transfer_that_stalls_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time counts from the last message."""
    monkeypatch.setattr(images, "STALLED", 0.5)
    run(Table(*PULL, piece=100, pause=0.15), Images.pull, "x")
    with pytest.raises(CallError, match="no progress for 0 seconds"):
        run(Table(*PULL[:3], then_silent=True), Images.pull, "x")


def test_a_push_ends_with_the_digest() -> None:
    """An engine that names no digest has not pushed."""
    lines = (
        {"status": "The push refers to repository [r.test/x]"},
        {"status": "Pushing", "progressDetail": {"current": 3, "total": 9}, "id": "aa"},
        {"status": "Pushed", "progressDetail": {}, "id": "aa"},
        {"status": f"1: digest: {DIGEST} size: 9"},
        {"progressDetail": {}, "aux": {"Tag": "1", "Digest": DIGEST, "Size": 9}},  # some engines leave it out
    )
    table, seen = Table(*lines), list[TransferProgress]()
    assert run(table, Images.push, "r.test/x:1", on_progress=seen.append) == DIGEST
    assert (table.path, table.query, seen[-1]) == ("images/r.test/x/push", {"tag": "1"}, TransferProgress(1, 1, 9, 9))
    assert json.loads(base64.b64decode(table.headers["X-Registry-Auth"])) == {}
    with pytest.raises(CallError, match="no digest"):
        run(Table(*lines[:3]), Images.push, "r.test/x:1")


def test_names_of_loaded_images() -> None:
    """An image without a tag is named by its id."""
    lines = ({"stream": "Loaded image: a:1\n"}, {"stream": f"Loaded image ID: {DIGEST}\n"}, {"stream": "x\n"})
    assert run(Table(*lines), Images.load, archive(b"tar")) == ("a:1", DIGEST)


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("node", ("node", "latest")),
        ("localhost:5000/node", ("localhost:5000/node", "latest")),
        ("localhost:5000/node:22", ("localhost:5000/node", "22")),
        (f"node@{DIGEST}", ("node", DIGEST)),
        (f"localhost:5000/node:22@{DIGEST}", ("localhost:5000/node", DIGEST)),
    ],
)
def test_name_and_version(reference: str, parts: tuple[str, str]) -> None:
    """A digest takes precedence over a tag; without both, the tag is `latest`."""
    assert parted(reference) == parts


class Line:
    """A connection that takes `limit` bytes and then answers."""

    plain = None

    def __init__(self, answer: bytes, limit: int = 1 << 30) -> None:
        self.sent = b""
        self._answer = answer
        self._limit = limit

    async def send(self, data: bytes) -> None:
        """Take the bytes. Raises an error after `limit` bytes."""
        self.sent += data
        if len(self.sent) > self._limit:
            raise anyio.BrokenResourceError

    async def receive(self, _: int) -> bytes:
        """The whole answer."""
        answer, self._answer = self._answer, b""
        return answer

    async def aclose(self) -> None:
        """Nothing."""


@pytest.mark.parametrize("limit", [1 << 30, 200])
def test_a_body_is_sent_in_its_own_pieces(limit: int) -> None:
    """An archive is never completely in memory; a refusal before its end is read nevertheless."""
    line = Line(b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno", limit)

    async def main() -> tuple[int, bytes]:
        async def dial() -> Line:
            return line

        client = Client(dial)
        body = archive(b"one", b"two" * 50, b"three")
        async with client.request("POST", "/load", body=body, idle=5, headers={"X-A": "b"}) as answer:
            return answer.status, await answer.read()

    assert anyio.run(main) == (400, b"no")
    head, _, sent = line.sent.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert b"X-A: b" in head
    assert sent.startswith(b"3\r\none\r\n96\r\ntwotwo")
    assert sent.endswith(b"0\r\n\r\n") == (limit > 200)


async def archive(*chunks: bytes) -> AsyncIterator[bytes]:
    """The chunks, one at a time."""
    for chunk in chunks:
        yield chunk


def run(table: Table, verb: Callable[..., Any], *args: Any, **options: Any) -> Any:
    async def main() -> Any:
        return await verb(Images(cast("Transport", table)), *args, **options)

    return anyio.run(main)


def test_images_that_were_built_for_a_project() -> None:
    """Those with the default name of their service or without a name; an image with another name is the user's."""

    def entry(name: str, *tags: str, service: str = "web") -> dict[str, Any]:
        labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": service}
        return {"Id": name, "RepoTags": list(tags), "Labels": labels, "Size": 5}

    class Listing:
        async def ask_all(self, _: str, __: str, read: Callable[[Any], Any], ___: object) -> list[Any]:
            entries = [
                entry("a", "shop-web:latest"),
                entry("b", "<none>:<none>"),
                entry("c"),
                entry("d", "example/web:1"),
                entry("e", "shop-web:latest", "example/web:1"),
                entry("f", "shop-web:1"),
                entry("g", "shop-db:latest"),
                entry("h", service=""),
            ]
            return [read(one) for one in entries]

    found = anyio.run(Images(cast("Transport", Listing())).built_by, "shop")
    assert [(image.id, image.names, image.size) for image in found] == [
        ("a", ("shop-web:latest",), 5), ("b", (), 5), ("c", (), 5),
    ]  # fmt: skip
