"""Facts of the machine of an engine that is reached by ssh: round trip, disk, clock, and limits of its sshd."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import anyio
import anyio.to_thread

from devenv.docker.client import Engine
from devenv.doctor.facts import OtherMachine
from devenv.remote.line import Line

ROUNDS = 3
SESSIONS = re.compile(r"(?mi)^maxsessions (\d+)$")
FREE = re.compile(r"(?m)^\S+ +\d+ +\d+ +(\d+) +\d+% ")
COMMAND = 'df -Pk "{root}" 2>/dev/null; sshd -T 2>/dev/null || /usr/sbin/sshd -T 2>/dev/null'


async def other_machine(engine: Engine, opened: Line, root: str) -> OtherMachine:
    """What is known of the machine at the other end of the line, whose engine has its data in the folder `root`."""
    opened.begin_to_ask(command := COMMAND.format(root=re.sub(r'["$`\\]', "", root)))
    trips, ahead = [], 0.0
    for _ in range(ROUNDS):
        began = time.time()
        clock = await engine.clock()
        trips.append(time.time() - began)
        ahead = clock.timestamp() + 0.5 - began  # the engine sends whole seconds
    printed = await anyio.to_thread.run_sync(opened.ask, command, abandon_on_cancel=True)
    return OtherMachine(opened.remote.name, min(trips), ahead, **read(printed))


def read(printed: str) -> Mapping[str, int]:
    """The free bytes and the sessions for each login, as far as the output of `COMMAND` has them."""
    found = {"free": FREE.search(printed), "sessions": SESSIONS.search(printed)}
    scale = {"free": 1024, "sessions": 1}
    return {name: int(match[1]) * scale[name] for name, match in found.items() if match}


async def check(engine: Engine, opened: Line, root: str) -> dict[str, OtherMachine]:
    """The group of facts. Raises EngineError."""
    return {"other": await other_machine(engine, opened, root)}
