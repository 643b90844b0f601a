"""Another machine: an engine and an sshd in a network of their own, behind a cable that can be cut.

Needs root and Linux. The machine shares the files of this one, but not /run: its engine is at /var/run/docker.sock
there. `ssh far` reaches it with the environment of `env`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from support.docker_cli import docker, until
from support.dockerd import Dockerd, dockerd

NAME = "far"
AWAY = "-away"  # the name of the same machine with a long round trip ends so
ROUND_TRIP = 60  # milliseconds
LISTEN = "0A"


class Ssh:
    """Keys, and the settings with which `ssh NAME` reaches machines. The folder has to have a short path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for key in ("host", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        self.config = folder / "config"
        (folder / "bin").mkdir()
        ssh = folder / "bin/ssh"
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.config} "$@"\n')
        ssh.chmod(0o755)

    def add(self, name: str, address: str) -> None:
        """Let `ssh NAME` reach this address, and `ssh NAME-away` with a long round trip."""
        delay = shlex.join([sys.executable, str(Path(__file__).with_name("delay.py"))])
        with self.config.open("a") as config:
            config.write(
                f"Host {name}{AWAY}\n ProxyCommand {delay} %h %p {ROUND_TRIP / 2}\n"
                f"Host {name} {name}{AWAY} {address}\n HostName {address}\n User root\n"
                f" IdentityFile {self.folder}/id\n IdentitiesOnly yes\n StrictHostKeyChecking accept-new\n"
                f" UserKnownHostsFile {self.folder}/known_hosts\n LogLevel ERROR\n"
            )

    @property
    def env(self) -> Mapping[str, str]:
        """The environment with these settings; sockets of lines are in a folder of its own."""
        self.lines.mkdir(exist_ok=True)
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return {"PATH": path, "XDG_RUNTIME_DIR": str(self.lines), "DOCKER_HOST": "", "DOCKER_CONTEXT": ""}

    @property
    def lines(self) -> Path:
        """The folder that has the folders of lines."""
        return self.folder / "run"

    def masters(self) -> list[int]:
        """The pids of the ssh processes that hold lines."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_text(errors="replace").split("\0")
                if words[0].endswith("ssh") and str(self.config) in words and "-M" in words:
                    found.append(int(path.parent.name))
        return found


class Far:
    """A machine that ssh reaches by its name. `cable` connects the network of a process; it returns the address."""

    def __init__(
        self, engine: Dockerd, ssh: Ssh, stack: ExitStack, cable: Callable[[str, ExitStack], str], name: str = NAME
    ) -> None:
        self.engine = engine
        self._ssh = ssh
        self._stack = stack
        self._files = ssh.folder / name
        self._log = Path(f"{self._files}.log")
        self.address = cable(self._pid, stack)
        for command in (
            ["ip", "addr", "add", f"{self.address}/24", "dev", "eth0"],
            ["ip", "link", "set", "eth0", "up"],
        ):
            subprocess.run([*self._inside, *command], check=True)
        ssh.add(name, self.address)
        self._start_sshd()

    @property
    def _pid(self) -> str:
        return self.engine.network.split("/")[2]

    @property
    def _inside(self) -> list[str]:
        return ["nsenter", f"--net={self.engine.network}", "--"]

    def _start_sshd(self) -> None:
        settings = Path(f"{self._files}.sshd")
        settings.write_text(
            f"ListenAddress {self.address}\nHostKey {self._ssh.folder}/host\n"
            f"AuthorizedKeysFile {self._ssh.folder}/id.pub\n"
            f"StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n"
        )
        own_run = (
            "mount -t tmpfs none /run; mkdir -p /run/sshd /run/lock; touch /run/docker.sock;"
            ' mount --bind "$1" /run/docker.sock; shift; exec "$@"'
        )
        words = ["unshare", "--mount", "--propagation=private", "sh", "-c", own_run, "sh"]
        socket = self.engine.host.removeprefix("unix://")
        sshd = [str(shutil.which("sshd", path="/usr/sbin:/sbin")), "-D", "-e", "-f", str(settings)]
        log = self._stack.enter_context(self._log.open("ab"))
        process = subprocess.Popen([*self._inside, *words, socket, *sshd], stdout=log, stderr=log)
        self._stack.callback(process.wait, 30)
        self._stack.callback(process.terminate)
        until(lambda: "Server listening" in self._log.read_text())

    @property
    def env(self) -> Mapping[str, str]:
        """The environment in which `ssh NAME` reaches the machine."""
        return self._ssh.env

    def docker(self, *args: str) -> str:
        """The output of a docker command on its engine, which does not go through the cable."""
        return docker("-H", self.engine.host, *args)

    def logins(self) -> int:
        """The number of logins until now."""
        return self._log.read_text().count("Accepted publickey")

    def cut(self) -> None:
        """Cut the cable."""
        subprocess.run([*self._inside, "ip", "link", "set", "eth0", "down"], check=True)

    def mend(self) -> None:
        """Mend the cable."""
        subprocess.run([*self._inside, "ip", "link", "set", "eth0", "up"], check=True)

    def listeners(self) -> set[str]:
        """The addresses and ports, in hexadecimal, on which a program listens there, without those of its sshd."""
        tables = "".join(Path(f"/proc/{self._pid}/net/{table}").read_text() for table in ("tcp", "tcp6"))
        places = re.findall(rf"(?m)^ *\d+: ([0-9A-F]+:[0-9A-F]{{4}}) \S+ {LISTEN} ", tables)
        return {place for place in places if not place.endswith(":0016")}

    def masters(self) -> list[int]:
        """The pids of the ssh processes that hold lines."""
        return self._ssh.masters()

    def remains(self) -> dict[str, object]:
        """What is left of runs, on both machines."""
        networks = set(self.docker("network", "ls", "--format={{.Name}}").split()) - {"bridge", "host", "none"}
        return {
            "containers": self.docker("ps", "-aq").split(),
            "networks": networks,
            "volumes": self.docker("volume", "ls", "-q").split(),
            "listeners": self.listeners(),
            "ssh": self.masters(),
            "folders": list(self._ssh.lines.glob("*")),
        }


NOTHING: dict[str, object] = {
    "containers": [], "networks": set(), "volumes": [], "listeners": set(), "ssh": [], "folders": [],
}  # fmt: skip


def is_possible() -> bool:
    """Whether this system has the programs."""
    return bool(shutil.which("ip") and shutil.which("ssh") and shutil.which("sshd", path="/usr/sbin:/sbin"))


def _cable(pid: str, stack: ExitStack) -> str:
    """Connect the network of a process with that of this machine; return the address there."""
    cable, third = f"dvfar{os.getpid() % 100000}", os.getpid() % 250
    for command in (
        ["ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", pid],
        ["ip", "addr", "add", f"10.213.{third}.1/24", "dev", cable],
        ["ip", "link", "set", cable, "up"],
    ):
        subprocess.run(command, check=True)
    stack.callback(subprocess.run, ["ip", "link", "del", cable], capture_output=True, check=False)
    return f"10.213.{third}.2"


@contextlib.contextmanager
def far(folder: Path, *images: str) -> Iterator[Far]:
    """The machine, with these images of the engine in use, removed after the block."""
    with ExitStack() as stack:
        engine = stack.enter_context(dockerd(folder))
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
            loaded = ["docker", "-H", engine.host, "load", "-q"]
            subprocess.run(loaded, stdin=saved.stdout, stdout=subprocess.DEVNULL, check=True)
        short = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dvfar", dir="/tmp")))
        yield Far(engine, Ssh(short), stack, _cable)
