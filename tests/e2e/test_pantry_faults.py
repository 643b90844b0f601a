"""Registries, proxies and networks in trouble: what passes is waited for, and what does not is one finding."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.cli import StartDevenv, run
from support.lab import Authority, Lab
from support.pantry import Kitchen, assert_plain
from support.registries import Answer, Front, Rule, Tokens, cut, error, first, hang, listening, too_many

UNAVAILABLE = error(503, "UNAVAILABLE", "service unavailable")


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(lambda: too_many(1), id="429"),
        pytest.param(lambda: too_many(1, retry_after=2), id="429 with Retry-After"),
        pytest.param(lambda: first(2, UNAVAILABLE), id="503"),
        pytest.param(lambda: first(2, Answer(502, body=b"<html>Bad Gateway</html>")), id="502 of something else"),
        pytest.param(lambda: first(1, UNAVAILABLE, "/blobs/"), id="503 for a layer"),
        pytest.param(lambda: cut(1), id="cut"),
    ],
)
def test_what_passes(lab: Lab, kitchen: Kitchen, rule: Callable[[], Rule]) -> None:
    """It is tried again, without a word of Docker's."""
    one_image(lab, kitchen, lab.front(rule()))
    began = time.monotonic()
    done = kitchen.run("images", "pull")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 20
    assert_plain(done.stdout + done.stderr)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        pytest.param(too_many, "limit", id="429"),
        pytest.param(lambda: first(10**6, UNAVAILABLE), "out of service", id="503"),
        pytest.param(lambda: first(10**6, error(403, "DENIED", "requested access is denied")), "denied", id="403"),
        pytest.param(lambda: first(10**6, Answer(200, body=b"<html>welcome</html>"), "/v2/"), "", id="no registry"),
        pytest.param(lambda: cut(10**6), "broke", id="cut"),
    ],
)
def test_what_does_not_pass(lab: Lab, kitchen: Kitchen, rule: Callable[[], Rule], said: str) -> None:
    """A finding with its cause and a command, in time."""
    front = lab.front(rule())
    one_image(lab, kitchen, front)
    began = time.monotonic()
    done = kitchen.run("images", "pull", timeout=120)
    assert time.monotonic() - began < 45
    finding(done.returncode, done.stderr, said)
    assert front.address in done.stderr


def test_a_token_endpoint_that_hangs(proxied_lab: Lab, kitchens: Callable[..., Kitchen]) -> None:
    """The time is bounded, and `images` says it too."""
    tokens = Tokens(anonymous=True)
    proxied_lab.site("registry-1.docker.io", tokens.bearer("https://auth.docker.io/token"))
    proxied_lab.site("auth.docker.io", hang(40, "/token"), empty=True)
    kitchen = kitchens(proxied_lab)
    one_image(proxied_lab, kitchen, "lab-slow:1")
    began = time.monotonic()
    done = kitchen.run("images", "pull", timeout=120)
    assert time.monotonic() - began < 35
    finding(done.returncode, done.stderr, "no answer in time")


@pytest.mark.parametrize("trusted", [True, False])
def test_a_company_registry(
    proxied_lab: Lab, kitchens: Callable[..., Kitchen], tmp_path: Path, trusted: bool
) -> None:
    """An authority of one's own, trusted by the engine or not."""
    authority = None if trusted else Authority(tmp_path / "stranger")
    proxied_lab.site("registry.lab.test", authority=authority)
    kitchen = kitchens(proxied_lab)
    one_image(proxied_lab, kitchen, "registry.lab.test/team/app:1")
    done = kitchen.run("images", "pull")
    if trusted:
        assert done.returncode == 0, done.stderr
        assert_plain(done.stderr)
    else:
        finding(done.returncode, done.stderr, "certificate")
        assert "/etc/docker/certs.d/registry.lab.test/ca.crt" in done.stderr


def test_a_dead_proxy(proxied_lab: Lab, kitchens: Callable[..., Kitchen]) -> None:
    """The engine's proxy is named as the cause; a mirror that needs none still works."""
    kitchen = kitchens(proxied_lab)
    one_image(proxied_lab, kitchen, "lab-far:1")
    with proxied_lab.without_proxy():
        done = kitchen.run("images", "pull")
        finding(done.returncode, done.stderr, "proxy")
        kitchen.mirrors(proxied_lab.front().address)
        assert kitchen.run("images", "pull").returncode == 0


def test_a_proxy_that_wants_to_know_who_asks(proxied_lab: Lab, kitchens: Callable[..., Kitchen]) -> None:
    """Its refusal is no refusal of the registry."""
    kitchen = kitchens(proxied_lab)
    proxied_lab.site("registry-1.docker.io")
    one_image(proxied_lab, kitchen, "lab-far:1")
    proxied_lab.proxy.demands = "ann:c4n4ry"
    done = kitchen.run("images", "pull")
    finding(done.returncode, done.stderr, "proxy")


