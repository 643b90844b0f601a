"""Names of images, and what a whole project needs."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.errors import ConfigError
from devenv.images.needs import (
    DockerfileText,
    Need,
    bases,
    buildable,
    candidates,
    loaded,
    needs,
    others,
    prefix,
    prefixes,
)
from devenv.model.project import Build, Dependency, Project, Service
from devenv.redact import masked

DIGEST = "sha256:" + "a" * 64


def test_the_policy_that_pulls_counts() -> None:
    """`never` counts only if all services say so."""
    policies = ("never", None, "always"), ("never", "missing"), ("never", "never"), (None, "never")
    services = [
        [Service(f"s{n}", image="a:1", pull_policy=p) for n, p in enumerate(policy_list)] for policy_list in policies
    ]
    needed = [needs(a_project(*policy_list), {}, "linux/amd64")[0].policy for policy_list in services]
    assert needed == ["always", "missing", "never", None]


def test_needs_of_a_project() -> None:
    """Services and Dockerfiles together, each reference once with all its users, in the order of the services."""
    project = a_project(
        Service("client", build=Build("/p/client", target="dev")),
        Service("backend", build=Build("/p/backend", args=(("NODE", "20"),))),
        Service("db", image="mysql:9", platform="linux/amd64"),
        Service("spare", image="mysql:9", pull_policy="always"),
        Service("cache", image="redis:7", pull_policy="never"),
    )
    dockerfiles = {
        "client": DockerfileText("client/Dockerfile", "FROM node:22 AS dev\nFROM caddy:2\n"),
        "backend": DockerfileText("backend/Dockerfile", "ARG NODE=22\nFROM node:${NODE}\nCOPY --from=mysql:9 a b\n"),
    }
    assert shown(project, dockerfiles) == [
        "base node:22 <- client/Dockerfile:1",
        "base node:20 <- backend/Dockerfile:2",
        "base mysql:9 <- backend/Dockerfile:3 COPY --from, service db, service spare always",
        "service redis:7 <- service cache never",
    ]


def test_containers_before_a_service_need_their_images() -> None:
    """The images of `pre_start`, of a service with its own image and of a built service; they count as required."""
    project = a_project(
        Service("web", image="redis:7", pre_start=("redis:7", "mysql:9")),
        Service("app", build=Build("/p"), pre_start=("mysql:9",)),
        Service("tool", build=Build("/p")),
    )
    wanted = needs(project, {}, "linux/amd64")
    assert [(need.reference, need.users) for need in wanted] == [
        ("redis:7", ("service web pre_start", "service web")),
        ("mysql:9", ("service web pre_start", "service app pre_start")),
    ]
    assert others(project, {}, wanted[1:]) == ("tool",)


def test_images_that_the_project_builds_are_not_needed() -> None:
    """An image that one service builds may be used by others, by its given or its default name."""
    project = a_project(
        Service("app", image="example/app", build=Build("/p")),
        Service("worker", image="docker.io/example/app:latest"),
        Service("tool", build=Build("/p")),
        Service("tool-user", image="todo-tool"),
    )
    dockerfile = DockerfileText("Dockerfile", "FROM todo-tool\n")
    assert shown(project, {"app": dockerfile}) == []


def test_contexts() -> None:
    """A context replaces the base of the same name in any spelling; the image of a context is needed itself."""
    contexts = (("docker.io/library/node:22", "docker-image://mirror.test/node:22"), ("shared", "../shared"))
    project = a_project(Service("app", build=Build("/p", additional_contexts=contexts)))
    dockerfile = DockerfileText("Dockerfile", "FROM node:22\nCOPY --from=shared a b\n")
    assert shown(project, {"app": dockerfile}) == ["context mirror.test/node:22 <- service app"]


def test_platforms() -> None:
    """A base is for the platform of its FROM, the build or the service, a frontend for the engine's own (None)."""
    project = a_project(Service("app", platform="wasi/wasm", build=Build("/p", platforms=("linux/amd64",))))
    dockerfile = DockerfileText("Dockerfile", "# syntax=x:1\nFROM --platform=linux/s390x a\nCOPY --from=b x y\n")
    assert shown(project, {"app": dockerfile}) == [
        "frontend x:1 <- Dockerfile:1 # syntax=",
        "base a <- Dockerfile:2 [linux/s390x]",
        "base b <- Dockerfile:3 COPY --from",
    ]


