"""Image registries of a test's own: Debian's docker-registry, and fronts before it that do what a test wants.

A front answers by rules, passes other requests on, and records every request. Nothing here needs an engine.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.client
import io
import json
import os
import platform
import secrets
import shutil
import socket
import ssl
import subprocess
import tarfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from support.boxes import APPLETS, SHELL, static_busybox

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "devenv-compose-test"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
START_SECONDS = 20
CONFIGURATION = """
version: 0.1
log: {{accesslog: {{disabled: true}}, level: error}}
storage: {{filesystem: {{rootdirectory: "{root}"}}, maintenance: {{uploadpurging: {{enabled: false}}}}}}
http: {{addr: "{address}", relativeurls: true}}
"""


@dataclass(frozen=True)
class Seen:
    """A request that a front got."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def authorization(self) -> str | None:
        """The credentials of the request, as sent."""
        return self.headers.get("authorization")


@dataclass(frozen=True)
class Answer:
    """An answer; if `cut`, the second half of its body never arrives."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False


Forward = Callable[[], Answer]
Rule = Callable[[Seen, Forward], "Answer | None"]


class Front:
    """An HTTP server on `listener` that tries `rules` in turn, then `upstream` (host:port).

    `prefix` is a path after `/v2/` below which this front serves everything of upstream. With `tls` it speaks HTTPS.
    """

    def __init__(
        self,
        listener: socket.socket,
        *rules: Rule,
        upstream: str = "",
        prefix: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.rules = list(rules)
        self.seen: list[Seen] = []
        self.upstream = upstream
        self.prefix = prefix
        host, port = listener.getsockname()[:2]
        self.address = f"{host}:{port}"
        self._server = _Server((host, port), _Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.front = self
        self._server.socket = (
            tls.wrap_socket(listener, server_side=True, do_handshake_on_connect=False) if tls else listener
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def asked(self, part: str = "", method: str | None = None) -> list[Seen]:
        """Requests so far whose path contains `part`."""
        return [request for request in self.seen if part in request.path and method in (None, request.method)]

    def answer(self, seen: Seen) -> Answer:
        """The answer of the first rule that has one, else that of upstream."""

        def forward() -> Answer:
            return self._forward(seen)

        self.seen.append(seen)
        for rule in self.rules:
            if (answer := rule(seen, forward)) is not None:
                return answer
        return forward() if self.upstream else Answer(404)

    def _forward(self, seen: Seen) -> Answer:
        path = seen.path.replace(f"/v2/{self.prefix}/", "/v2/", 1) if self.prefix else seen.path
        if self.prefix and path == seen.path and path.strip("/") != "v2":
            return error(404, "NAME_UNKNOWN", "repository name not known to registry")
        connection = http.client.HTTPConnection(self.upstream, timeout=20)
        passed = {
            k: v for k, v in seen.headers.items() if k not in ("authorization", "connection", "transfer-encoding")
        }
        with contextlib.closing(connection):
            connection.request(seen.method, path, body=seen.body, headers=passed)
            response = connection.getresponse()
            headers = {name: value for name, value in response.getheaders() if name.lower() != "date"}
            return Answer(response.status, headers, response.read())

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    front: Front
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a client that disconnects or rejects our certificate is no failure."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"  # a client that tries TLS first gets a status line, as from other servers
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        headers = {name.lower(): ", ".join(self.headers.get_all(name) or ()) for name in self.headers}
        seen = Seen(self.command, headers.get("host", ""), self.path, headers, self._body(headers))
        answer = cast("_Server", self.server).front.answer(seen)
        self.send_response(answer.status)
        given = {name.lower() for name in answer.headers}
        for name, value in answer.headers.items():
            if name.lower() not in ("content-length", "connection") or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD" or "content-length" not in given:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
        self.close_connection = self.close_connection or answer.cut

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the base class's names

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Do nothing: requests are recorded."""


def listening(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A socket that listens, by default on a free port."""
    return socket.create_server((host, port))


# --- rules -------------------------------------------------------------------------------------------------------


def error(status: int, code: str, message: str, **headers: str) -> Answer:
    """An error in a registry's own form."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"Content-Type": "application/json", **named}, body)


def basic(user: str, password: str) -> Rule:
    """Require this name and password."""
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def rule(seen: Seen, _: Forward) -> Answer | None:
        if seen.authorization == wanted:
            return None
        return error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate='Basic realm="lab"')

    return rule


