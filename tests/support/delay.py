"""A connection with a delay, as ProxyCommand of ssh: `delay.py HOST PORT MILLISECONDS`, in each direction."""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable


def pump(
    read: Callable[[], bytes], write: Callable[[bytes], object], end: Callable[[], object], delay: float
) -> None:
    """Pass on what is read, each piece after the delay in seconds; `end` is called at the end of the input."""
    pieces: queue.Queue[tuple[float, bytes]] = queue.Queue()

    def pass_on() -> None:
        data = b"begin"
        while data:
            at, data = pieces.get()
            time.sleep(max(at - time.monotonic(), 0.0))
            if data:
                write(data)
        end()

    threading.Thread(target=pass_on, daemon=True).start()
    data = b"begin"
    while data:
        data = read()
        pieces.put((time.monotonic() + delay, data))


def main(host: str, port: str, milliseconds: str) -> None:
    """Connect, and pass on both directions until the other side has ended."""
    delay = float(milliseconds) / 1000
    with socket.create_connection((host, int(port))) as far, os.fdopen(1, "wb", buffering=0) as out:
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = (lambda: os.read(0, 1 << 16)), far.sendall, (lambda: far.shutdown(socket.SHUT_WR)), delay
        threading.Thread(target=pump, args=up, daemon=True).start()
        is_over = threading.Event()
        pump(lambda: far.recv(1 << 16), out.write, is_over.set, delay)
        is_over.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
