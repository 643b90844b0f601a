"""An engine that does not have the files of this machine, behind a forwarded socket. Needs root and Linux.

As a script it runs end-to-end tests with such an engine: `elsewhere.py IMAGE,IMAGE TESTS...`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from support.dockerd import dockerd


@contextlib.contextmanager
def forwarded(target: str, path: Path) -> Iterator[str]:
    """The address of a socket that passes the bytes of each connection on to the socket `target`."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(100)
        accepting = threading.Thread(target=_accept, args=(listener, target), daemon=True)
        accepting.start()
        yield f"unix://{path}"
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()


def _accept(listener: socket.socket, target: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, target), daemon=True).start()


def _serve(client: socket.socket, target: str) -> None:
    with client, socket.socket(socket.AF_UNIX) as engine:
        engine.connect(target)
        answers = threading.Thread(target=_pump, args=(engine, client), daemon=True)
        answers.start()
        _pump(client, engine)
        answers.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def elsewhere(folder: Path, hidden: Path, images: str) -> Iterator[str]:
    """The address of an engine in `folder` with these images, to which the folder `hidden` is empty."""
    with dockerd(folder / "engine", hidden=hidden) as engine:
        with subprocess.Popen(["docker", "save", *images.split(",")], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "-H", engine.host, "load", "-q"], stdin=saved.stdout, check=True)
        with forwarded(engine.host.removeprefix("unix://"), folder / "docker.sock") as address:
            yield address


def main(images: str, *tests: str) -> int:
    """Run the tests, whose projects the engine does not see; return the exit code."""
    with contextlib.ExitStack() as stack:
        folder, hidden = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        address = stack.enter_context(elsewhere(folder, hidden, images))
        argv = [sys.executable, "-m", "pytest", f"--basetemp={hidden}/tests", *tests]
        return subprocess.run(argv, env={**os.environ, "DOCKER_HOST": address}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