def test_a_frontend_stays_a_frontend() -> None:
    """A reference that is a frontend in one file and a base in another stays a frontend, which has no stand-in."""
    project = a_project(Service("a", build=Build("/a")), Service("b", build=Build("/b")))
    dockerfiles = {
        "a": DockerfileText("a/Dockerfile", "# syntax=x:1\nFROM scratch\n"),
        "b": DockerfileText("b/Dockerfile", "FROM x:1\n"),
    }
    assert shown(project, dockerfiles) == ["frontend x:1 <- a/Dockerfile:1 # syntax=, b/Dockerfile:1"]


def test_bases() -> None:
    """Per built service, what its Dockerfile takes from, as written and without frontends."""
    project = a_project(Service("app", build=Build("/p")), Service("db", image="mysql:9"))
    dockerfile = DockerfileText(
        "Dockerfile", "# syntax=x:1\nFROM library/node:22 AS a\nFROM a\nCOPY --from=caddy:2 b c\n"
    )
    assert bases(project, {"app": dockerfile}, "linux/amd64") == {"app": ("library/node:22", "caddy:2")}


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("FROM node:22\n", {}, ("app",)),
        ("FROM scratch\n", {}, ("app",)),
        ("# syntax=x:1\nFROM node:22\n", {}, ()),
        ("FROM node:22\nCOPY --from=caddy:2 b c\n", {}, ()),
        ("FROM shop-base\n", {}, ()),
        ("FROM node:22\n", {"additional_contexts": (("x", "docker-image://caddy:2"),)}, ()),
        ("FROM base\n", {"additional_contexts": (("base", "service:base"),)}, ()),
    ],
    ids=["base", "no base", "frontend", "copy", "built here", "context", "context of a service"],
)
def test_services_whose_images_are_available(text: str, more: dict[str, Any], expected: tuple[str, ...]) -> None:
    """An image that is built here may be missing; so may the image of a container before the service."""
    app = Service("app", build=Build("/p", **more), pre_start=("migrate:1",))
    base = Service("base", image="shop-base", build=Build("https://example.org/base.git"))
    project = a_project(app, base, Service("db", image="mysql:9"))
    assert buildable(project, {"app": DockerfileText("Dockerfile", text)}, "linux/amd64", {"node:22"}) == expected


@pytest.mark.parametrize(
    ("lacking", "names"),
    [
        (Need("sdk:7", ("worker/Dockerfile:3",)), ("vote", "result")),
        (Need("postgres:15", ("service db",)), ("vote",)),
        (Need("python:3", ("vote/Dockerfile:1", "worker/Dockerfile:9")), ("result", "redis")),
        (Need("redis:7", ("service redis", "service db")), ()),
        (Need("node:22", ("vote/Dockerfile:1", "result/Dockerfile:1", "worker/Dockerfile:1")), ()),
    ],
)
def test_what_does_without_an_image(lacking: Need, names: tuple[str, ...]) -> None:
    """Services that depend on one that needs the image are left out; of the rest only the topmost are named."""
    ways = {"vote": ("redis",), "result": ("db",), "worker": ("redis", "db")}
    built = (Service(n, build=Build(f"/p/{n}"), depends_on=tuple(map(Dependency, on))) for n, on in ways.items())
    project = a_project(*built, Service("redis", image="redis:7"), Service("db", image="postgres:15"))
    assert others(project, {name: DockerfileText(f"{name}/Dockerfile", "") for name in ways}, [lacking]) == names


def test_one_reference_for_two_platforms_is_two_needs() -> None:
    """The engine's own platform and no platform are the same."""
    project = a_project(
        Service("own", image="a:1"),
        Service("said", image="a:1", platform="linux/amd64"),
        Service("other", image="a:1", platform="linux/arm64"),
    )
    assert shown(project, {}) == [
        "service a:1 <- service own, service said",
        "service a:1 <- service other [linux/arm64]",
    ]


