"""Another machine: an engine and an sshd in a network of their own, behind a cable that can be cut.

Needs root and Linux. The machine shares the files of this one, but not /run: its engine is at /var/run/docker.sock
there. `ssh far` reaches it with the environment of `env`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from support.docker_cli import docker, until
from support.dockerd import Dockerd, dockerd

NAME = "far"
LISTEN = "0A"


class Far:
    """A machine that ssh calls `far`. Its folder has to have a short path: there are sockets below it."""

    def __init__(self, engine: Dockerd, folder: Path, stack: ExitStack) -> None:
        self.engine = engine
        self._folder = folder
        self._stack = stack
        self._log = folder / "sshd.log"
        self._cable = f"dvfar{os.getpid() % 100000}"
        third = os.getpid() % 250
        self._address, here = f"10.213.{third}.2", f"10.213.{third}.1"
        for command in (
            ["ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self._pid],
            ["ip", "addr", "add", f"{here}/24", "dev", self._cable],
            ["ip", "link", "set", self._cable, "up"],
            [*self._inside, "ip", "addr", "add", f"{self._address}/24", "dev", "eth0"],
            [*self._inside, "ip", "link", "set", "eth0", "up"],
        ):
            subprocess.run(command, check=True)
        stack.callback(subprocess.run, ["ip", "link", "del", self._cable], capture_output=True, check=False)
        self._write_settings()
        self._start_sshd()

    @property
    def _pid(self) -> str:
        return self.engine.network.split("/")[2]

    @property
    def _inside(self) -> list[str]:
        return ["nsenter", f"--net={self.engine.network}", "--"]

    def _write_settings(self) -> None:
        folder = self._folder
        for key in ("host", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        (folder / "config").write_text(
            f"Host {NAME}\n HostName {self._address}\n User root\n IdentityFile {folder}/id\n IdentitiesOnly yes\n"
            f" StrictHostKeyChecking accept-new\n UserKnownHostsFile {folder}/known_hosts\n LogLevel ERROR\n"
        )
        (folder / "sshd_config").write_text(
            f"ListenAddress {self._address}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/id.pub\n"
            f"StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n"
        )
        (folder / "bin").mkdir()
        ssh = folder / "bin/ssh"
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
        ssh.chmod(0o755)

    def _start_sshd(self) -> None:
        own_run = (
            "mount -t tmpfs none /run; mkdir -p /run/sshd /run/lock; touch /run/docker.sock;"
            ' mount --bind "$1" /run/docker.sock; shift; exec "$@"'
        )
        words = ["unshare", "--mount", "--propagation=private", "sh", "-c", own_run, "sh"]
        socket = self.engine.host.removeprefix("unix://")
        sshd = [str(shutil.which("sshd", path="/usr/sbin:/sbin")), "-D", "-e", "-f", f"{self._folder}/sshd_config"]
        log = self._stack.enter_context(self._log.open("ab"))
        process = subprocess.Popen([*self._inside, *words, socket, *sshd], stdout=log, stderr=log)
        self._stack.callback(process.wait, 30)
        self._stack.callback(process.terminate)
        until(lambda: "Server listening" in self._log.read_text())

    @property
    def env(self) -> Mapping[str, str]:
        """The environment in which `ssh far` reaches the machine; sockets of lines are in a folder of its own."""
        (self._folder / "run").mkdir(exist_ok=True)
        path = f"{self._folder}/bin:{os.environ['PATH']}"
        return {"PATH": path, "XDG_RUNTIME_DIR": str(self._folder / "run"), "DOCKER_HOST": "", "DOCKER_CONTEXT": ""}

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
        """The pids of the ssh processes that hold lines to it."""
        mark = f"{self._folder}/config"
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_text(errors="replace").split("\0")
                if words[0].endswith("ssh") and mark in words and "-M" in words:
                    found.append(int(path.parent.name))
        return found

    def remains(self) -> dict[str, object]:
        """What is left of runs, on both machines."""
        networks = set(self.docker("network", "ls", "--format={{.Name}}").split()) - {"bridge", "host", "none"}
        return {
            "containers": self.docker("ps", "-aq").split(),
            "networks": networks,
            "volumes": self.docker("volume", "ls", "-q").split(),
            "listeners": self.listeners(),
            "ssh": self.masters(),
            "folders": list((self._folder / "run").glob("*")),
        }


NOTHING: dict[str, object] = {
    "containers": [], "networks": set(), "volumes": [], "listeners": set(), "ssh": [], "folders": [],
}  # fmt: skip


def is_possible() -> bool:
    """Whether this system has the programs."""
    return bool(shutil.which("ip") and shutil.which("ssh") and shutil.which("sshd", path="/usr/sbin:/sbin"))


@contextlib.contextmanager
def far(folder: Path, *images: str) -> Iterator[Far]:
    """The machine, with these images of the engine in use, removed after the block."""
    with ExitStack() as stack:
        engine = stack.enter_context(dockerd(folder))
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
            loaded = ["docker", "-H", engine.host, "load", "-q"]
            subprocess.run(loaded, stdin=saved.stdout, stdout=subprocess.DEVNULL, check=True)
        short = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dvfar", dir="/tmp")))
        yield Far(engine, short, stack)
