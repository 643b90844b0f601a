"""A Docker engine of a test's own, which may be stopped, and be another version. Needs root and Linux.

As a script it runs a command with such an engine and the images named: `dockerd.py FOLDER IMAGE,IMAGE COMMAND...`.
Its networks are in a network namespace, so that its firewall rules and bridges do not conflict with another engine's.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

START_SECONDS = 60


class Dockerd:
    """An engine with everything that it owns below `folder`.

    With `remapped`, root in its containers is that uid of the host. `env` is added to its environment, `options` to
    its command line. The folder `hidden` is empty for the engine, as for one on another machine. `hostname`: the
    name of its machine, if not that of this one.
    """

    def __init__(
        self,
        folder: Path,
        remapped: int | None = None,
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        hidden: Path | None = None,
        hostname: str = "",
    ) -> None:
        self.folder = folder
        self._hostname = hostname
        self._hidden = hidden
        self._remapped = remapped
        self._options = options
        self._env = {**os.environ, **(env or {})}
        self.host = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._network = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        while os.readlink(self.network) == os.readlink("/proc/self/ns/net"):
            time.sleep(0.01)  # in the host's namespace, it would remove the other engine's bridge

    @property
    def network(self) -> str:
        """The file of its network namespace, in which `lo` is up once the engine has started."""
        return f"/proc/{self._network.pid}/ns/net"

    def start(self) -> None:
        """Start the engine and wait until it answers."""
        argv = ["dockerd", f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec",
                f"--pidfile={self.folder}/dockerd.pid", f"--host={self.host}", "--group=root",
                *self._options]  # fmt: skip
        inside = ["nsenter", f"--net={self.network}"]
        setup = "ip link set lo up"
        if self._remapped is not None or self._hidden is not None:
            inside += ["unshare", "--mount", "--propagation=private"]
        if self._hostname:
            inside += ["unshare", "--uts"]
            setup += f"; echo {self._hostname} >/proc/sys/kernel/hostname"
        if self._remapped is not None:
            argv.append("--userns-remap=dvtremap")
            setup += self._accounts(self._remapped)
        if self._hidden is not None:
            setup += f"; mount -t tmpfs none {shlex.quote(str(self._hidden))}"
        inside += ["sh", "-c", f'{setup}; exec "$@"', "sh"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*inside, *argv], stdout=log, stderr=log, start_new_session=True, env=self._env
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.2)

    def _accounts(self, first: int) -> str:
        """Shell commands that give this engine alone a user with subordinate ids."""
        added = {
            "passwd": "dvtremap:x:64999:64999::/:/usr/sbin/nologin\n",
            "group": "dvtremap:x:64999:\n",
            "subuid": f"dvtremap:{first}:65536\n",
            "subgid": f"dvtremap:{first}:65536\n",
        }
        orders = ""
        for name, line in added.items():
            own = self.folder / name
            own.write_text(Path("/etc", name).read_text(encoding="utf-8") + line, encoding="utf-8")
            orders += f"; mount --bind {shlex.quote(str(own))} /etc/{name}"
        return orders

    def answers(self) -> bool:
        """Whether the engine answers."""
        return (
            subprocess.run(["docker", "-H", self.host, "version"], capture_output=True, check=False).returncode == 0
        )

    def end(self, sign: int = signal.SIGTERM) -> None:
        """End the engine; after SIGKILL its containers end at its next start only."""
        if self._process is not None:
            self._process.send_signal(sign)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        """Remove everything of the engine: processes, mounts, files."""
        if self._process is not None:
            listed = subprocess.run(
                ["docker", "-H", self.host, "ps", "-aq"], capture_output=True, text=True, check=False
            )
            subprocess.run(
                ["docker", "-H", self.host, "rm", "-f", *listed.stdout.split()], capture_output=True, check=False
            )
        self.end()
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "exec/containerd/containerd.pid").read_text())
            if str(self.folder) in Path(f"/proc/{pid}/cmdline").read_text():  # a pid may have been used again
                os.kill(pid, signal.SIGTERM)
        self._network.kill()
        self._network.wait()
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def dockerd(
    folder: Path,
    remapped: int | None = None,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    hidden: Path | None = None,
    hostname: str = "",
) -> Iterator[Dockerd]:
    """A running engine, removed after the block."""
    engine = Dockerd(folder, remapped, env, options, hidden, hostname)
    try:
        engine.start()
        yield engine
    finally:
        engine.remove()


def main(folder: str, images: str, *command: str) -> int:
    """Run the command on a new engine, with these images of the one in use; return the exit code."""
    with dockerd(Path(folder)) as engine:
        with subprocess.Popen(["docker", "save", *images.split(",")], stdout=subprocess.PIPE) as saved:
            subprocess.run(
                ["docker", "-H", engine.host, "load", "-q"], stdin=saved.stdout, stdout=sys.stderr, check=True
            )
        return subprocess.run(command, env={**os.environ, "DOCKER_HOST": engine.host}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