@pytest.mark.parametrize(
    ("text", "line", "name", "hint"),
    [
        ("FROM -v\n", 1, "-v", "NAME:TAG"),
        ("FROM --privileged\n", 1, "", "NAME:TAG"),
        ("FROM alpine;id\n", 1, "alpine;id", "NAME:TAG"),
        ("FROM ALPINE:1\n", 1, "ALPINE:1", "lower case"),
        ("FROM a:b:c\n", 1, "a:b:c", "NAME:TAG"),
        ("FROM x@sha256:123\n", 1, "x@sha256:123", "NAME:TAG"),
        ("FROM localhost:99999/x\n", 1, "localhost:99999/x", "NAME:TAG"),
        (f"FROM a:{'x' * 300}\n", 1, "a:xxx", "NAME:TAG"),
        ("FROM ../x\n", 1, "../x", "NAME:TAG"),
        ("FROM docker.io/\n", 1, "docker.io/", "NAME:TAG"),
        ("FROM a\n\nCOPY --from=../x b c\n", 3, "../x", "NAME:TAG"),
        ("FROM a\nRUN --mount=from=A:1,target=/x y\n", 2, "A:1", "lower case"),
        ("# syntax=-v\nFROM a\n", 1, "-v", "NAME:TAG"),
        ("FROM a:$\n", 1, "a:$", "Give its variables a value"),
        ("FROM ${V}\n", 1, "${V}", "Give its variables a value"),
        ("FROM a\nCOPY --from=$V b c\n", 2, "$V", "write `FROM $V AS name`"),
        ("ARG V=1.2\nFROM a:${V%.*}\n", 2, "a:${V%.*}", "but no patterns"),
    ],
)
def test_invalid_references(text: str, line: int, name: str, hint: str) -> None:
    """It is refused with file and line, and reaches no command line."""
    project = a_project(Service("app", build=Build("/p")))
    with pytest.raises(ConfigError, match="is not a valid image reference") as raised:
        shown(project, {"app": DockerfileText("app/Dockerfile", text)})
    assert raised.value.where == f"app/Dockerfile:{line}"
    assert raised.value.message.startswith(f"`{name}")
    assert hint in (raised.value.hint or "")


@pytest.mark.parametrize(
    "name",
    [
        "localhost:5000/x",
        "UPPER.example/x",
        f"a:{'x' * 128}",
        f"a@{DIGEST}",
        f"a:1@{DIGEST}",
        "[::1]:5000/x",
        "a__b/c-d",
    ],
)
def test_odd_names_of_images(name: str) -> None:
    """Unusual but valid names are accepted."""
    project = a_project(Service("app", build=Build("/p")))
    assert shown(project, {"app": DockerfileText("Dockerfile", f"FROM {name}\n")}) == [f"base {name} <- Dockerfile:1"]


def test_a_context_that_cannot_name_an_image() -> None:
    """The context has no line in a Dockerfile, so the service is named."""
    project = a_project(Service("app", build=Build("/p", additional_contexts=(("a", "docker-image://../x"),))))
    with pytest.raises(ConfigError, match=r"the context `a` of service app: `../x` is not a valid"):
        shown(project, {})


def test_frontends_of_other_languages_allow_other_names() -> None:
    """With another frontend, a value that cannot be an image may be something else."""
    project = a_project(Service("app", build=Build("/p")))
    dockerfile = DockerfileText("Dockerfile", "# syntax=x.test/dockerfile-x\nFROM ./base.dockerfile\nFROM a:1\n")
    assert shown(project, {"app": dockerfile}) == [
        "frontend x.test/dockerfile-x <- Dockerfile:1 # syntax=",
        "base a:1 <- Dockerfile:3",
    ]


def a_project(*services: Service) -> Project:
    return Project("todo", "/p", ("/p/compose.yml",), services)


def shown(project: Project, dockerfiles: dict[str, DockerfileText]) -> list[str]:
    return [
        f"{need.kind} {need.reference} <- {', '.join(need.users)}"
        + (f" [{need.platform}]" if need.platform else "")
        + (f" {need.policy}" if need.policy else "")
        for need in needs(project, dockerfiles, "linux/amd64")
    ]


