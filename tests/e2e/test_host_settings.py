"""A company's network: builds and containers get this host's CAs, and none of its secrets."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from devenv.images.host_settings.derive import ORIGINAL_LABEL
from support import docker_cli as docker
from support.cli import Devenv, StartDevenv
from support.lab import Authority
from support.registries import Answer, Front
from support.stack import IDLE, NewStack, Stack, unique_name

SITE = "registry.test"
STEM = "c4n4ry"
# Where this host keeps secrets; each is planted as it is, %-encoded, and in base64 with and without its user.
PLACES = (
    "http-proxy", "https-proxy", "npm-registry", "npm-scope", "npm-token", "pip-index", "pip-extra", "go-proxy",
    "registry-auth", "registry-token", "shell", "build-secret", "no-proxy",
)  # fmt: skip
SECRETS = {place: f"{STEM} {place}/ü" for place in PLACES}


def forms(secret: str) -> tuple[str, ...]:
    """The encoded forms of a secret that could be visible."""
    coded = (base64.b64encode(text.encode()).decode().rstrip("=") for text in (secret, f"me:{secret}"))
    return secret, quote(secret, safe=""), *coded


CANARIES = tuple(form for secret in SECRETS.values() for form in forms(secret))


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that only the test knows."""
    return Authority(tmp_path_factory.mktemp("company"))


@pytest.fixture
def site(company: Authority, engine: str) -> Iterator[str]:
    """The command by which a container requests a page from a server with a certificate of the company's."""
    listener = socket.create_server(("0.0.0.0", 0))
    front = Front(listener, lambda *_: Answer(200, {}, b"served"), tls=company.speaks_for(SITE))
    port = front.address.rpartition(":")[2]
    here = docker.docker("network", "inspect", "bridge", "--format={{(index .IPAM.Config 0).Gateway}}")
    yield f"curl -sS --noproxy {SITE} --resolve {SITE}:{port}:{here} https://{SITE}:{port}/"
    front.close()


@pytest.fixture
def project(new_stack: NewStack, base_image: str, site: str, state_env: dict[str, str]) -> Iterator[Stack]:
    """A project with a built service and another one, whose image has a unique name."""
    stack = new_stack(state_env)
    name = f"{unique_name('inside')}:1"
    docker.docker("tag", base_image, name)
    # The first step makes the next one run in each test: a cached step sends no request.
    stack.write("Dockerfile", f"FROM {name}\nRUN : {stack.name}\nRUN {site}\n")
    built, stock = {"build": {"context": "."}, "command": IDLE}, {"image": name, "command": IDLE}
    stack.compose_file({"built": built, "stock": stock})
    yield stack
    stack.remove()
    on_it = docker.docker("images", "-q", f"--filter=label={ORIGINAL_LABEL}={name}").split()
    docker.docker("rmi", "-f", *on_it, name)


@pytest.fixture
def host(tmp_path: Path, company: Authority, project: Stack) -> dict[str, str]:
    """The environment of a user whose shell names the company's CA."""
    home = tmp_path / "home"
    home.mkdir()
    return {**project.env, "HOME": str(home), "SSL_CERT_FILE": str(company.certificate)}


def test_build_without_the_company_ca_fails_with_a_hint(
    project: Stack, host: dict[str, str], devenv: StartDevenv
) -> None:
    """The build fails as without devenv, with the cause and the command to type."""
    run = devenv("up", "-d", cwd=project.folder, env=host, json_output=False)
    assert run.wait() == 1
    assert f"{SITE} shows a certificate that the image does not trust" in run.stderr
    assert "hint: devenv up -d --host-settings" in run.stderr


def test_builds_and_containers_trust_the_company_ca(
    project: Stack, host: dict[str, str], site: str, devenv: StartDevenv
) -> None:
    """Build steps and containers, built or not, reach the server; a step has only the variables that it declares.

    Variables that an image sets itself are kept.
    """
    declared = (
        'ARG CURL_CA_BUNDLE\nRUN test -r "$CURL_CA_BUNDLE" && test -z "$GIT_SSL_CAINFO"\nENV GIT_SSL_CAINFO=/own\n'
    )
    project.write("Dockerfile", (project.folder / "Dockerfile").read_text() + declared)
    run = devenv("up", "-d", "--host-settings", cwd=project.folder, env=host, json_output=False)
    assert run.wait() == 0, run.report()
    assert _printed(run).count("this host's company CA") == 1
    for service in ("built", "stock"):
        assert project.execute(service, "sh", "-c", f"unset CURL_CA_BUNDLE SSL_CERT_FILE; {site}") == "served"
        assert project.execute(service, "printenv", "NODE_EXTRA_CA_CERTS") == "/etc/ssl/certs/ca-certificates.crt"
    assert project.execute("built", "printenv", "GIT_SSL_CAINFO") == "/own"
    assert project.execute("stock", "printenv", "GIT_SSL_CAINFO") == "/etc/ssl/certs/ca-certificates.crt"
    assert devenv("down", "-v", cwd=project.folder, env=host).wait() == 0


