"""An ssh client with keys and settings of its own, and the sshd of a machine that is a network of its own.

Needs root and Linux. `ssh NAME` reaches the machines with the environment of `Ssh.env`.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from support.docker_cli import until

AWAY = "-away"  # the name of the same machine with a long round trip ends so
ROUND_TRIP = 60  # milliseconds


class Ssh:
    """Keys, and the settings with which `ssh NAME` reaches machines. The folder has to have a short path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o755)  # the sshd of another user reads the key
        for key in ("host", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        self.config = folder / "config"
        self._hosts: dict[str, str] = {}
        (folder / "bin").mkdir()
        ssh = folder / "bin/ssh"
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.config} "$@"\n')
        ssh.chmod(0o755)

    @classmethod
    @contextlib.contextmanager
    def made(cls) -> Iterator[Ssh]:
        """Keys and settings, removed after the block."""
        with tempfile.TemporaryDirectory(prefix="dvfar", dir="/tmp") as folder:
            yield cls(Path(folder))

    def add(self, name: str, address: str, *, user: str = "root", jump: str = "") -> None:
        """Let `ssh NAME` reach this address from now on, and `ssh NAME-away` with a long round trip."""
        delay = shlex.join([sys.executable, str(Path(__file__).with_name("delay.py"))])
        self._hosts[name] = (
            f"Host {name}{AWAY}\n ProxyCommand {delay} %h %p {ROUND_TRIP / 2}\n"
            f"Host {name} {name}{AWAY} {address}\n HostName {address}\n User {user}\n"
            f" IdentityFile {self.folder}/id\n IdentitiesOnly yes\n StrictHostKeyChecking accept-new\n"
            f" UserKnownHostsFile {self.folder}/known_hosts\n LogLevel ERROR\n"
            + (f" ProxyJump {jump}\n" if jump else "")
        )
        self.config.write_text("".join(self._hosts.values()))

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


class Sshd:
    """The sshd of the machine with the network of the process `pid`. `setup` precedes its command there."""

    def __init__(self, ssh: Ssh, name: str, pid: str, stack: ExitStack, setup: Sequence[str] = ()) -> None:
        self._network = f"/proc/{pid}/ns/net"
        self._log = ssh.folder / f"{name}.log"
        self._stack = stack
        settings = ssh.folder / f"{name}.sshd"
        settings.write_text(
            f"HostKey {ssh.folder}/host\nAuthorizedKeysFile {ssh.folder}/id.pub\n"
            f"StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n"
        )
        sshd = str(shutil.which("sshd", path="/usr/sbin:/sbin"))
        self._command = ["nsenter", f"--net={self._network}", "--", *setup, sshd, "-D", "-e", "-f", str(settings)]
        self._process: subprocess.Popen[bytes] | None = None
        stack.callback(self.stop)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self._log.open("ab") as log:
            before = self._begins()
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until(lambda: self._begins() > before)

    def _begins(self) -> int:
        return self._log.read_text().count("Server listening on 0.0.0.0")

    def stop(self) -> None:
        """End it with all its connections."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(30)
        self._process = None
        network = os.readlink(self._network)
        for path in Path("/proc").glob("[0-9]*/comm"):
            with contextlib.suppress(OSError):
                if path.read_text().startswith("sshd") and os.readlink(path.parent / "ns/net") == network:
                    os.kill(int(path.parent.name), signal.SIGKILL)

    def logins(self) -> int:
        """The number of logins until now."""
        return self._log.read_text().count("Accepted publickey")