@pytest.mark.parametrize(
    ("entry", "begin"),
    [
        ("mirror.example", "mirror.example"),
        ("mirror:5000", "mirror:5000"),
        ("mirror.example:5000/a/b-c__d.e", "mirror.example:5000/a/b-c__d.e"),
        ("https://mirror.example/", "mirror.example"),
        ("http://127.0.0.1:5000", "127.0.0.1:5000"),
        ("http://127.9.9.9", "127.9.9.9"),
        ("http://localhost:5000/hub", "localhost:5000/hub"),
        ("http://[::1]:5000", "[::1]:5000"),
        ("localhost", "localhost"),
        ("[2001:db8::1]/hub", "[2001:db8::1]/hub"),
    ],
)
def test_an_entry_becomes_the_beginning_of_names(entry: str, begin: str) -> None:
    """Scheme and slashes are removed: the rest is the prefix of an image's name."""
    assert prefix(entry) == begin


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("https://user:p%40ss@mirror.example:5000/x", "'https://***@mirror.example:5000/x' holds credentials"),
        ("user:p/@ss@mirror.example", "'https://***@mirror.example' holds credentials"),
        ("http://mirror.example", "'http://mirror.example' would be read without TLS"),
        ("http://127.0.0.1.example", "would be read without TLS"),
        ("file:///srv/images", "'file:///srv/images' is not a registry"),
        ("a mirror.example", "is not the address"),
        (" mirror.example", "is not the address"),
        ("mirror.example\n", "is not the address"),
        ("mirror.example:99999", "has the port 99999"),
        ("mirror.example:0", "has the port 0"),
        ("mirror.example:port", "is not the address"),
        ("mirror", "is not the address"),
        ("mirror/docker.io", "is not the address"),
        ("", "is not the address"),
        ("https://", "is not the address"),
        ("https:///path", "is not the address"),
        ("mirror.example/UPPER", "is not the address"),
        ("mirror.example/a//b", "is not the address"),
        ("mirror.example/?token=t0ken", "'mirror.example/' is not the address"),
        ("-v", "is not the address"),
    ],
)
def test_invalid_mirrors(entry: str, why: str) -> None:
    """The error (5) shows the entry without its secrets, and an example of a valid entry."""
    with pytest.raises(ConfigError) as raised:
        prefix(entry)
    assert why in raised.value.message
    assert raised.value.exit_code == 5
    assert not {"p%40ss", "p/@ss", "user", "t0ken"} & set(raised.value.message.replace(":", " ").split())
    assert raised.value.hint


def test_each_mirror_counts_once() -> None:
    """The order is the user's, and one mirror in two spellings counts once."""
    assert prefixes(["b.example", "https://a.example/", "a.example"]) == ("b.example", "a.example")


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        ("node:22", ("m.example/library/node:22", "m.example/docker.io/library/node:22")),
        ("grafana/grafana", ("m.example/grafana/grafana:latest", "m.example/docker.io/grafana/grafana:latest")),
        ("quay.io/a/b:1", ("m.example/quay.io/a/b:1",)),
        ("localhost:5000/a:1", ()),
        (f"node:22@{DIGEST}", (f"m.example/library/node@{DIGEST}", f"m.example/docker.io/library/node@{DIGEST}")),
        (f"quay.io/a@{DIGEST}", (f"m.example/quay.io/a@{DIGEST}",)),
        ("m.example/a:1", ()),
    ],
)
def test_names_of_an_image_at_a_mirror(reference: str, names: tuple[str, ...]) -> None:
    """Docker Hub's images in two forms, others below their registry; a mirror is not asked for its own."""
    assert candidates(reference, "m.example") == names


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("node", "loaded.devenv/docker.io/library/node:latest"),
        ("localhost:5000/a/b:1", "loaded.devenv/localhost_5000/a/b:1"),
        (f"localhost:5000/a@{DIGEST}", f"loaded.devenv/localhost_5000/a:sha256-{'a' * 64}"),
        (f"node:22@{DIGEST}", f"loaded.devenv/docker.io/library/node:sha256-{'a' * 64}"),
    ],
)
def test_names_of_loaded_images(reference: str, name: str) -> None:
    """The name contains registry, name and tag or digest, so that no two images share a name."""
    assert loaded(reference) == name


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://user:p%40ss@h:1", "http://***@h:1"),
        ("u@h", "https://***@h"),
        ("h:1/x", "h:1/x"),
        ("http://h?token=x#y", "http://h"),
    ],
)
def test_addresses_are_shown_without_secrets(address: str, shown: str) -> None:
    """No user, no password, no query."""
    assert masked(address) == shown