def test_no_secret_of_the_host_is_visible(
    project: Stack, host: dict[str, str], site: str, tmp_path: Path, devenv: StartDevenv
) -> None:
    """No image, container, output, file or command line of a child process contains a secret."""
    assert len(CANARIES) > 50
    secrets = {place: quote(secret, safe="") for place, secret in SECRETS.items()}
    record = _recording_docker(tmp_path / "bin")
    with socket.create_server(("0.0.0.0", 0)) as proxy:
        env = {**host, **_planted(Path(host["HOME"]), secrets, proxy.getsockname()[1])}
        env["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        text = project.folder / "Dockerfile"
        use = "RUN --mount=type=secret,id=mine test -s /run/secrets/mine && env | grep -q '^HTTPS_PROXY='\n"
        text.write_text(text.read_text() + use)
        model = json.loads(project.compose("config", "--format=json").stdout)
        model["services"]["built"]["build"]["secrets"] = ["mine"]
        project.compose_file(model["services"], secrets={"mine": {"environment": "MINE"}})
        runs = [devenv("up", "-d", "-v", "--host-settings", cwd=project.folder, env=env)]
        assert runs[0].wait() == 0, runs[0].report()
        for argv in (("images",), ("build", "--host-settings"), ("ps",)):
            runs.append(devenv(*argv, cwd=project.folder, env=env, json_output=False))
            runs[-1].wait()
    printed = "".join(map(_printed, runs))
    assert "not given to builds: npm's registry" in printed
    images = {docker.inspect(container)["Image"] for container in project.containers()}
    assert len(images) == 2  # the derived image of `stock`, and the image built on it
    seen = {"printed": printed, "command lines": record.read_text()}
    seen["containers"] = docker.docker("inspect", *project.containers())
    for image in images:
        seen[image] = docker.docker("history", "--no-trunc", image) + docker.docker("inspect", image)
    for file in (tmp_path / "state home").rglob("*"):
        seen[str(file)] = file.read_bytes().decode(errors="replace") if file.is_file() else ""
    assert {place: canary for place, text in seen.items() for canary in CANARIES if canary in text} == {}
    assert _saved_canaries(images, tmp_path) == 0
    assert devenv("down", "-v", cwd=project.folder, env=env).wait() == 0


def _planted(home: Path, secret: Mapping[str, str], port: int) -> dict[str, str]:
    """The variables and files of a user with all those secrets."""
    registry = {"auth": base64.b64encode(f"me:{SECRETS['registry-auth']}".encode()).decode()}
    settings = {"auths": {SITE: {**registry, "identitytoken": SECRETS["registry-token"]}}}
    (home / "docker").mkdir()
    (home / "docker" / "config.json").write_text(json.dumps(settings))
    token = f"//{SITE}/:_authToken={SECRETS['npm-token']}\n"
    scope = f"@team:registry=https://me:{secret['npm-scope']}@npm.test/\n"
    (home / ".npmrc").write_text(f"registry=https://me:{secret['npm-registry']}@npm.test/\n{scope}{token}")
    return {
        "DOCKER_CONFIG": str(home / "docker"),
        "HTTP_PROXY": f"http://me:{secret['http-proxy']}@127.0.0.1:{port}",
        "HTTPS_PROXY": f"http://me:{secret['https-proxy']}@127.0.0.1:{port}",
        "NO_PROXY": SITE,
        "PIP_INDEX_URL": f"https://me:{secret['pip-index']}@pip.test/simple",
        "PIP_EXTRA_INDEX_URL": f"https://me:{secret['pip-extra']}@pip.test/simple",
        "GOPROXY": f"https://me:{secret['go-proxy']}@go.test,direct",
        "SHELL_SECRET": SECRETS["shell"],
        "MINE": SECRETS["build-secret"],
    }


def _recording_docker(folder: Path) -> Path:
    """Put a `docker` on PATH that records its arguments before it execs the real one; return the record."""
    folder.mkdir()
    record = folder / "record"
    (folder / "docker").write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >>"{record}"\nexec {shutil.which("docker")} "$@"\n'
    )
    (folder / "docker").chmod(0o755)
    return record


def _printed(run: Devenv) -> str:
    return "\n".join([*map(json.dumps, run.events), *run.stray, run.stderr])


def _saved_canaries(images: Iterable[str], folder: Path) -> int:
    """The number of lines of the images' layers that contain a secret."""
    needles = folder / "needles"
    needles.write_text("\n".join(CANARIES))
    with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as save:
        output = subprocess.run(
            ["grep", "-aFc", "-f", str(needles)], stdin=save.stdout, capture_output=True, check=False
        )
    return int(output.stdout)
