"""Images that a running project needs after an edit, and images in builds outside of `FROM`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.cli import StartDevenv
from support.lab import Lab
from support.lab_stack import LabStack, assert_plain

SYNTAX = "the image of `# syntax=` cannot be pulled: the engine's own builder reads the Dockerfile of app"
RULE = {"watch": [{"path": "Dockerfile", "action": "rebuild"}]}


def test_rebuild_pulls_a_new_base_from_the_mirror(lab: Lab, lab_stack: LabStack, devenv: StartDevenv) -> None:
    """The edited Dockerfile is built as at the start."""
    for name in ("one", "two"):
        lab.registry.put(f"library/lab-{name}", "1", text=name)
    lab_stack.write("Dockerfile", "# syntax=docker/dockerfile:1\nFROM lab-one:1\n")
    lab_stack.compose_file({"app": {"build": ".", "develop": RULE}})
    lab_stack.mirrors(lab.front().address)
    run = devenv("up", cwd=lab_stack.folder, env=lab_stack.env)
    run.wait_for("ready")
    lab_stack.write("Dockerfile", "# syntax=docker/dockerfile:1\nFROM lab-two:1\n")
    run.wait_for("rebuilt")
    assert lab_stack.which("app") == "two"
    assert run.stop() == 130
    assert_plain(run.report(10**6))
    assert [event["message"] for event in run.events if "own builder" in event.get("message", "")] == [SYNTAX]


def test_image_context_is_pulled_from_a_mirror(lab: Lab, lab_stack: LabStack) -> None:
    """`docker-image://` in additional_contexts is pulled like other images."""
    for name in ("base", "tool"):
        lab.registry.put(f"library/lab-{name}", "1", text=name)
    lab_stack.write("Dockerfile", "FROM lab-base:1\nCOPY --from=tools /which /which\n")
    contexts = {"tools": "docker-image://lab-tool:1"}
    lab_stack.compose_file({"app": {"build": {"context": ".", "additional_contexts": contexts}}})
    lab_stack.mirrors(lab.front().address)
    done = lab_stack.run("up", "-d")
    assert done.returncode == 0, done.stderr
    assert lab_stack.which("app") == "tool"
    assert lab_stack.run("down").returncode == 0
    done = lab_stack.run("build", "--no-cache")
    assert done.returncode == 0, done.stderr


def test_dockerignore_of_the_dockerfile_counts_without_its_frontend(lab: Lab, lab_stack: LabStack) -> None:
    """The file counts even if the engine's builder replaces `# syntax=`."""
    lab.registry.put("library/lab-base", "1")
    lab_stack.write("Dockerfile", "# syntax=docker/dockerfile:1\nFROM lab-base:1\nCOPY . /src\nRUN ls /src >/which\n")
    lab_stack.write("Dockerfile.dockerignore", "secret\n")
    lab_stack.write("secret", "")
    lab_stack.compose_file({"app": {"build": "."}})
    lab_stack.mirrors(lab.front().address)
    done = lab_stack.run("up", "-d")
    assert done.returncode == 0, done.stderr
    assert "secret" not in lab_stack.which("app")
    assert lab_stack.run("down").returncode == 0


@pytest.mark.parametrize("compose", ["installed", "newer"])
def test_declared_proxy_is_passed_but_not_in_the_history(
    lab: Lab, lab_stacks: Callable[..., LabStack], compose: str
) -> None:
    """Build steps get the proxy, and the image's history does not, since it may contain a password."""
    lab_stack = lab_stacks(lab, compose)
    lab.registry.put("library/lab-base", "1")
    step = 'RUN case "$HTTPS_PROXY" in http://ann:*) echo well ;; esac >/which'
    lab_stack.write("Dockerfile", f"FROM lab-base:1\nARG HTTPS_PROXY\nARG https_proxy\n{step}\n")
    lab_stack.compose_file({"app": {"build": "."}})
    lab_stack.mirrors(lab.front().address)
    lab_stack.env["HTTPS_PROXY"] = "http://ann:c4n4ry@192.0.2.1:3128"
    done = lab_stack.run("up", "-d", "--host-settings")
    assert done.returncode == 0, done.stderr
    assert lab_stack.which("app") == "well"
    assert "c4n4ry" not in lab.docker("history", "--no-trunc", f"{lab_stack.name}-app")
    assert lab_stack.run("down").returncode == 0


def test_login_in_a_dockerfile_is_not_shown(lab: Lab, lab_stack: LabStack) -> None:
    """Neither the failed step nor its output shows the login; an address without a login is shown."""
    lab.registry.put("library/lab-base", "1")
    lab_stack.write("Dockerfile", "FROM lab-base:1\nRUN echo from https://ann:c4n4ry@files.test/x && exit 3\n")
    lab_stack.compose_file({"app": {"build": "."}})
    lab_stack.mirrors(lab.front().address)
    done = lab_stack.run("up", "-d", "--output", "json")
    assert done.returncode == 1
    assert "from https://***@files.test/x" in done.stderr
    assert "c4n4ry" not in done.stdout + done.stderr
