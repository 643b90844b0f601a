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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from support.docker_cli import docker, until
from support.dockerd import Dockerd, dockerd
from support.sshd import Ssh, Sshd

NAME = "far"
LISTEN = "0A"


class Far:
    """A machine that ssh reaches by its name. `cable` connects the network of a process; it returns the address."""

    def __init__(
        self,
        engine: Dockerd,
        ssh: Ssh,
        stack: ExitStack,
        cable: Callable[[str, ExitStack], str],
        name: str = NAME,
        *,
        uid: int = 0,
        jump: str = "",
    ) -> None:
        self.engine = engine
        self.name = name
        self._ssh = ssh
        self._login = {"user": "dev" if uid else "root", "jump": jump}
        self._plug(cable(self.pid, stack))
        self.sshd = Sshd(ssh, name, self.pid, stack, self._machine(uid))

    @property
    def pid(self) -> str:
        """The pid of a process in its network."""
        return self.engine.network.split("/")[2]

    @property
    def _inside(self) -> list[str]:
        return ["nsenter", f"--net={self.engine.network}", "--"]

    def _plug(self, address: str) -> None:
        """Give the machine this address, and no other."""
        commands = f"ip addr flush dev eth0; ip addr add {address}/24 dev eth0; ip link set eth0 up"
        subprocess.run([*self._inside, "sh", "-ec", commands], check=True)
        self._ssh.add(self.name, address, **self._login)
        self.address = address

    def _machine(self, uid: int) -> list[str]:
        """The prefix of a command that has its own /run, with the engine's socket; that of a user if it has a uid."""
        socket, place, passwd = self.engine.host.removeprefix("unix://"), "/run/docker.sock", "/etc/passwd"
        if uid:
            place, passwd = f"/run/user/{uid}/docker.sock", f"{self._ssh.folder}/passwd"
            user = f"dev:x:{uid}:{uid}::/:/bin/sh\n"
            Path(passwd).write_text(Path("/etc/passwd").read_text(encoding="utf-8") + user, encoding="utf-8")
            os.chown(socket, uid, uid)
        setup = (
            'mount -t tmpfs none /run; mkdir -p /run/sshd /run/lock "$(dirname "$2")"; touch "$2";'
            ' mount --bind "$1" "$2"; mount --bind "$3" /etc/passwd; shift 3; exec "$@"'
        )
        return ["unshare", "--mount", "--propagation=private", "sh", "-ec", setup, "sh", socket, place, passwd]

    def move(self) -> None:
        """Give the machine another address in its network, to which its name leads from now on."""
        first, _, last = self.address.rpartition(".")
        self._plug(f"{first}.{int(last) + 1}")

    @property
    def env(self) -> Mapping[str, str]:
        """The environment in which `ssh NAME` reaches the machine."""
        return self._ssh.env

    def docker(self, *args: str) -> str:
        """The output of a docker command on its engine, which does not go through the cable."""
        return docker("-H", self.engine.host, *args)

    def logins(self) -> int:
        """The number of logins until now."""
        return self.sshd.logins()

    def cut(self) -> None:
        """Cut the cable."""
        subprocess.run([*self._inside, "ip", "link", "set", "eth0", "down"], check=True)

    def mend(self) -> None:
        """Mend the cable."""
        subprocess.run([*self._inside, "ip", "link", "set", "eth0", "up"], check=True)

    def listeners(self) -> set[str]:
        """The addresses and ports, in hexadecimal, on which a program listens there, without those of its sshd."""
        tables = "".join(Path(f"/proc/{self.pid}/net/{table}").read_text() for table in ("tcp", "tcp6"))
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
    name, third = f"dvfar{os.getpid() % 100000}", os.getpid() % 250
    commands = (
        f"ip link add {name} type veth peer name eth0 netns {pid}; ip addr add 10.213.{third}.1/24 dev {name};"
        f" ip link set {name} up"
    )
    subprocess.run(["sh", "-ec", commands], check=True)
    stack.callback(subprocess.run, ["ip", "link", "del", name], capture_output=True, check=False)
    return f"10.213.{third}.2"


def _jump(ssh: Ssh, stack: ExitStack) -> Callable[[str, ExitStack], str]:
    """Start a machine `jump` with an sshd; return the cable to a machine that is reached only from there."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    stack.callback(holder.wait)
    stack.callback(holder.kill)
    pid, here = str(holder.pid), ["nsenter", f"--net=/proc/{holder.pid}/ns/net", "--", "sh", "-ec"]
    until(lambda: os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"))
    address = _cable(pid, stack)
    commands = f"ip link set lo up; ip addr add {address}/24 dev eth0; ip link set eth0 up"
    subprocess.run([*here, commands], check=True)
    ssh.add("jump", address)
    setup = 'mount -t tmpfs none /run; mkdir /run/sshd; exec "$@"'
    Sshd(ssh, "jump", pid, stack, ["unshare", "--mount", "--propagation=private", "sh", "-ec", setup, "sh"])

    def cable(pid_behind: str, _: ExitStack) -> str:
        commands = (
            f"ip link add behind type veth peer name eth0 netns {pid_behind}; ip addr add 10.213.254.1/24 dev behind;"
            " ip link set behind up"
        )
        subprocess.run([*here, commands], check=True)
        return "10.213.254.2"

    return cable


@contextlib.contextmanager
def far(folder: Path, *images: str, uid: int = 0, is_behind: bool = False) -> Iterator[Far]:
    """The machine, with these images of the engine in use, removed after the block.

    With a `uid`, ssh logs in as this user, who alone may use the engine, as if it were rootless. `is_behind`: it is
    reached only by a jump host, `jump`.
    """
    with ExitStack() as stack:
        engine = stack.enter_context(dockerd(folder))
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
            loaded = ["docker", "-H", engine.host, "load", "-q"]
            subprocess.run(loaded, stdin=saved.stdout, stdout=subprocess.DEVNULL, check=True)
        ssh = stack.enter_context(Ssh.made())
        cable = _jump(ssh, stack) if is_behind else _cable
        yield Far(engine, ssh, stack, cable, uid=uid, jump="jump" if is_behind else "")
