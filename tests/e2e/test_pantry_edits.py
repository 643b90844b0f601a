"""Images that a running project comes to need, and what builds name besides `FROM`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.cli import StartDevenv
from support.lab import Lab
from support.pantry import Kitchen, assert_plain

SYNTAX = "nobody has what `# syntax=` names: the engine's own builder reads the Dockerfile of app"
RULE = {"watch": [{"path": "Dockerfile", "action": "rebuild"}]}


def test_a_rebuild_on_another_base(lab: Lab, kitchen: Kitchen, devenv: StartDevenv) -> None:
    """An edited Dockerfile is built as at the beginning: its new base comes from the mirror, too."""
    for name in ("one", "two"):
        lab.registry.put(f"library/lab-{name}", "1", text=name)
    kitchen.write("Dockerfile", "# syntax=docker/dockerfile:1\nFROM lab-one:1\n")
    kitchen.compose_file({"app": {"build": ".", "develop": RULE}})
    kitchen.mirrors(lab.front().address)
    run = devenv("up", cwd=kitchen.folder, env=kitchen.env)
    run.wait_for("ready")
    kitchen.write("Dockerfile", "# syntax=docker/dockerfile:1\nFROM lab-two:1\n")
    run.wait_for("rebuilt")
    assert kitchen.which("app") == "two"
    assert run.stop() == 130
    assert_plain(run.report(10**6))
    assert [event["message"] for event in run.events if "own builder" in event.get("message", "")] == [SYNTAX]


def test_a_context_from_a_mirror(lab: Lab, kitchen: Kitchen) -> None:
    """`docker-image://` in additional_contexts is an image like others."""
    for name in ("base", "tool"):
        lab.registry.put(f"library/lab-{name}", "1", text=name)
    kitchen.write("Dockerfile", "FROM lab-base:1\nCOPY --from=tools /which /which\n")
    contexts = {"tools": "docker-image://lab-tool:1"}
    kitchen.compose_file({"app": {"build": {"context": ".", "additional_contexts": contexts}}})
    kitchen.mirrors(lab.front().address)
    done = kitchen.run("up", "-d")
    assert done.returncode == 0, done.stderr
    assert kitchen.which("app") == "tool"
    assert kitchen.run("down").returncode == 0
    done = kitchen.run("build", "--no-cache")
    assert done.returncode == 0, done.stderr


def test_what_a_build_leaves_out_without_its_frontend(lab: Lab, kitchen: Kitchen) -> None:
    """The Dockerfile's own `.dockerignore` holds also where the engine's builder reads it in place of `# syntax=`."""
    lab.registry.put("library/lab-base", "1")
    kitchen.write("Dockerfile", "# syntax=docker/dockerfile:1\nFROM lab-base:1\nCOPY . /src\nRUN ls /src >/which\n")
    kitchen.write("Dockerfile.dockerignore", "secret\n")
    kitchen.write("secret", "")
    kitchen.compose_file({"app": {"build": "."}})
    kitchen.mirrors(lab.front().address)
    done = kitchen.run("up", "-d")
    assert done.returncode == 0, done.stderr
    assert "secret" not in kitchen.which("app")
    assert kitchen.run("down").returncode == 0


@pytest.mark.parametrize("compose", ["installed", "newer"])
def test_a_proxy_that_a_dockerfile_declares(lab: Lab, kitchens: Callable[..., Kitchen], compose: str) -> None:
    """Its steps have it, and the image's history has not: there may be a password in it."""
    kitchen = kitchens(lab, compose)
    lab.registry.put("library/lab-base", "1")
    step = 'RUN case "$HTTPS_PROXY" in http://ann:*) echo well ;; esac >/which'
    kitchen.write("Dockerfile", f"FROM lab-base:1\nARG HTTPS_PROXY\nARG https_proxy\n{step}\n")
    kitchen.compose_file({"app": {"build": "."}})
    kitchen.mirrors(lab.front().address)
    kitchen.env["HTTPS_PROXY"] = "http://ann:c4n4ry@192.0.2.1:3128"
    done = kitchen.run("up", "-d", "--host-settings")
    assert done.returncode == 0, done.stderr
    assert kitchen.which("app") == "well"
    assert "c4n4ry" not in lab.docker("history", "--no-trunc", f"{kitchen.name}-app")
    assert kitchen.run("down").returncode == 0


def test_a_login_in_a_dockerfile(lab: Lab, kitchen: Kitchen) -> None:
    """Neither the step that failed nor what it printed shows it, and an address alone is still seen."""
    lab.registry.put("library/lab-base", "1")
    kitchen.write("Dockerfile", "FROM lab-base:1\nRUN echo from https://ann:c4n4ry@files.test/x && exit 3\n")
    kitchen.compose_file({"app": {"build": "."}})
    kitchen.mirrors(lab.front().address)
    done = kitchen.run("up", "-d", "--output", "json")
    assert done.returncode == 4
    assert "from https://***@files.test/x" in done.stderr
    assert "c4n4ry" not in done.stdout + done.stderr
