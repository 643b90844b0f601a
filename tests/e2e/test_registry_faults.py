"""Failing registries, proxies and networks: temporary failures are retried, lasting failures are one finding."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from support.cli import StartDevenv, run
from support.lab import Authority, Lab
from support.lab_stack import LabStack, assert_plain
from support.registries import Answer, Front, Rule, Tokens, cut, error, first, hang, listening, too_many
from support.stack import place_of

UNAVAILABLE = error(503, "UNAVAILABLE", "service unavailable")


PASSING: dict[str, Callable[[], Rule]] = {
    "many": lambda: too_many(1),
    "later": lambda: too_many(1, retry_after=2),
    "down": lambda: first(2, UNAVAILABLE),
    "gateway": lambda: first(2, Answer(502, body=b"<html>Bad Gateway</html>")),
    "layer": lambda: first(1, UNAVAILABLE, "/blobs/"),
    "cut": lambda: cut(1),
}
STAYING: dict[str, tuple[Callable[[], Rule], str]] = {
    "many": (too_many, "limit"),
    "down": (lambda: first(10**6, UNAVAILABLE), "out of service"),
    "denied": (lambda: first(10**6, error(403, "DENIED", "requested access is denied")), "denied"),
    "page": (lambda: first(10**6, Answer(200, {"Content-Type": "text/html"}, b"<html>hello</html>"), "/v2/"), ""),
    "cut": (lambda: cut(10**6), "broke"),
}


def test_temporary_failures_are_tried_again(lab: Lab, lab_stack: LabStack) -> None:
    """Rate limits, unavailable registries and broken connections are retried, and reported in our words."""
    fronts = {name: lab.front(rule()) for name, rule in PASSING.items()}
    lab_images(lab, lab_stack, fronts)
    began = time.monotonic()
    done = lab_stack.run("images", "pull")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 30
    assert "again in" in done.stdout + done.stderr
    assert_plain(done.stdout + done.stderr)


def test_lasting_failures_are_one_finding(lab: Lab, lab_stack: LabStack) -> None:
    """The finding comes in time, with the cause for each image."""
    fronts = {name: lab.front(rule()) for name, (rule, _) in STAYING.items()}
    lab_images(lab, lab_stack, fronts)
    began = time.monotonic()
    done = lab_stack.run("images", "pull", timeout=120)
    assert time.monotonic() - began < 60
    finding(done.returncode, done.stderr, f"{len(fronts)} images")
    lines = done.stderr.splitlines()
    for name, (_, cause) in STAYING.items():
        image = f"{fronts[name].address}/team/{name}:1"
        (row,) = (line for line in lines if f"{image} ({place_of(lab_stack.folder, image)})" in line)
        assert cause in row


def test_web_page_in_place_of_a_registry_is_reported(lab: Lab, lab_stack: LabStack) -> None:
    """The error says that the server is not a registry."""
    front = lab.front(STAYING["page"][0]())
    one_image(lab, lab_stack, front)
    done = lab_stack.run("images", "pull")
    finding(done.returncode, done.stderr, front.address)


def test_hanging_token_endpoint_is_reported_in_time(proxied_lab: Lab, lab_stacks: Callable[..., LabStack]) -> None:
    """`images` reports the endpoint in time, too."""
    tokens = Tokens(anonymous=True)
    proxied_lab.site("registry-1.docker.io", tokens.bearer("https://auth.docker.io/token"))
    proxied_lab.site("auth.docker.io", hang(40, "/token"), empty=True)
    lab_stack = lab_stacks(proxied_lab)
    one_image(proxied_lab, lab_stack, "lab-slow:1")
    began = time.monotonic()
    done = lab_stack.run("images", "pull", timeout=120)
    assert time.monotonic() - began < 35
    finding(done.returncode, done.stderr, "no answer in time")


@pytest.mark.parametrize("trusted", [True, False])
def test_registry_with_a_company_ca(
    proxied_lab: Lab, lab_stacks: Callable[..., LabStack], tmp_path: Path, trusted: bool
) -> None:
    """The registry can be used only if the engine trusts the CA."""
    authority = None if trusted else Authority(tmp_path / "stranger")
    proxied_lab.site("registry.lab.test", authority=authority)
    lab_stack = lab_stacks(proxied_lab)
    one_image(proxied_lab, lab_stack, "registry.lab.test/team/app:1")
    done = lab_stack.run("images", "pull")
    if trusted:
        assert done.returncode == 0, done.stderr
        assert_plain(done.stderr)
    else:
        finding(done.returncode, done.stderr, "certificate")
        assert "/etc/docker/certs.d/registry.lab.test/ca.crt" in done.stderr


def test_dead_proxy_is_named_as_the_cause(proxied_lab: Lab, lab_stacks: Callable[..., LabStack]) -> None:
    """The proxy is named, and a mirror that needs no proxy still works."""
    lab_stack = lab_stacks(proxied_lab)
    one_image(proxied_lab, lab_stack, "lab-far:1")
    with proxied_lab.without_proxy():
        done = lab_stack.run("images", "pull")
        finding(done.returncode, done.stderr, "proxy")
        lab_stack.mirrors(proxied_lab.front().address)
        assert lab_stack.run("images", "pull").returncode == 0


def test_proxy_that_requires_a_login_is_reported(proxied_lab: Lab, lab_stacks: Callable[..., LabStack]) -> None:
    """The refusal is reported as the proxy's, not as the registry's."""
    lab_stack = lab_stacks(proxied_lab)
    proxied_lab.site("registry-1.docker.io")
    one_image(proxied_lab, lab_stack, "lab-far:1")
    proxied_lab.proxy.demands = "ann:c4n4ry"
    done = lab_stack.run("images", "pull")
    finding(done.returncode, done.stderr, "proxy")


def test_images_are_pulled_through_the_engines_proxy(
    proxied_lab: Lab, lab_stacks: Callable[..., LabStack], devenv: StartDevenv
) -> None:
    """Images from Docker Hub are pulled for a service and for a build."""
    lab_stack = lab_stacks(proxied_lab, "newer")
    proxied_lab.site("registry-1.docker.io")
    one_image(proxied_lab, lab_stack, "lab-far:1")
    lab_stack.write("Dockerfile", "FROM lab-far:1\nRUN true\n")
    lab_stack.compose_file({"a": {"image": "lab-far:1"}, "b": {"build": {"context": "."}}})
    run = devenv("up", cwd=lab_stack.folder, env=lab_stack.env)
    run.wait_for("ready")
    assert run.stop() == 130
    assert_plain(run.report(10**6))
    assert set(proxied_lab.proxy.seen) == {"registry-1.docker.io:443"}


def test_stand_ins_require_consent(lab: Lab, lab_stack: LabStack, devenv: StartDevenv, base_image: str) -> None:
    """Without consent stand-ins are offered, with consent they are used; none of Docker's output is shown."""
    lab.borrow(base_image)
    lab_stack.write("Dockerfile", "FROM debian:trixie-slim\nRUN true\n")
    lab_stack.compose_file({"a": {"build": {"context": "."}, "command": ["sleep", "60"], "init": True}})
    done = lab_stack.run("up")
    finding(done.returncode, done.stderr, "debian:trixie-slim")
    assert "devenv up --stand-ins" in done.stderr
    run = devenv("up", "--stand-ins", cwd=lab_stack.folder, env=lab_stack.env)
    run.wait_for("ready", timeout=180)  # a stand-in of an older recipe is built again
    assert run.stop() == 130
    assert_plain(run.report(10**6))
    assert "debian:trixie-slim" not in lab_stack.images()


