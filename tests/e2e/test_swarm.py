"""A stack on a swarm of three machines: its containers equal the tree, on whichever node they run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from support import far as machines
from support import swarm as swarms
from support.cli import Devenv, StartDevenv
from support.docker_cli import BASE_IMAGE, until
from support.swarm import Lab

STACK = """version: "3.8"
x-service: &service
  image: {image}
  init: true
  command: sleep infinity
  stop_grace_period: 1s
services:
  web:
    <<: *service
    deploy: {{ placement: {{ constraints: [node.role == worker] }}, restart_policy: {{ delay: 0s }} }}
  api:
    <<: *service
    deploy: {{ placement: {{ constraints: [node.role == worker] }}, mode: global }}
  proxy:
    <<: *service
    deploy: {{ replicas: 0 }}
"""
COMPOSE = """name: shop
services:
  web: { image: x, develop: { watch: [{ action: sync+restart, path: ./src, target: /app }] } }
  api: { image: x, develop: { watch: [{ action: sync, path: ./src, target: /app }] } }
"""


class Shop:
    """A deployed stack, and the folder that its services are synced from."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        (folder / "src").mkdir(parents=True)
        (folder / "compose.yml").write_text(COMPOSE)
        (folder / "stack.yml").write_text(STACK.format(image=BASE_IMAGE))
        options = ["--detach=true", "--resolve-image=never"]
        lab.manager.docker("stack", "deploy", "-c", str(folder / "stack.yml"), *options, "shop")

    def save(self, text: str) -> None:
        """Save the page."""
        (self.folder / "src/page").write_text(text)


@pytest.fixture(scope="module")
def shop(engine: str, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The stack, on machines of its own."""
    if sys.platform != "linux" or os.geteuid() != 0 or not machines.is_possible():
        pytest.skip("other machines need root on Linux, sshd and ip")
    folder = tmp_path_factory.mktemp("swarm")
    with swarms.swarm(folder / "engines", BASE_IMAGE) as lab:
        yield Shop(lab, folder / "shop")


@pytest.fixture
def watching(shop: Shop, devenv: StartDevenv) -> Iterator[StartDevenv]:
    """Starts `devenv sync --watch`; at the end nothing of its lines is left, and the stack is as before."""

    def start(*args: str, on: str = "n1", stack: str = "shop") -> Devenv:
        words = ["--on", on, "sync", "--watch", "--stack", stack, *args]
        return devenv(*words, cwd=shop.folder, env=shop.lab.ssh.env)

    yield start
    until(lambda: (shop.lab.ssh.masters(), list(shop.lab.ssh.lines.glob("*"))), ([], []).__eq__)


def begins(start: str) -> Callable[[str], bool]:
    """Whether a message begins with this text."""
    return lambda text: text.startswith(start)


def test_saves_follow_the_tasks(shop: Shop, watching: StartDevenv) -> None:
    """Every node with a task gets each save; if a node is lost, the new task gets what was saved meanwhile."""
    shop.save("one")
    lab, run = shop.lab, watching()
    for start in ("api on n2 is in sync", "api on n3 is in sync", "web on n"):
        run.wait_for("notice", message=begins(start))
    notices = [notice["message"] for notice in run.all("notice")]
    assert "proxy of the stack shop is not synced: the Compose file has no such service" in notices
    assert "web is synced without restarts: Swarm would replace its container" in notices
    machine = lab.machine_of("shop_web")
    shop.save("two")
    (shop.folder / "src/other").write_text("x")
    for worker in lab.machines[1:]:
        until(partial(lab.content, "shop_api", "/app/page", worker), "two".__eq__)
    until(lambda: lab.content("shop_web", "/app/other"), "x".__eq__)
    (shop.folder / "src/other").unlink()
    until(lambda: lab.content("shop_web", "/app/other"), "".__eq__)
    machine.cut()
    try:
        shop.save("three")
        until(lambda: lab.content("shop_web", "/app/page"), "three".__eq__, timeout=60)
        assert lab.machine_of("shop_web") is not machine
    finally:
        machine.mend()
    until(lambda: lab.content("shop_api", "/app/page", machine), "three".__eq__, timeout=60)
    assert run.stop() == 130
    listed = ("stack", "services", "--format={{.Name}} {{.Replicas}}", "shop")
    expected = ["shop_api 2/2", "shop_proxy 0/0", "shop_web 1/1"]
    until(lambda: sorted(lab.manager.docker(*listed).splitlines()), expected.__eq__)


def test_a_node_that_cannot_be_reached(shop: Shop, watching: StartDevenv) -> None:
    """The others are synced; the problem names the option that helps."""
    run = watching("--node", "n3=nowhere", "api")
    problem = run.wait_for("problem")
    assert problem["message"].startswith("node n3: ")
    assert "Could not resolve hostname nowhere" in problem["message"]
    assert problem["hint"].startswith("add --node n3=HOST")
    shop.save("four")
    until(lambda: shop.lab.content("shop_api", "/app/page", shop.lab.machines[1]), "four".__eq__)
    assert run.stop() == 130


@pytest.mark.parametrize(
    ("options", "code", "message", "hint"),
    [
        ({"on": "n2"}, 4, "the engine at ssh://n2 is not a manager of a swarm", "add --on 10."),
        ({"stack": "shp"}, 2, "there is no stack `shp`", "Did you mean `shop`?"),
    ],
)
def test_errors(watching: StartDevenv, options: dict[str, str], code: int, message: str, hint: str) -> None:
    """What is wrong, and what to type."""
    run = watching(**options)
    assert run.wait() == code
    (error,) = run.all("error")
    assert message in error["message"]
    assert error["hint"].startswith(hint)
