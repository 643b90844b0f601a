"""Objects that look like devenv's own but are not: a run, its failure and its cleanup do not affect them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from devenv.model.containers import HASH_LABEL, NUMBER_LABEL, OLD_LABEL, OWNER_LABEL, SERVICE_LABEL
from support import docker_cli
from support.cli import StartDevenv
from support.docker_cli import BASE_IMAGE, PROJECT_LABEL, docker
from support.phases import DATA
from support.stack import Stack, idle_service, unique_name
from support.upper import Up

pytestmark = pytest.mark.engine

NETWORKS = 5  # an engine has addresses for about thirty networks, of all its projects
REMOVE = {"volume": ["volume", "rm", "-f"], "network": ["network", "rm"], "container": ["rm", "-fv"]}


class Decoys:
    """Creates the objects, reports which are missing, and removes them at the end."""

    def __init__(self, project: str, stack: ExitStack) -> None:
        self.project = project
        self._stack = stack
        self._made: set[tuple[str, str]] = set()

    def make(self, count: int, owner: str = "") -> None:
        """Create so many volumes and containers, and a few networks, with forged labels; others have none of ours.

        With `owner` they have all labels of our containers, but the service is not one of the project.
        """
        other = unique_name("decoy")
        forged = {OLD_LABEL: self.project, PROJECT_LABEL: self.project, "com.docker.compose.volume": "data"}
        whole = {OWNER_LABEL: owner, PROJECT_LABEL: self.project, SERVICE_LABEL: "decoy"}
        whole |= {NUMBER_LABEL: "1", HASH_LABEL: "0" * 64, "com.docker.compose.oneoff": "False"}
        for number in range(count):
            self.one("volume", f"{other}-{number}", forged)
            self.one("container", f"{other}-{number}", {OLD_LABEL: self.project, PROJECT_LABEL: other})
            if owner:
                self.one("container", f"{other}-{number}-whole", whole)
            if owner and number < NETWORKS:
                self.one("network", f"{other}-{number}-whole", {OWNER_LABEL: owner, PROJECT_LABEL: self.project})
        self.one("network", f"{other}-network", {PROJECT_LABEL: self.project})
        self.one("container", f"{other}-plain", {PROJECT_LABEL: self.project})

    def one(self, kind: str, name: str, labels: Mapping[str, str] = MappingProxyType({})) -> None:
        """Create one object with these labels."""
        flags = [f"--label={key}={value}" for key, value in labels.items()]
        if kind == "container":
            docker("create", "--name", name, *flags, BASE_IMAGE, "true")
        else:
            docker(kind, "create", *flags, name)
        self._made.add((kind, name))
        self._stack.callback(docker_cli.succeeds, *REMOVE[kind], name)

    def copy(self, container: str) -> None:
        """Create a container from an image that `docker commit` made of the container, with all its labels."""
        name = unique_name("copy")
        docker("commit", container, name)
        self._stack.callback(docker_cli.succeeds, "rmi", "-f", name)
        docker("create", "--name", name, "--volume", "/mine", name, "true")
        self._made.add(("container", name))
        self._stack.callback(docker_cli.succeeds, "rm", "-f", "-v", name)

    def missing(self) -> set[tuple[str, str]]:
        """Kind and name of the objects that are missing."""
        return self._made - {(kind, name) for (kind, _), (name, _) in docker_cli.Inventory.now().objects.items()}


@contextmanager
def decoys(project: str) -> Iterator[Decoys]:
    """Creates decoys of this project; they are removed after the block."""
    with ExitStack() as stack:
        yield Decoys(project, stack)


@pytest.mark.parametrize(("count", "rounds"), [(2, 2), pytest.param(50, 20, marks=pytest.mark.long)])
def test_objects_with_forged_labels_survive(
    stack: Stack, up: Up, devenv: StartDevenv, state_env: dict[str, str], count: int, rounds: int
) -> None:
    """Objects with forged labels, from before and during a run, survive a signal, a kill and `down`.

    A volume and a network with the names of ours are used as they are, and also survive.
    """
    stack.compose_file(
        {"db": idle_service(**DATA), "web": idle_service(volumes=["taken:/taken"], networks=["default", "extra"])},
        volumes={"data": {}, "taken": {}},
        networks={"extra": {}},
    )
    with decoys(stack.name) as made:
        made.one("volume", f"{stack.name}_taken")
        made.one("network", f"{stack.name}_extra")
        docker("run", "--rm", "-v", f"{stack.name}_taken:/v", BASE_IMAGE, "sh", "-c", "echo mine >/v/marker")
        made.make(count)
        for number in range(rounds):
            run = up.ready(stack)
            if number == 0:
                made.make(count, Path(state_env["XDG_STATE_HOME"], "devenv-compose", "owner").read_text())
            if number == rounds - 1:
                made.copy(stack.container("db"))
            assert stack.read("web", "/taken/marker") == "mine\n"
            if number % 2:
                os.killpg(run.process.pid, signal.SIGKILL)
                docker_cli.until(run.survivors, lambda left: not left)
            else:
                assert run.stop() == 130, run.report()
                assert run.wait_for("stopped")["removed"] == {"container": 2, "network": 1, "volume": 1}
            assert made.missing() == set()
            assert len(docker_cli.containers(stack.name, "db")) == (number == rounds - 1), "the copy alone"
            assert f"{stack.name}_data" not in docker_cli.volumes(stack.name)
        assert devenv("down", cwd=stack.folder, env=stack.env).wait() == 0
        assert made.missing() == set()


def test_network_used_by_others_is_kept_and_reported(stack: Stack, up: Up, devenv: StartDevenv) -> None:
    """The network is reported with its user and a command, and by the exit code; once unused, `down` removes it."""
    stack.compose_file({"db": idle_service()})
    network = f"{stack.name}_default"
    guest = unique_name("guest")
    assert up(stack, "-d").wait() == 0
    docker("run", "-d", "--init", "--name", guest, "--network", network, BASE_IMAGE, "sleep", "600")
    try:
        down = devenv("down", cwd=stack.folder, env=stack.env)
        assert down.wait() == 1, down.report()
        assert down.wait_for("stopped")["survivors"] == [f"network {network}"]
        (problem,) = down.all("problem")
        assert problem["message"] == f"network {network} is left: {guest} uses it"
        assert problem["hint"] == f"docker network disconnect -f {network} {guest}; docker network rm {network}"
        assert docker_cli.inspect(guest)["State"]["Running"]
    finally:
        docker("rm", "-f", guest)
    assert devenv("down", cwd=stack.folder, env=stack.env).wait() == 0
    assert stack.leftovers() == {}


def test_foreign_container_with_our_name_is_not_replaced(stack: Stack, up: Up) -> None:
    """`up` reports the container and fails, and removes everything else."""
    stack.compose_file({"db": idle_service(**DATA)}, volumes={"data": {}})
    with decoys(stack.name) as made:
        made.one("container", f"{stack.name}-db-1")
        run = up(stack)
        assert run.wait() == 4, run.report()
        assert run.all("error")[0]["hint"].startswith("Remove or rename that container (docker rename ")
        assert made.missing() == set()
    assert stack.leftovers() == {}
