"""An engine that reaches only the test's own registries: names of public registries lead to them.

The engine is in a network namespace without a way out. Fronts listen there on 127.0.0.1, where they need no
certificate; hosts are reached by name through a CONNECT proxy, with certificates of the lab's authority.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import itertools
import os
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from support.docker_cli import docker, succeeds
from support.dockerd import Dockerd, dockerd
from support.registries import Front, Registry, Rule, listening

PROXY_PORT = 3128
CLONE_NEWNET = 0x40000000


def listening_in(network: str, port: int) -> socket.socket:
    """A socket that listens on 127.0.0.1 of another network namespace; this process may accept its connections."""
    made: list[socket.socket | OSError] = []

    def make() -> None:
        with open(network, "rb") as namespace:
            changed = ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET)
        try:
            made.append(listening("127.0.0.1", port) if changed == 0 else OSError(ctypes.get_errno(), "setns"))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make)  # only this thread changes its namespace
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


class Authority:
    """A certificate authority of a test's own: `certificate` is the file to trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / "ca.crt"
        self._openssl("-subj", "/CN=Lab Root", "-keyout", "ca.key", "-out", "ca.crt")

    def speaks_for(self, host: str) -> ssl.SSLContext:
        """The TLS settings of a server of that name."""
        key, certificate = self._folder / f"{host}.key", self._folder / f"{host}.crt"
        if not certificate.exists():
            files = ("-keyout", key.name, "-out", certificate.name)
            self._openssl("-CA", "ca.crt", "-CAkey", "ca.key", "-subj", f"/CN={host}",
                          "-addext", f"subjectAltName=DNS:{host}", *files)  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def _openssl(self, *args: str) -> None:
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        subprocess.run(["openssl", "req", "-x509", *kind, *args], cwd=self._folder, capture_output=True, check=True)


class ConnectProxy:
    """An HTTP proxy that knows CONNECT and `routes`: `host:port` as requested -> its destination.

    Other hosts are bad gateways. With `demands` (user:password) it requires a login.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.routes: dict[str, str] = {}
        self.seen: list[str] = []
        self.demands: str | None = None
        self._listener = listener
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := client.recv(4096)):
                    return
                head += data
            first, *lines = head.decode().split("\r\n")
            target = first.split()[1]
            self.seen.append(target)
            given = dict(line.lower().split(": ", 1) for line in lines if ": " in line).get("proxy-authorization")
            if self.demands and given != f"basic {base64.b64encode(self.demands.encode()).decode()}".lower():
                client.sendall(
                    b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="lab"\r\n\r\n'
                )
                return
            if target not in self.routes:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            host, port = self.routes[target].split(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _pump(client, server)


def _pump(from_: socket.socket, target: socket.socket) -> None:
    while True:
        for source in select.select([from_, target], [], [])[0]:
            if not (data := source.recv(65536)):
                return
            (target if source is from_ else from_).sendall(data)


@dataclass
class Lab:
    """The engine, a registry for the images of tests, and fronts; those of one test end with `clear`."""

    engine: Dockerd
    registry: Registry
    authority: Authority
    proxy: ConnectProxy
    _ports: Iterator[int] = field(default_factory=lambda: itertools.count(5000))
    _open: ExitStack = field(default_factory=ExitStack)

    @property
    def env(self) -> dict[str, str]:
        """The environment that selects its engine."""
        return {"DOCKER_HOST": self.engine.host}

    def front(self, *rules: Rule, prefix: str = "", empty: bool = False) -> Front:
        """A registry that the engine finds at 127.0.0.1, without TLS; if `empty`, it answers by its rules only."""
        listener = listening_in(self.engine.network, next(self._ports))
        return self._opened(Front(listener, *rules, upstream="" if empty else self.registry.address, prefix=prefix))

    def site(
        self, host: str, *rules: Rule, prefix: str = "", empty: bool = False, authority: Authority | None = None
    ) -> Front:
        """A registry that the engine finds by its name through the proxy, with TLS."""
        tls = (authority or self.authority).speaks_for(host)
        upstream = "" if empty else self.registry.address
        front = self._opened(Front(listening(), *rules, upstream=upstream, prefix=prefix, tls=tls))
        self.proxy.routes[f"{host}:443"] = front.address
        return front

    @contextlib.contextmanager
    def without_proxy(self) -> Iterator[None]:
        """Stop the engine's proxy for the block."""
        self.proxy.close()
        try:
            yield
        finally:
            self.proxy = ConnectProxy(listening_in(self.engine.network, PROXY_PORT))

    def borrow(self, image: str) -> None:
        """Copy an image from the engine in use."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            loaded = ["docker", "-H", self.engine.host, "load", "-q"]
            subprocess.run(loaded, stdin=saved.stdout, stdout=subprocess.DEVNULL, check=True)

    def docker(self, *args: str, env: Mapping[str, str] | None = None) -> str:
        """The output of a docker command on this engine."""
        return docker(*args, env={**self.env, **(env or {})})

    def clear(self) -> None:
        """Remove all fronts, routes, and everything on the engine that a test created."""
        self._open.close()
        self.proxy.routes.clear()
        self.proxy.seen.clear()
        self.proxy.demands = None
        if containers := self.docker("ps", "-aq").split():
            self.docker("rm", "-fv", *containers)
        self.docker("network", "prune", "-f")
        self.clear_images()

    def clear_images(self) -> None:
        """Remove all images of the engine."""
        for _ in range(6):  # an image that another is based on can be removed after it
            if not (images := self.docker("images", "-aq").split()):
                return
            succeeds("rmi", "-f", *sorted(set(images)), env=self.env)
        raise AssertionError(f"images are left: {images}")

    def _opened(self, front: Front) -> Front:
        self._open.callback(front.close)
        return front


@contextlib.contextmanager
def lab(folder: Path, *, proxied: bool) -> Iterator[Lab]:
    """A lab, removed after the block; its engine uses the proxy if `proxied`, else it only has 127.0.0.1."""
    authority = Authority(folder / "authority")
    proxies = {"HTTPS_PROXY": f"http://127.0.0.1:{PROXY_PORT}" if proxied else "", "HTTP_PROXY": "", "NO_PROXY": ""}
    proxies |= {name.lower(): value for name, value in proxies.items()}
    env = {**proxies, "SSL_CERT_FILE": str(authority.certificate), "SSL_CERT_DIR": os.devnull}
    with ExitStack() as stack:
        registry = Registry(folder / "registry")
        stack.callback(registry.close)
        engine = stack.enter_context(dockerd(folder / "engine", env=env))
        lab_ = Lab(engine, registry, authority, ConnectProxy(listening_in(engine.network, PROXY_PORT)))
        try:
            yield lab_
        finally:
            lab_.clear()
            lab_.proxy.close()


def shut_off(*hosts: str) -> list[str]:
    """A command prefix that silently drops packets to these hosts (and all others)."""
    lines = "".join(f"192.0.2.1 {host}\\n" for host in hosts)
    orders = (
        "ip link set lo up; ip link add lost type veth peer name nobody; ip link set nobody up; ip link set lost up;"
        " ip addr add 192.0.2.2/24 dev lost; ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev lost;"
        f' own=$(mktemp); (cat /etc/hosts; printf "{lines}") >"$own"; mount --bind "$own" /etc/hosts'
        '; rm "$own"; exec "$@"'
    )
    return ["unshare", "--net", "--mount", "--propagation=private", "sh", "-c", orders, "sh"]
