"""`devenv build` and `devenv push`: names of images, their arrival, and which images must not be pushed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from support.lab import Lab
from support.lab_stack import LabStack, assert_plain
from support.registries import Answer, Forward, Front, Seen, basic, hang

USER, SECRET = "ann", "c4n4ry-p4ss"


@pytest.fixture
def front(lab: Lab, lab_stack: LabStack) -> Front:
    """A registry with a base image, and a project with one service, built on it in two stages."""
    front = lab.front()
    lab.registry.put("team/base", "1")
    lab_stack.write("Dockerfile", f"FROM {front.address}/team/base:1 AS dev\nENV A=1\nFROM dev AS final\nENV A=2\n")
    lab_stack.write("package.json", '{"version": "1.4.0"}')
    lab_stack.compose_file({"web": {"build": {"context": ".", "target": "dev"}}})
    for args in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *args], cwd=lab_stack.folder, check=True)
    return front


def test_built_images_are_tagged(lab_stack: LabStack, front: Front) -> None:
    """A built image gets the tags version, latest and revision; the revision shows uncommitted changes."""
    lab_stack.write("more", "")
    done = lab_stack.run("build")
    assert done.returncode == 0, done.stderr
    made = sorted(name.partition(":")[2] for name in lab_stack.images() if name.startswith(f"{lab_stack.name}-web:"))
    assert made[0] == "1.4.0"
    assert re.fullmatch(r"[0-9a-f]{12}-dirty", made[1])
    assert made[2:] == ["latest"]


def test_target_option_does_not_replace_the_image_of_up(lab_stack: LabStack, front: Front) -> None:
    """`--target` builds another image; the name that `up` uses keeps its image."""
    extra = f"{lab_stack.name}-extra:1"
    lab_stack.compose_file({"web": {"build": {"context": ".", "target": "dev", "tags": [extra]}}})
    assert lab_stack.run("build").returncode == 0
    before = image(lab_stack, f"{lab_stack.name}-web:latest")
    assert lab_stack.run("build", "--target", "final").returncode == 0
    assert "A=1" in before["Config"]["Env"]
    assert image(lab_stack, f"{lab_stack.name}-web:latest")["Id"] == before["Id"]
    assert image(lab_stack, extra)["Id"] == before["Id"]
    assert "A=2" in image(lab_stack, f"{lab_stack.name}-web:1.4.0")["Config"]["Env"]
    assert not [name for name in lab_stack.images() if name.startswith("release.devenv")]


def test_pushed_tags_have_the_reported_digest(lab: Lab, lab_stack: LabStack, front: Front) -> None:
    """With a password, every tag is in the registry."""
    private = lab.front(basic(USER, SECRET))
    lab_stack.login(private.address, USER, SECRET)
    done = lab_stack.run("push", "--registry", f"{private.address}/shop", "--output", "json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    pushed = {event["reference"]: event["detail"] for event in lines if event.get("state") == "pushed"}
    assert len(pushed) == 3
    for reference, digest in pushed.items():
        repository, _, tag = reference.removeprefix(f"{private.address}/").rpartition(":")
        assert lab.registry.digest(repository, tag) == digest
    assert "c4n4ry" not in done.stdout + done.stderr


def test_push_without_login_shows_the_login_command(lab: Lab, lab_stack: LabStack, front: Front) -> None:
    """None of the registry's output is repeated."""
    private = lab.front(basic(USER, SECRET))
    done = lab_stack.run("push", "--registry", private.address, "--tag", "1")
    assert done.returncode == 4
    assert f"docker login {private.address}" in done.stderr
    assert_plain(done.stderr)


def test_push_fails_if_the_registry_has_another_digest(lab: Lab, lab_stack: LabStack, front: Front) -> None:
    """If the same tag was pushed by another user, the check after the push fails."""

    def pushed_over(seen: Seen, forward: Forward) -> Answer | None:
        if seen.method != "PUT" or "/manifests/" not in seen.path:
            return None
        taken = forward()
        lab.registry.put(seen.path.removeprefix("/v2/").partition("/manifests/")[0], "1")
        return taken

    done = lab_stack.run("push", "--registry", lab.front(pushed_over).address, "--tag", "1")
    assert done.returncode == 4, done.stderr
    assert "pushed over meanwhile" in done.stderr