def test_a_live_proxy(proxied_lab: Lab, kitchens: Callable[..., Kitchen], devenv: StartDevenv) -> None:
    """Docker Hub through the engine's proxy, for a service and for a build."""
    kitchen = kitchens(proxied_lab, "newer")
    proxied_lab.site("registry-1.docker.io")
    one_image(proxied_lab, kitchen, "lab-far:1")
    kitchen.write("Dockerfile", "FROM lab-far:1\nRUN true\n")
    kitchen.compose_file({"a": {"image": "lab-far:1"}, "b": {"build": {"context": "."}}})
    run = devenv("up", cwd=kitchen.folder, env=kitchen.env)
    run.wait_for("ready")
    assert run.stop() == 130
    assert_plain(run.report(10**6))
    assert set(proxied_lab.proxy.seen) == {"registry-1.docker.io:443"}


def test_stand_ins_by_consent(lab: Lab, kitchen: Kitchen, devenv: StartDevenv, base_image: str) -> None:
    """Without consent they are offered, with it they are used; both without a word of Docker's."""
    lab.borrow(base_image)
    kitchen.write("Dockerfile", "FROM debian:trixie-slim\nRUN true\n")
    kitchen.compose_file({"a": {"build": {"context": "."}, "command": ["sleep", "60"], "init": True}})
    done = kitchen.run("up")
    finding(done.returncode, done.stderr, "debian:trixie-slim")
    assert "devenv up --stand-ins" in done.stderr
    run = devenv("up", "--stand-ins", cwd=kitchen.folder, env=kitchen.env)
    run.wait_for("ready")
    assert run.stop() == 130
    assert_plain(run.report(10**6))
    assert "debian:trixie-slim" not in kitchen.images()


NO_IMAGES = (
    "-v",
    "--privileged",
    " alpine",
    "alpine;id",
    "alpine\n",
    "ALPINE:1",
    "a:b:c",
    "x@sha256:123",
    "localhost:99999/x",
    f"x:{'t' * 300}",
    "../x",
    "docker.io/",
)


@pytest.mark.parametrize("where", ["image", "FROM"])
def test_names_that_are_none(kitchen: Kitchen, where: str) -> None:
    """Row 10: exit 5 with the name and who wrote it, before anybody is asked."""
    for name in NO_IMAGES:
        if where == "image":
            kitchen.compose_file({"a": {"image": name}})
        elif name.strip() == name:
            kitchen.write("Dockerfile", f"FROM {name}\n")
            kitchen.compose_file({"a": {"build": {"context": "."}}})
        done = kitchen.run("images", "pull")
        assert done.returncode == 5, f"{name!r}: {done.stderr}"
        assert_plain(done.stderr)


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("http://", 4),
        ("tcp://h:notaport", 4),
        ("unix://rel", 4),
        ("unix:///no/such.sock", 4),
        ("unix:///etc/passwd", 4),
        ("ssh://-oProxyCommand=touch%20PWNED", 6),
        ("nonsense", 4),
    ],
)
def test_an_engine_that_is_none(kitchen: Kitchen, host: str, code: int) -> None:
    """Row 18: one line with a hint within five seconds, and nothing is run."""
    kitchen.compose_file({"a": {"image": "lab-any:1"}})
    for command in (("images",), ("up",)):
        began = time.monotonic()
        done = run(*command, cwd=kitchen.folder, env={**kitchen.env, "DOCKER_HOST": host})
        assert time.monotonic() - began < 5
        assert done.returncode == code, f"{command} {done.stderr}"
        assert "hint:" in done.stderr
        assert_plain(done.stderr)
    assert not (kitchen.folder / "PWNED").exists()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(200, {"Content-Type": "text/html"}, b"<html>hello</html>"), id="html"),
        pytest.param(Answer(301, {"Location": "http://elsewhere.test/"}), id="redirect"),
        pytest.param(Answer(200, {"Content-Type": "application/json"}, b"null"), id="null"),
        pytest.param(Answer(200, {"Content-Type": "application/json"}, b'{"ApiVersion": []}'), id="wrong types"),
        pytest.param(Answer(200, {"Content-Type": "application/json"}, b"[" * 10**7), id="nested"),
        pytest.param(Answer(200, {"Content-Type": "application/json"}, b'"' + b"a" * (80 << 20) + b'"'), id="80 MB"),
    ],
)
def test_an_engine_that_talks_nonsense(kitchen: Kitchen, answer: Answer) -> None:
    """Row 19: `unexpected answer`, exit 4."""
    kitchen.compose_file({"a": {"image": "lab-any:1"}})
    front = Front(listening(), lambda *_: answer)
    try:
        for command in (("images",), ("up",)):
            done = run(*command, cwd=kitchen.folder, env={**kitchen.env, "DOCKER_HOST": f"tcp://{front.address}"})
            assert done.returncode == 4, f"{command} {done.stderr}"
            assert_plain(done.stderr)
    finally:
        front.close()


def one_image(lab: Lab, kitchen: Kitchen, where: Front | str) -> None:
    """A project of one new image: in a front's registry, or by its full name."""
    image = where if isinstance(where, str) else f"{where.address}/team/app:1"
    repository = image.rpartition(":")[0]
    lab.registry.put(f"library/{image[:-2]}" if "/" not in image else repository.partition("/")[2], "1")
    kitchen.compose_file({"a": {"image": image}})


def finding(code: int, text: str, said: str) -> None:
    """Exit 4, a cause, a hint, and nothing of Docker's own."""
    assert code == 4, text
    assert said in text
    assert "hint:" in text, text
    assert_plain(text)