class Tokens:
    """A token endpoint, as the rule of a front of its own; `bearer` is the rule of the registry.

    A request without a user gets a token only if `anonymous`.
    """

    def __init__(self, users: Mapping[str, str] | None = None, *, anonymous: bool = False) -> None:
        self.users = dict(users or {})
        self.anonymous = anonymous
        self._issued: set[str] = set()

    def __call__(self, seen: Seen, _: Forward) -> Answer | None:
        """A token or a refusal."""
        if not self._knows(seen):
            return error(401, "UNAUTHORIZED", "incorrect username or password")
        token = secrets.token_hex(16)
        self._issued.add(token)
        body = json.dumps({"token": token, "access_token": token, "expires_in": 300}).encode()
        return Answer(200, {"Content-Type": "application/json"}, body)

    def bearer(self, realm: str) -> Rule:
        """Require a token from the endpoint at the URL `realm`."""

        def rule(seen: Seen, _: Forward) -> Answer | None:
            if (seen.authorization or "").removeprefix("Bearer ") in self._issued:
                return None
            parts = seen.path.split("/")
            scope = f',scope="repository:{"/".join(parts[2:-2])}:pull"' if len(parts) > 4 else ""
            challenge = f'Bearer realm="{realm}",service="lab"{scope}'
            return error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=challenge)

        return rule

    def _knows(self, seen: Seen) -> bool:
        form = dict(urllib.parse.parse_qsl(seen.body.decode()))
        name, password = form.get("username", ""), form.get("password", "")
        if (seen.authorization or "").startswith("Basic "):
            name, _, password = base64.b64decode((seen.authorization or "")[6:]).decode().partition(":")
        return self.users.get(name) == password if name else self.anonymous


def first(times: int, answer: Answer, part: str = "/manifests/") -> Rule:
    """Give the answer to the first requests whose path contains `part`."""
    left = [times]

    def rule(seen: Seen, _: Forward) -> Answer | None:
        if part not in seen.path or not left[0]:
            return None
        left[0] -= 1
        return answer

    return rule


def too_many(times: int = 10**6, retry_after: int | None = None) -> Rule:
    """Answer as Docker Hub does to too many pulls."""
    more = {} if retry_after is None else {"Retry_After": str(retry_after)}
    message = "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading."
    return first(times, error(429, "TOOMANYREQUESTS", message, **more))


def cut(times: int) -> Rule:
    """Cut the first layers in half."""
    left = [times]

    def rule(seen: Seen, forward: Forward) -> Answer | None:
        if seen.method != "GET" or "/blobs/" not in seen.path or not left[0]:
            return None
        left[0] -= 1
        response = forward()
        return Answer(response.status, response.headers, response.body, cut=True)

    return rule


def forged(part: str) -> Rule:
    """Replace the content of a digest, in `/blobs/` or in `/manifests/`."""

    def rule(seen: Seen, forward: Forward) -> Answer | None:
        if seen.method != "GET" or part not in seen.path:
            return None
        response = forward()
        body = response.body + b"\n" if part == "/manifests/" else gzip.compress(b"something else")
        return Answer(response.status, response.headers, body)

    return rule


def moved(to: str) -> Rule:
    """Redirect layers to another host, as most public registries do."""

    def rule(seen: Seen, _: Forward) -> Answer | None:
        return (
            Answer(307, {"Location": f"{to}{seen.path}"}) if "/blobs/" in seen.path and seen.method == "GET" else None
        )

    return rule


def hang(seconds: float = 3600, part: str = "") -> Rule:
    """Delay the answer by so many seconds."""

    def rule(seen: Seen, _: Forward) -> Answer | None:
        if part in seen.path:
            time.sleep(seconds)
        return None

    return rule


# --- a real registry ---------------------------------------------------------------------------------------------


def program() -> str | None:
    """The path of docker-registry, unpacked by scripts/test or installed."""
    unpacked = CACHE / "registry/usr/bin/docker-registry"
    return str(unpacked) if unpacked.exists() else shutil.which("docker-registry")