@pytest.mark.parametrize("dockerfile", ["FROM {0}\n", "FROM scratch\nCOPY --from={0} /which /which\n"])
def test_images_only_valid_on_this_machine_are_not_pushed(
    lab: Lab, lab_stack: LabStack, front: Front, dockerfile: str
) -> None:
    """An image built on a stand-in, or with a file of one, is refused, and nothing reaches the registry."""
    lab.registry.put("team/made", "1", config={"Labels": {"devenv.stand-in": "node:22"}})
    lab_stack.write("Dockerfile", dockerfile.format(f"{front.address}/team/made:1"))
    lab_stack.compose_file({"web": {"build": {"context": "."}}})
    target = lab.front()
    done = lab_stack.run("push", "--registry", target.address)
    assert done.returncode == 6, done.stderr
    assert "a stand-in (node:22)" in done.stderr
    assert target.seen == []


def test_renamed_stand_in_is_not_pushed(lab: Lab, lab_stack: LabStack, front: Front) -> None:
    """An image with a file of a stand-in is refused, even if that comes from a mirror or a saved file."""
    lab.registry.put("library/made", "1", config={"Labels": {"devenv.stand-in": "node:22"}})
    lab_stack.mirrors(front.address)
    lab_stack.write("Dockerfile", "FROM scratch\nCOPY --from=made:1 /which /which\n")
    lab_stack.compose_file({"web": {"build": {"context": "."}}})
    done = lab_stack.run("push", "--registry", lab.front().address)
    assert done.returncode == 6, done.stderr


def test_terminated_push_leaves_no_child_and_no_name(lab: Lab, lab_stack: LabStack, front: Front) -> None:
    """The child process ends, and the temporary name is removed."""
    slow = lab.front(hang(1))
    run = subprocess.Popen(
        [sys.executable, "-m", "devenv", "push", "--registry", slow.address, "--target", "final"],
        cwd=lab_stack.folder,
        env={**os.environ, **lab_stack.env},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    while ": pushing" not in run.stdout.readline():
        pass
    run.terminate()
    run.communicate(timeout=10)
    assert run.returncode == 143
    assert not [name for name in lab_stack.images() if name.startswith("release.devenv")]


@pytest.mark.parametrize(
    "line",
    [
        "ENV HTTPS_PROXY=http://10.0.0.1:3128",
        "ENV http_proxy=http://u:p4ss@h:1",
        "ENV npm_config_proxy=http://u:p4ss@h:1",
        "RUN npm_config_https_proxy=http://u:p4ss@h:1 true",
    ],
)
def test_image_with_a_proxy_is_not_pushed(lab: Lab, lab_stack: LabStack, front: Front, line: str) -> None:
    """The image would be used on other machines; the proxy's value is not shown."""
    lab_stack.write("Dockerfile", f"FROM {front.address}/team/base:1\n{line}\n")
    lab_stack.compose_file({"web": {"build": {"context": "."}}})
    done = lab_stack.run("push", "--registry", front.address)
    assert done.returncode == 6, done.stderr
    assert "p4ss" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["push"], "says no registry"),
        (["push", "--registry", "https://u:p4ss@h.example"], "is not a registry"),
        (["build", "--tag", "a b"], "cannot be a tag"),
        (["build", "nobody"], "no service `nobody`"),
    ],
)
def test_invalid_options_are_reported_before_a_build(
    lab_stack: LabStack, front: Front, args: list[str], message: str
) -> None:
    """The error is reported before anything is built."""
    done = lab_stack.run(*args)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "p4ss" not in done.stderr


def image(lab_stack: LabStack, name: str) -> dict[str, Any]:
    """The engine's description of an image."""
    return dict(json.loads(lab_stack.lab.docker("image", "inspect", name))[0])