@pytest.mark.parametrize("where", ["image", "FROM"])
@pytest.mark.parametrize("name", ["--privileged", "alpine;id", "x@sha256:123", "localhost:99999/x"])
def test_invalid_image_names_are_refused_before_any_request(lab_stack: LabStack, where: str, name: str) -> None:
    """Row 10: exit 5 with the name and its place."""
    lab_stack.write("Dockerfile", f"FROM {name}\n")
    lab_stack.compose_file({"a": {"image": name} if where == "image" else {"build": {"context": "."}}})
    done = lab_stack.run("images", "pull")
    assert done.returncode == 5, done.stderr
    assert name in done.stderr or name.startswith("--"), "in a FROM that is a flag"
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
def test_address_that_is_not_an_engine_is_reported(lab_stack: LabStack, host: str, code: int) -> None:
    """Row 18: one line with a hint within five seconds, and nothing is run."""
    lab_stack.compose_file({"a": {"image": "lab-any:1"}})
    for command in (("images",), ("up",)):
        began = time.monotonic()
        done = run(*command, cwd=lab_stack.folder, env={**lab_stack.env, "DOCKER_HOST": host})
        assert time.monotonic() - began < 5
        assert done.returncode == code, f"{command} {done.stderr}"
        assert "hint:" in done.stderr
        assert_plain(done.stderr)
    assert not (lab_stack.folder / "PWNED").exists()


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
def test_engine_with_invalid_answers_is_reported(lab_stack: LabStack, answer: Answer) -> None:
    """Row 19: `unexpected answer`, exit 4."""
    lab_stack.compose_file({"a": {"image": "lab-any:1"}})
    front = Front(listening(), lambda *_: answer)
    try:
        for command in (("images",), ("up",)):
            done = run(*command, cwd=lab_stack.folder, env={**lab_stack.env, "DOCKER_HOST": f"tcp://{front.address}"})
            assert done.returncode == 4, f"{command} {done.stderr}"
            assert_plain(done.stderr)
    finally:
        front.close()


def lab_images(lab: Lab, lab_stack: LabStack, fronts: Mapping[str, Front]) -> None:
    """A project with one new image for each front, under its name."""
    for name in fronts:
        lab.registry.put(f"team/{name}", "1")
    lab_stack.compose_file({name: {"image": f"{front.address}/team/{name}:1"} for name, front in fronts.items()})


def one_image(lab: Lab, lab_stack: LabStack, where: Front | str) -> None:
    """A project with one new image: in a front's registry, or by its full name."""
    image = where if isinstance(where, str) else f"{where.address}/team/app:1"
    repository = image.rpartition(":")[0]
    lab.registry.put(f"library/{image[:-2]}" if "/" not in image else repository.partition("/")[2], "1")
    lab_stack.compose_file({"a": {"image": image}})


def finding(code: int, text: str, cause: str) -> None:
    """Check for exit code 4, the cause, a hint, and no words of Docker's own."""
    assert code == 4, text
    assert cause in text
    assert "hint:" in text, text
    assert_plain(text)