class Registry:
    """Debian's docker-registry on 127.0.0.1, with its data below `folder`."""

    def __init__(self, folder: Path) -> None:
        with listening() as probe:
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.yml"
        config.write_text(CONFIGURATION.format(root=folder / "store", address=self.address), encoding="utf-8")
        serve = [program() or "docker-registry", "serve", str(config)]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(serve, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def put(
        self,
        repository: str,
        *tags: str,
        text: str = "",
        layers: int = 1,
        noise: int = 0,
        config: Mapping[str, Any] | None = None,
    ) -> str:
        """Store a new image under these tags: a busybox, and files that no other image has; return its digest.

        Its main process does nothing and ends on TERM; `text` is in `/which`. Each of its own `layers` has so many
        bytes of `noise`; `config` is added to the image's configuration.
        """
        blobs = [
            busybox_layer(),
            *(
                _layer(
                    {
                        "which": (text or repository).encode(),
                        f"own/{secrets.token_hex(8)}": secrets.token_bytes(noise),
                    }
                )
                for _ in range(layers)
            ),
        ]
        described = {
            "architecture": _architecture(),
            "os": "linux",
            "config": {"Cmd": list(SHELL), "Env": ["PATH=/bin"], **(config or {})},
            "rootfs": {"type": "layers", "diff_ids": [digest(gzip.decompress(blob)) for blob in blobs]},
        }
        text_of_config = json.dumps(described).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(text_of_config), "digest": digest(text_of_config)},
            "layers": [{"mediaType": LAYER, "size": len(blob), "digest": digest(blob)} for blob in blobs],
        }
        for blob in (text_of_config, *blobs):
            self._upload(repository, blob)
        body = json.dumps(manifest).encode()
        for tag in tags or ("latest",):
            self._call("PUT", f"/v2/{repository}/manifests/{tag}", body, MANIFEST)
        return digest(body)

    def digest(self, repository: str, tag: str) -> str | None:
        """The digest that the registry has for a tag; None if there is no such tag."""
        request = urllib.request.Request(
            f"http://{self.address}/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST}, method="HEAD"
        )
        with (
            contextlib.suppress(urllib.error.HTTPError),
            urllib.request.build_opener(_DIRECT).open(request) as response,
        ):
            return cast("str", response.headers["Docker-Content-Digest"])
        return None

    def close(self) -> None:
        """End the process; its data remains."""
        self._process.terminate()
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            self._call("GET", "/v2/")
        except OSError:
            return False
        return True

    def _upload(self, repository: str, blob: bytes) -> None:
        begun = self._call("POST", f"/v2/{repository}/blobs/uploads/")
        mark = "&" if "?" in begun else "?"
        self._call("PUT", f"{begun}{mark}digest={digest(blob)}", blob, "application/octet-stream")

    def _call(self, method: str, path: str, body: bytes | None = None, kind: str = "text/plain") -> str:
        request = urllib.request.Request(
            urllib.parse.urljoin(f"http://{self.address}", path), body, {"Content-Type": kind}, method=method
        )
        with urllib.request.build_opener(_DIRECT).open(request, timeout=20) as response:
            return cast("str", response.headers.get("Location", ""))


_DIRECT = urllib.request.ProxyHandler({})


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """A registry, removed after the block."""
    server = Registry(folder)
    try:
        yield server
    finally:
        server.close()


def digest(data: bytes) -> str:
    """The digest of the data in a registry."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def busybox_layer() -> bytes:
    """A busybox with its applets as a layer; always the same bytes."""
    program = static_busybox()
    assert program is not None, "no static busybox is installed (Debian: apt-get install busybox-static)"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("bin/busybox")
        data = Path(program).read_bytes()
        entry.size, entry.mode = len(data), 0o755
        tar.addfile(entry, io.BytesIO(data))
        for applet in (*APPLETS, "true", "test", "env"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return gzip.compress(out.getvalue(), compresslevel=1, mtime=0)


def _layer(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(out.getvalue(), compresslevel=0, mtime=0)  # noise cannot be compressed


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
