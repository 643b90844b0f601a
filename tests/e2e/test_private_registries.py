"""Registries that require a login: which credentials each gets, and the error if they are not enough."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.lab import Lab
from support.lab_stack import LabStack, assert_plain
from support.registries import Front, Tokens, basic, moved

USER, SECRET = "ann", "c4n4ry-p4ss"
Private = Callable[[Lab], Front]


def by_password(lab: Lab) -> Front:
    """A registry with a password file."""
    return lab.front(basic(USER, SECRET))


def by_token(lab: Lab) -> Front:
    """A registry that requires a token from an endpoint."""
    tokens = Tokens({USER: SECRET})
    endpoint = lab.front(tokens, empty=True)
    return lab.front(tokens.bearer(f"http://{endpoint.address}/token"))


@pytest.mark.parametrize("private", [by_password, by_token])
def test_stored_login_is_used(lab: Lab, lab_stack: LabStack, private: Private) -> None:
    """The credentials of `docker login` are used, for a service and for a build."""
    front = private(lab)
    image = wanted(lab, lab_stack, front)
    lab_stack.login(front.address, USER, SECRET)
    done = lab_stack.run("images", "pull")
    assert done.returncode == 0, done.stderr
    assert lab_stack.images() == {image}
    assert_silent(lab_stack, done.stdout + done.stderr)


@pytest.mark.parametrize("private", [by_password, by_token])
@pytest.mark.parametrize("secret", [None, "c4n4ry-wrong"])
def test_missing_or_wrong_login_is_reported(
    lab: Lab, lab_stack: LabStack, private: Private, secret: str | None
) -> None:
    """Access is denied, and the hint is the command that helps."""
    front = private(lab)
    wanted(lab, lab_stack, front)
    if secret:
        lab_stack.login(front.address, USER, secret)
    done = lab_stack.run("images", "pull")
    assert done.returncode == 4, done.stderr
    assert f"docker login {front.address}" in done.stderr
    assert_silent(lab_stack, done.stdout + done.stderr)
    images = lab_stack.run("images")
    assert_silent(lab_stack, images.stdout + images.stderr)


def test_credential_helper_is_used(lab: Lab, lab_stack: LabStack, tmp_path: Path) -> None:
    """A program on PATH provides the password."""
    front = by_password(lab)
    image = wanted(lab, lab_stack, front)
    helper(
        lab_stack,
        tmp_path,
        f"read -r host; [ $1 = get ] && printf '%s' '{json.dumps({'Username': USER, 'Secret': SECRET})}'",
    )
    lab_stack.docker_settings(credHelpers={front.address: "lab"})
    done = lab_stack.run("images", "pull")
    assert done.returncode == 0, done.stderr
    assert lab_stack.images() == {image}
    assert_silent(lab_stack, done.stdout + done.stderr)


@pytest.mark.parametrize("script", [None, f"echo {SECRET}; echo {SECRET} >&2; exit 1"])
def test_failing_credential_helper_is_named(
    lab: Lab, lab_stack: LabStack, tmp_path: Path, script: str | None
) -> None:
    """A missing or broken helper is named, and none of its output is repeated."""
    wanted(lab, lab_stack, by_password(lab))
    if script:
        helper(lab_stack, tmp_path, script)
    lab_stack.docker_settings(credsStore="lab")
    done = lab_stack.run("images", "pull")
    assert done.returncode == 4, done.stderr
    assert "docker-credential-lab" in done.stdout + done.stderr
    assert_silent(lab_stack, done.stdout + done.stderr)


def test_missing_helper_does_not_prevent_public_pulls(lab: Lab, lab_stack: LabStack) -> None:
    """Public images are pulled without a login."""
    front = lab.front()
    wanted(lab, lab_stack, front)
    lab_stack.docker_settings(credHelpers={"other.test": "lab"})
    assert lab_stack.run("images", "pull").returncode == 0


def test_credentials_are_sent_to_their_registry_only(lab: Lab, lab_stack: LabStack) -> None:
    """Another registry, a mirror and the host of a redirect get no credentials, though two of them ask for them."""
    tokens = Tokens(anonymous=True)
    endpoint, elsewhere = lab.front(tokens, empty=True), lab.front()
    mirror, other = (lab.front(tokens.bearer(f"http://{endpoint.address}/token")) for _ in range(2))
    front = lab.front(basic(USER, SECRET), moved(f"http://{elsewhere.address}"))
    image = wanted(lab, lab_stack, front)
    lab.registry.put("library/lab-mirrored", "1")
    lab.registry.put("team/other", "1")
    services = {"a": image, "b": "lab-mirrored:1", "c": f"{other.address}/team/other:1"}
    lab_stack.compose_file({name: {"image": image} for name, image in services.items()})
    lab_stack.mirrors(mirror.address)
    lab_stack.login(front.address, USER, SECRET)
    done = lab_stack.run("images", "pull")
    assert done.returncode == 0, done.stderr
    assert elsewhere.asked("/blobs/")
    assert endpoint.asked("/token")
    shown = [request.authorization or "" for each in (elsewhere, endpoint, mirror, other) for request in each.seen]
    assert [header for header in shown if not header.startswith("Bearer ")] == [""] * shown.count("")


def wanted(lab: Lab, lab_stack: LabStack, front: Front) -> str:
    """Write a project with an image of that registry; return the image's name."""
    lab.registry.put("team/app", "1")
    image = f"{front.address}/team/app:1"
    lab_stack.write("Dockerfile", f"FROM {image}\n")
    lab_stack.compose_file({"a": {"image": image}, "b": {"build": {"context": "."}}})
    return image


def helper(lab_stack: LabStack, folder: Path, script: str) -> None:
    """Put a credential helper of that name on the PATH of the project's commands."""
    program = folder / "bin/docker-credential-lab"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    lab_stack.env["PATH"] = f"{program.parent}:{os.environ['PATH']}"


def assert_silent(lab_stack: LabStack, text: str) -> None:
    """Check that neither the text nor a file of devenv contains a password, and that the text is plain."""
    assert "c4n4ry" not in text
    written = (lab_stack.folder.parent / "home/state").rglob("*")
    assert [path for path in written if path.is_file() and b"c4n4ry" in path.read_bytes()] == []
    assert_plain(text)
