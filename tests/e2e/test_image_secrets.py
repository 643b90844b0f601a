"""Fifty secrets in settings and environments, and failures of all kinds: no secret is shown (T13, T14, T16)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

import pytest

from support.lab import Lab
from support.lab_stack import LabStack
from support.registries import Front, basic, forged, too_many

USER, SECRET = "c4n4ry-user", "c4n4ry-good"
BIRD = b"c4n4ry"
GOOD = (
    ("images", "-vv"),
    ("-vv", "images", "pull"),
    ("build", "-vv"),
    ("-v", "up", "-v", "--detach", "--host-settings"),
    ("-vv", "--output", "json"),
    ("-vv", "exec", "-e", "PASSWORD=c4n4ry-90", "web", "true"),
    ("-vv", "down", "-v"),
)
BAD = (("images", "-vv"), ("images", "pull", "-vv"), ("up", "-vv"))


@pytest.fixture
def front(lab: Lab, lab_stack: LabStack, base_image: str) -> Front:
    """A project with a built service, an image in a private registry, and secrets in every place."""
    lab.borrow(base_image)
    lab.registry.put("team/app", "1")
    front = lab.front(basic(USER, SECRET), too_many(1))
    home = lab_stack.folder.parent / "home"
    for path, text in {
        ".npmrc": "registry=https://npm.test/\n//npm.test/:_authToken=c4n4ry-01\n//npm.test/:_password=c4n4ry-02\n",
        ".config/pip/pip.conf": "[global]\nindex-url = https://c4n4ry-03:c4n4ry-04@pip.test/simple\n",
        ".netrc": "machine npm.test login c4n4ry-05 password c4n4ry-06\n",
    }.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text)
    auths = {f"r{number}.test": encoded(f"c4n4ry-1{number}", f"c4n4ry-2{number}") for number in range(8)}
    lab_stack.docker_settings(auths={front.address: encoded(USER, SECRET), **auths})
    dead = "http://c4n4ry-30:c4n4ry%40{}@127.0.0.1:9"
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
    lab_stack.env.update({name: dead.format(number) for number, name in enumerate(names)})
    lab_stack.env.update({"HOME": str(home), "NPM_TOKEN": "c4n4ry-40", "npm_config__auth": "c4n4ry-41"})
    lab_stack.env.update({"PIP_INDEX_URL": "https://u:c4n4ry-42@pip.test/", "GOPROXY": "https://u:c4n4ry-43@go.test"})
    lab_stack.write("secret.env", "".join(f"SECRET_{number}=c4n4ry-5{number}\n" for number in range(10)))
    lab_stack.write("secret.txt", "c4n4ry-60")
    lab_stack.write(
        "Dockerfile", f"FROM {base_image}\nRUN --mount=type=secret,id=s test -s /run/secrets/s\nCMD sleep 60\n"
    )
    lab_stack.compose_file(
        {
            "web": {
                "build": {"context": ".", "secrets": ["s"], "args": {"API_TOKEN": "c4n4ry-61"}},
                "env_file": ["secret.env"],
                "environment": {f"PASSWORD_{number}": f"c4n4ry-7{number}" for number in range(10)},
                "init": True,
            },
            "app": {"image": f"{front.address}/team/app:1"},
        },
        secrets={"s": {"file": "secret.txt"}},
    )
    return front


def test_successful_run_shows_no_secret(lab: Lab, lab_stack: LabStack, front: Front) -> None:
    """Neither the output nor an image of a run with this host's settings contains a secret."""
    files = [path.read_bytes() for path in lab_stack.folder.parent.rglob("*") if path.is_file()]
    texts = [*files, *(str(value).encode() for value in lab_stack.env.values())]
    assert sum(text.count(BIRD) + text.count(b64(0)) for text in texts) >= 50
    for argv in GOOD:
        done = lab_stack.run(*argv, timeout=120)
        assert done.returncode == 0, done.stderr
        assert seen(done.stdout + done.stderr) == [], argv
        assert re.search(r"docker|GET /", done.stderr), argv
    assert_nothing_kept(lab, lab_stack)


def test_failing_run_shows_no_secret(lab: Lab, lab_stack: LabStack, front: Front) -> None:
    """No secret is shown for a forged image, a mirror with a password in its address, or a wrong password."""
    front.rules.append(forged("/blobs/"))
    for argv in BAD:
        done = lab_stack.run(*argv, timeout=120)
        assert done.returncode == (0 if argv == BAD[0] else 4), done.stderr
        assert seen(done.stdout + done.stderr) == [], argv
    front.rules.insert(0, basic("somebody", "else"))
    lab_stack.mirrors("https://c4n4ry-80:c4n4ry-81@mirror.test")
    for argv in BAD:
        done = lab_stack.run(*argv)
        assert done.returncode == 5, done.stderr
        assert seen(done.stdout + done.stderr) == [], argv
    lab_stack.mirrors("mirror.invalid")
    done = lab_stack.run("images", "pull")
    assert (done.returncode, seen(done.stdout + done.stderr)) == (4, []), done.stderr
    assert_nothing_kept(lab, lab_stack)


def assert_nothing_kept(lab: Lab, lab_stack: LabStack) -> None:
    """Check that no file of devenv's, and no history, config or label of an image contains a secret."""
    files = (lab_stack.folder.parent / "home/state").rglob("*")
    assert [path for path in files if path.is_file() and seen(path.read_bytes())] == []
    for image in set(lab.docker("images", "-aq").split()):
        shown = lab.docker("history", "--no-trunc", image) + lab.docker("inspect", image)
        assert seen(shown) == [], image


def encoded(user: str, secret: str) -> Mapping[str, str]:
    """The login as `docker login` stores it."""
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


def b64(offset: int) -> bytes:
    """The base64 of the marker, so many bytes after a multiple of three."""
    return base64.b64encode(b"\0" * offset + BIRD)[(0, 2, 3)[offset] : 8]


def seen(text: str | bytes) -> list[bytes]:
    """The forms of a secret that the text contains."""
    data = text if isinstance(text, bytes) else text.encode()
    return [form for form in (BIRD, b64(0), b64(1), b64(2)) if form in data]
