"""The images that devenv finds in a Dockerfile are those that the builder requests from a registry."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import random
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from devenv.images.dockerfile import references
from devenv.model.images import canonical
from support import docker_cli
from support.dockerd import Dockerd, dockerd
from support.stack import plugin, unique_name

pytestmark = pytest.mark.engine

AT_ONCE = 4
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x")
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# `R/` is the registry; a target, build arguments and contexts follow in the last line, each after a `|`.
# Not here, for builders differ: TARGETSTAGE, `# check=` and the triggers of ONBUILD, which older ones do not know.
DOCKERFILES = {
    "plain": "FROM R/a:1\nRUN true\n",
    "lower case, tabs, a byte order mark": "\ufefffrom\tR/a:1",
    "quotes": "FROM 'R/a':\"1\"\n",
    "scratch": "FROM scratch\nCOPY a /a",
    "digest": "FROM R/a@DIGEST\n",
    "a stage is no image": "FROM R/a:1 AS dev\nFROM dev\n",
    "a stage named in capitals": "FROM R/a:1 AS Dev\nFROM dev\nCOPY --from=DEV /x /x\n",
    "a later stage of that name": "FROM R/a:1 AS x\nFROM R/b:1 AS x\nFROM x\n",
    "COPY takes the last stage of that name": (
        "FROM R/a:1 AS x\nFROM R/b:1 AS y\n"
        "COPY --from=x / /\nFROM R/c:1 AS x\n|y"
    ),
    "only what the last stage needs": "FROM R/a:1 AS build\nFROM R/b:1\n",
    "COPY --from a stage": "FROM R/a:1 AS build\nFROM R/b:1\nCOPY --from=build /a /a\n",
    "COPY --from a number": "FROM R/a:1\nFROM R/b:1\nFROM R/c:1\nCOPY --from=1 /a /a\n",
    "COPY --from a later stage": "FROM R/a:1 AS one\nCOPY --from=two /a /a\nFROM R/b:1 AS two\n|one",
    "COPY --from a later number": "FROM R/a:1 AS one\nCOPY --from=1 /a /a\nFROM R/b:1 AS two\n|one",
    "COPY --from an image": "FROM R/a:1\nCOPY --chown=1 --from=R/b:1 /a /a\n",
    "COPY --from in quotes": "FROM R/a:1\nCOPY --from='R/b:1' /a /a\nCOPY --from=\"R/c:1\" /a /a\n",
    "COPY --from with a JSON list": 'FROM R/a:1\nCOPY --from=R/b:1 ["a", "/a"]\n',
    "RUN --mount": (
        "FROM R/a:1\n"
        "RUN --mount=type=cache,target=/c --mount=type=bind,from=R/b:1,target=/t x --from=no\n"
    ),
    "several mounts": "FROM R/a:1\nRUN --mount=from=R/b:1,target=/t --network=none --mount=target=/u,from=R/c:1 x\n",
    "a mount with quotes": 'FROM R/a:1\nRUN --mount=type=bind,"from=R/b:1",target=/t x\n',
    "a mount with capital keys": "FROM R/a:1\nRUN --mount=Type=bind,FROM=R/b:1,Target=/t x\n",
    "a mount from a stage": "FROM R/a:1 AS x\nFROM R/b:1\nRUN --mount=from=X,target=/t x\n",
    "a cache from an image": "FROM R/a:1\nRUN --mount=type=cache,from=R/b:1,target=/t x\n",
    "a tmpfs from an image": "FROM R/a:1\nRUN --mount=type=tmpfs,from=R/b:1,target=/t x\n",
    "a flag in a command is none": "FROM R/a:1\nRUN tool --mount=type=bind,from=R/no:1\n",
    "ARG before FROM": "ARG V=2\nFROM R/a:${V}\n",
    "ARG with several names": 'ARG A="a" B=2\nFROM R/$A:$B\n',
    "ARG on another": "ARG V=2\nARG IMAGE=a:${V}-slim\nFROM R/${IMAGE}\n",
    "ARG twice": "ARG V=2\nARG V=3\nFROM R/a:${V}\n",
    "ARG with escapes": "ARG V=2\\-x W='$V' X=\"\\\"q\"\nFROM R/a:${V}\nARG W\n",
    "a build argument": "ARG V=1\nFROM R/a:$V\n||V=20",
    "a build argument that is not declared": "FROM R/a:${V:-18}\n||V=20",
    "a build argument without a default": "ARG V\nFROM R/a:$V\n||V=20",
    "an empty build argument": "ARG V=1\nFROM R/a:${V:-2}\n||V=",
    "an unknown variable is empty": "FROM R/a${NOWHERE}:1\n",
    "an ARG of a stage is not known to FROM": "FROM R/a:1\nARG V=1\nFROM R/b:2${V}\n",
    "default": "ARG E=\nFROM R/a:${E:-x}${E-y}${U-z}${U:-w}\n",
    "alternative": "ARG E= F=1\nFROM R/a:1${E:+x}${E+y}${F:+z}${U+q}${F+r}\n",
    "a default with a variable": "ARG V=2\nFROM R/a:${U:-${V}-x}\n",
    "a default with quotes": "FROM R/a:${U:-\"x\"'y'}\n",
    "demanded": "ARG V=2\nFROM R/a:${V:?needed}${V?}\n",
    "ARG in single quotes": "ARG V=2 W='$V'\nFROM R/a:1${W:+x}\n",
    "escaped": "ARG V=2\nFROM R/a\\:$V\n",
    "known platforms": "FROM R/$BUILDOS-$TARGETARCH:$BUILDARCH$TARGETVARIANT\n",
    "platform": "FROM --platform=linux/arm64 R/a:1\nCOPY --from=R/b:1 x /x\n",
    "BUILDPLATFORM": "FROM --platform=$BUILDPLATFORM R/a:1 AS b\n",
    "platform of an ARG": "ARG P=linux/s390x\nFROM --platform=${P} R/a:1 AS b\nFROM b\n",
    "several platforms": (
        "FROM --platform=linux/arm64 R/a:1 AS x\n"
        "FROM --platform=linux/arm/v7 R/a:1\nCOPY --from=x a /\n"
    ),
    "continued line with a comment in it": (
        "FROM R/a:1\nRUN a && \\\n# FROM R/no:1\n\n"
        "  b \\\n  FROM R/no:2\nCOPY --from=R/b:1 /a /b\n"
    ),
    "continued FROM": "FROM \\\n  R/a:1 \\\n  AS dev\nFROM dev",
    "continued in a word": "FROM R/a\\\n:1\n",
    "trailing blanks after the backslash": "FROM R/a:1\nRUN a \\  \nFROM R/no:1\n",
    "two backslashes": "FROM R/a:1\nRUN a \\\\\nFROM R/b:1\n",
    "escape directive": "# escape=`\nFROM R/a:1\nRUN a `\nFROM R/no:1\n",
    "escape directive and variables": "# escape=`\nARG V=1\nFROM R/a:x`\n$V\n",
    "escape is none after a comment": "# hello\n# escape=`\nFROM R/a:1\nRUN a `\nFROM R/b:1\n",
    "an indented comment": "  # FROM R/no:1\n  FROM R/a:1\n",
    "here-document": "FROM R/a:1\nRUN <<EOF\nFROM R/no:1\nEOF\nCOPY --from=R/b:1 a b\n",
    "here-document, quoted and with tabs": (
        "FROM R/a:1\nRUN <<-'END' sh\n\tFROM R/no:1\n"
        "\tEND\nCOPY --from=R/b:1 a b\n"
    ),
    "here-documents in one line": (
        'FROM R/a:1\nCOPY <<one <<"two" /d/\nFROM R/no:1\n'
        'one\nFROM R/no:2\ntwo\nCOPY --from=R/b:1 a b\n'
    ),
    "here-document with a descriptor": "FROM R/a:1\nRUN 3<<E cat\nFROM R/no:1\nE\nCOPY --from=R/b:1 a b\n",
    "here-document of ONBUILD": "FROM R/a:1\nONBUILD RUN <<E\nFROM R/no:1\nE\nCOPY --from=R/b:1 a b\n",
    "a shift is no here-document": 'FROM R/a:1\nRUN echo $((1<<2)) "<<EOF"\nFROM R/b:1\n',
    "a here-string is none": "FROM R/a:1\nRUN cat <<<EOF\nFROM R/b:1\n",
    "an open quote": "FROM R/a:1\nRUN echo it's <<EOF\nFROM R/b:1\n",
    "JSON has no here-documents": 'FROM R/a:1\nRUN ["cat", "<<EOF"]\nFROM R/b:1\n',
    "a comment in a here-document": "FROM R/a:1\nRUN <<E\n# x \\\nE\nFROM R/b:1\n",
    "windows line ends": "FROM R/a:1\r\nRUN a \\\r\n  b\r\nCOPY --from=R/b:1 a b\r\n",
    "ONBUILD does not count where it stands": "FROM R/a:1 AS x\nONBUILD COPY --from=R/b:1 a b\n",
    "a context for a base": "FROM R/a:1\nCOPY --from=R/b:1 a b\n|||R/a:1=docker-image://R/c:1",
    "a context for a copy": "FROM R/a:1\nCOPY --from=shared a b\n|||shared=docker-image://R/c:1",
    "a context for a stage": "FROM R/a:1 AS x\nFROM R/b:1\nCOPY --from=x a b\n|||x=docker-image://R/c:1",
}  # fmt: skip


@dataclass
class Registry:
    """A registry that has every image, without files, for some platforms, and records the requests."""

    asked: dict[str, set[str]] = field(default_factory=dict)
    known: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    platforms: dict[str, str] = field(default_factory=dict)
    server: ThreadingHTTPServer | None = None

    @property
    def host(self) -> str:
        """The registry's name in references."""
        assert self.server is not None
        return f"127.0.0.1:{self.server.server_port}"

    def index(self, name: str) -> tuple[str, bytes]:
        """The index of a tag: a manifest for each platform; `name` makes two images differ."""
        manifests = []
        layer = self.put(LAYER, bytes(10240))
        for platform in PLATFORMS:
            system, architecture, variant = [*platform.split("/"), ""][:3]
            facts = {"os": system, "architecture": architecture, **({"variant": variant} if variant else {})}
            config = {
                **facts,
                "config": {"Labels": {"name": name}},
                "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            }
            config_at = self.put("application/vnd.oci.image.config.v1+json", config)
            manifest = self.put(
                MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config_at, "layers": [layer]}
            )
            self.platforms[str(manifest["digest"])] = platform
            manifests.append({**manifest, "platform": facts})
        at = self.put(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
        return str(at["digest"]), self.known[str(at["digest"])][1]

    def put(self, kind: str, content: object) -> dict[str, object]:
        """Store the content under its digest; return the descriptor."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.known[digest] = (kind, data)
        return {"mediaType": kind, "digest": digest, "size": len(data)}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    """An engine for this module only: some builders crash on some Dockerfiles."""
    with dockerd(tmp_path_factory.mktemp("own")) as engine:
        yield engine


@pytest.fixture(scope="module")
def registry(own: Dockerd) -> Iterator[Registry]:
    """A registry on the host that the engine sees."""
    has = Registry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        default_request_version = "HTTP/1.1"  # a client that tries TLS gets an answer, and then tries HTTP

        def do_GET(self) -> None:
            path = self.path.removeprefix("/v2/").replace("/blobs/", "/manifests/")
            name, _, reference = path.rpartition("/manifests/")
            digest = reference if not name or reference.startswith("sha256:") else has.index(name)[0]
            kind, data = has.known.get(digest, ("", b"")) if name else ("application/json", b"{}")
            if digest in has.platforms:
                has.asked.setdefault(name, set()).add(has.platforms[digest])
            elif name and reference != digest:
                has.asked.setdefault(name, set()).add(f":{reference}")
            self.send_response(200 if kind else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Docker-Content-Digest", digest)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    def serve() -> None:
        with open(own.network) as namespace:  # sockets of this thread are created there from now on
            ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0)
        has.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        ready.set()
        has.server.serve_forever()

    ready = threading.Event()
    threading.Thread(target=serve, daemon=True).start()
    assert ready.wait(10)
    yield has
    assert has.server is not None
    has.server.shutdown()
    has.server.server_close()


@pytest.fixture(scope="module")
def builder(own: Dockerd) -> str:
    """The default platform of the engine's builds."""
    return docker_cli.docker("-H", own.host, "version", "--format={{.Server.Os}}/{{.Server.Arch}}")


def test_builder_asks_for_the_images_found_in_a_dockerfile(
    registry: Registry, own: Dockerd, builder: str, tmp_path: Path
) -> None:
    """The builder requests the same images for the same platforms for each Dockerfile of the table."""
    compare(
        {name: written.partition("\n|")[::2] for name, written in DOCKERFILES.items()},
        registry,
        own,
        builder,
        tmp_path,
    )


@pytest.mark.parametrize("count", [4, pytest.param(100, marks=pytest.mark.long)])
def test_builder_asks_for_the_images_found_in_random_dockerfiles(
    registry: Registry, own: Dockerd, builder: str, tmp_path: Path, count: int
) -> None:
    """The requests are the same for random Dockerfiles, with a printed seed."""
    seed = int(os.environ.get("DEVENV_TEST_SEED") or 5)
    chance = random.Random(seed)
    cases = {f"seed {seed}, number {n}": (at_random(chance), "") for n in range(count)}
    compare(cases, registry, own, builder, tmp_path)


def compare(cases: dict[str, tuple[str, str]], registry: Registry, own: Dockerd, builder: str, folder: Path) -> None:
    """Build every case, and compare the requests with the images that devenv finds."""
    run = unique_name().replace("_", "-")

    def one(number: int, written: str, options: str) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        prefix = f"{run}/{number}/"
        target, args, contexts, *_ = [*options.split("|"), "", "", ""]
        text = written.replace("DIGEST", registry.index(f"{prefix}a")[0]).replace("R/", f"{registry.host}/{prefix}")
        contexts = contexts.replace("R/", f"{registry.host}/{prefix}")
        build(own, text, target, args.split(), contexts.split(), folder)
        images: dict[str, set[str]] = {}
        named = dict(context.split("=") for context in contexts.split())
        for reference in references(
            text,
            target=target or None,
            args=dict(arg.split("=") for arg in args.split()),
            builder=builder,
            contexts=named,
        ):
            name = canonical(reference.name).removeprefix(f"{registry.host}/")
            repository, _, tag = (
                name.partition("@")[0].rpartition(":") if "@" not in name else (name.split("@")[0], "", "")
            )
            images.setdefault(repository, set()).update(
                {reference.platform or builder, *([f":{tag}"] if tag else [])}
            )
        for image in named.values():
            images[image.removeprefix(f"docker-image://{registry.host}/").rpartition(":")[0]] = {":1", builder}
        return {name: has for name, has in registry.asked.items() if name.startswith(prefix)}, images

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = pool.map(one, range(len(cases)), *zip(*cases.values(), strict=True))
    wrong = {name: outcome for name, outcome in zip(cases, results, strict=True) if outcome[0] != outcome[1]}
    assert wrong == {}, "\n".join(f"{name}: {cases[name]}" for name in wrong)


def build(own: Dockerd, text: str, target: str, args: list[str], contexts: list[str], folder: Path) -> None:
    """Build as far as possible; all images are requested before the first step."""
    program, given = plugin("buildx")
    argv = [program, "buildx", "build", "--output=type=tar,dest=/dev/null", "--file=-", str(folder)]
    argv += [*([f"--target={target}"] if target else []), *(f"--build-arg={arg}" for arg in args)]
    argv += [f"--build-context={context}" for context in contexts]
    environment = {**os.environ, **given, "DOCKER_HOST": own.host, "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    done = subprocess.run(argv, env=environment, input=text.encode(), capture_output=True, check=False)
    assert b"parse error" not in done.stderr, (text, done.stderr.decode())


def at_random(chance: random.Random) -> str:
    """A Dockerfile of some stages that use each other, images and variables."""
    lines = ["ARG V=2 W=x.y", *chance.sample(["ARG U=${V}${W:+w}", "ARG V=3", "# comment", ""], 2)]
    names: list[str] = []
    for number in range(chance.randint(1, 6)):
        images = [f"R/i{chance.randint(1, 9)}:{tag}" for tag in ("1", "$V", "${U:-u}", "${W:-z}", "${W+w}")]
        base = chance.choice([*images, *names])
        name = f"s{number}"
        lines.append(
            " ".join([chance.choice(["FROM", "from", "FROM \\\n"]), base, chance.choice(["AS", "as"]), name])
        )
        for _ in range(chance.randint(0, 3)):
            other = chance.choice([f"R/c{chance.randint(1, 9)}:1", *names, *([str(number - 1)] if number else [])])
            mount = other if not other.isdigit() else "s0"
            lines += chance.choice([
                [f"COPY --from={other} /a /a"],
                ["RUN <<E", "FROM R/no:1", f"COPY --from={other} /a /a", "E"],
                [f"RUN --mount=type=bind,from={mount},target=/m \\", "  # comment", "", "  true"],
                ["RUN a \\", f"  --mount=from={mount}"],
                ["ARG V=9", "RUN echo $V"],
            ])  # fmt: skip
        names.append(name)
    return "\n".join(lines)
