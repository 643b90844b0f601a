"""Three machines that form a swarm: n1 is the manager, n2 and n3 run the tasks. Needs root and Linux."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from support.docker_cli import DockerError, docker
from support.dockerd import Dockerd
from support.far import Far
from support.sshd import Ssh

PORT = 2377


class Switch:
    """Connects machines with each other, and with this one.

    It is in a network of its own: on a bridge of this machine, the firewall of its engine would drop what passes.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        stack.callback(self._holder.wait)
        stack.callback(self._holder.kill)
        while os.readlink(f"/proc/{self._holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            pass
        self._last = 0
        self._net = f"10.214.{os.getpid() % 250}"
        self._inside("ip", "link", "add", "switch", "type", "bridge")
        self._inside("ip", "link", "set", "switch", "up")
        here = f"dvsw{os.getpid() % 100000}"
        self._plug("here", ["name", here])
        stack.callback(subprocess.run, ["ip", "link", "del", here], capture_output=True, check=False)
        for command in (["addr", "add", f"{self._net}.254/24", "dev", here], ["link", "set", here, "up"]):
            subprocess.run(["ip", *command], check=True)

    def _inside(self, *command: str) -> None:
        subprocess.run(["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--", *command], check=True)

    def _plug(self, name: str, other: Sequence[str]) -> None:
        """Add a plug to the switch, and a cable to another end."""
        end = ["name", name, "netns", str(self._holder.pid)]
        subprocess.run(["ip", "link", "add", *end, "type", "veth", "peer", *other], check=True)
        self._inside("ip", "link", "set", "dev", name, "master", "switch", "up")

    def cable(self, pid: str, _: ExitStack) -> str:
        """Connect the network of a process; return the next address."""
        self._last += 1
        self._plug(f"plug{self._last}", ["name", "eth0", "netns", pid])
        return f"{self._net}.{self._last}"


class Lab:
    """The machines by number, from 0."""

    def __init__(self, machines: Sequence[Far], ssh: Ssh) -> None:
        self.machines = machines
        self.ssh = ssh

    @property
    def manager(self) -> Far:
        """The machine that manages the swarm, and runs no task of a test."""
        return self.machines[0]

    def machine_of(self, service: str) -> Far:
        """The machine that runs the one task of the service, as the manager knows it. Raises DockerError."""
        form, running = "--format={{.Node}} {{.CurrentState}}", "--filter=desired-state=running"
        line = self.manager.docker("service", "ps", form, running, service)
        if " Running " not in line:
            raise DockerError(line)
        return self.machines[int(line[1]) - 1]

    def content(self, service: str, path: str, machine: Far | None = None) -> str:
        """The text of a file in the container of the service on this machine; empty without the file.

        On the machine that runs the only task, if none is named.
        """
        with contextlib.suppress(DockerError):
            machine = machine or self.machine_of(service)
            label = f"--filter=label=com.docker.swarm.service.name={service}"
            return machine.docker("exec", machine.docker("ps", "-ql", label), "cat", path)
        return ""


@contextlib.contextmanager
def swarm(folder: Path, *images: str) -> Iterator[Lab]:
    """The swarm, with these images of the engine in use on its workers, removed after the block."""
    with ExitStack() as stack:
        switch, ssh = Switch(stack), stack.enter_context(Ssh.made())
        pool = stack.enter_context(ThreadPoolExecutor())
        engines = [Dockerd(folder / name, hostname=name) for name in ("n1", "n2", "n3")]
        stack.callback(lambda: list(pool.map(Dockerd.remove, engines)))
        list(pool.map(Dockerd.start, engines))
        stack.callback(lambda: list(pool.map(_leave, engines)))
        known = ("n1", "n2", "other")  # ssh does not know n3 by its hostname
        pairs = zip(engines, known, strict=True)
        machines = [Far(engine, ssh, stack, switch.cable, name) for engine, name in pairs]
        archive = ssh.folder / "images.tar"
        docker("save", "-o", str(archive), *images)
        loads = pool.map(lambda machine: machine.docker("load", "-qi", str(archive)), machines[1:])
        _join(machines)
        list(loads)
        yield Lab(machines, ssh)


def _leave(engine: Dockerd) -> None:
    with contextlib.suppress(DockerError):
        docker("-H", engine.host, "swarm", "leave", "--force")


def _join(machines: Sequence[Far]) -> None:
    def options(machine: Far) -> list[str]:
        at = f"{machine.address}:{PORT}"
        return [f"--advertise-addr={machine.address}", f"--listen-addr={at}", f"--data-path-addr={machine.address}"]

    first, *others = machines
    first.docker("swarm", "init", "--dispatcher-heartbeat=1s", *options(first))
    token = first.docker("swarm", "join-token", "-q", "worker")
    for machine in others:
        machine.docker("swarm", "join", "--token", token, *options(machine), f"{first.address}:{PORT}")
