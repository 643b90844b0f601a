"""A server that plays messages to the page, as the contract between page and run has them; it needs no run."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parents[2] / "src/devenv/web/static"
TOKEN = "a-token-of-this-test"  # noqa: S105 - of a server that holds nothing
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

Message = dict[str, Any]


@dataclass
class PageServer:
    """Messages that each new stream begins with, and the queues of the open streams."""

    messages: list[Message]
    answers: dict[str, tuple[int, Message]] = field(default_factory=dict)  # by path, for /api/action and /api/earlier
    requests: list[tuple[str, Message]] = field(default_factory=list)
    streams: list[queue.Queue[bytes | None]] = field(default_factory=list)
    is_gone: bool = False
    port: int = 0

    @property
    def url(self) -> str:
        """The address of the page, with its token."""
        return f"http://127.0.0.1:{self.port}/#{TOKEN}"

    def send(self, *messages: Message) -> None:
        """Send messages to each open stream, and to each that opens later."""
        self.messages += messages
        data = encoded(messages)
        for stream in self.streams:
            stream.put(data)

    def drop(self) -> None:
        """End all streams."""
        for stream in self.streams:
            stream.put(None)
        self.streams.clear()

    def actions(self) -> list[Message]:
        """The bodies of all requests for an action."""
        return [body for path, body in self.requests if path == "/api/action"]


def encoded(messages: Iterable[Message]) -> bytes:
    """The messages as lines of JSON."""
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


class _Handler(BaseHTTPRequestHandler):
    page: PageServer

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        """The shell and its files."""
        name = "index.html" if self.path == "/" else self.path.removeprefix("/static/")
        file = STATIC / name
        if "/" in name or not file.is_file():
            self.send_error(404)
            return
        self._answer(200, KINDS[file.suffix], file.read_bytes())

    def do_POST(self) -> None:
        """The stream, actions and earlier lines."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.page.is_gone:
            self.close_connection = True
            return
        is_own = self.headers["Origin"] == f"http://{self.headers['Host']}"
        if self.headers["Authorization"] != f"Bearer {TOKEN}" or not is_own:
            self._answer(403, "application/json", b'{"error": "the token is not valid"}')
            return
        self.page.requests.append((self.path, body))
        if self.path == "/api/stream":
            self._stream()
            return
        status, answer = self.page.answers.get(self.path, (200, {"ok": True, "lines": []}))
        self._answer(status, "application/json", json.dumps(answer).encode())

    def _stream(self) -> None:
        stream: queue.Queue[bytes | None] = queue.Queue()
        stream.put(encoded(self.page.messages))
        self.page.streams.append(stream)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.end_headers()
        try:
            while (data := stream.get()) is not None:
                self.wfile.write(data)
        except OSError:
            return
        finally:
            self.close_connection = True

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def page_server(messages: Iterable[Message]) -> Iterator[PageServer]:
    """A server on a random port of 127.0.0.1."""
    page = PageServer(list(messages))
    handler = type("Handler", (_Handler,), {"page": page})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    page.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield page
    finally:
        page.is_gone = True
        page.drop()
        server.shutdown()
        server.server_close()
        thread.join()
