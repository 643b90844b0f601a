"""Through a proxy before the engine: everything is labelled and recorded before it is created."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devenv.model.containers import OWNER_LABEL, PROJECT_LABEL
from support.cli import MARKER, StartDevenv, processes_with
from support.docker_cli import engine_socket
from support.phases import DATA
from support.proxy import Call, Proxy
from support.stack import Stack, idle_service

pytestmark = pytest.mark.engine

CREATE = re.compile(r"/(containers|networks|volumes)/create$")
DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass(frozen=True)
class Create:
    """A create request, and the state at that moment."""

    kind: str
    body: dict[str, Any]
    name: str
    ledger: dict[str, Any] | None
    guardians: tuple[int, ...]  # guardians that are ready


class Watchful(Proxy):
    """Records the state before each create request."""

    def __init__(self, state: Path) -> None:
        super().__init__(engine=engine_socket())
        self.creates: list[Create] = []
        self.marker = ""
        self._state = state
        self.chaos(100, ("500",), only=self._look)

    def _look(self, call: Call) -> bool:
        """Record the state; never fail the call."""
        if match := CREATE.search(call.path):
            body = json.loads(call.body)
            name = call.query.get("name", [body.get("Name", "")])[0]
            self.creates.append(Create(match[1], body, name, self._ledger(), tuple(self._guardians())))
        return False

    def _ledger(self) -> dict[str, Any] | None:
        ledgers = [json.loads(path.read_text()) for path in self._state.glob("devenv-compose/runs/*/ledger.json")]
        return ledgers[0] if ledgers else None

    def _guardians(self) -> Iterator[int]:
        for pid, command in processes_with(f"{MARKER}={self.marker}").items():
            if "devenv.run.cleanup.guardian" not in command:
                continue
            status = Path(f"/proc/{pid}/status").read_text()
            ignored = int(re.findall(r"^SigIgn:\t(\w+)$", status, re.MULTILINE)[0], 16)
            if all(ignored >> sign - 1 & 1 for sign in DEAF_TO):
                yield pid


def test_objects_are_labelled_and_recorded_before_their_creation(
    stack: Stack, devenv: StartDevenv, state_env: dict[str, str]
) -> None:
    """Each container and network is created with our label, each volume is in the ledger before.

    By then a guardian is ready: it ignores signals, and has its own session and the root as working directory. A
    second run, which restores the first run's volume, does the same.
    """
    stack.compose_file(
        {
            "db": idle_service(**DATA),
            "web": idle_service(networks=["default", "extra"], volumes=["/cache"], scale=2, depends_on=["db"]),
            "once": idle_service(command=["true"], depends_on=["db"]),
        },
        volumes={"data": {}},
        networks={"extra": {}},
    )
    with Watchful(Path(state_env["XDG_STATE_HOME"])) as proxy:
        for _ in range(2):
            earlier = len(proxy.creates)
            run = devenv("up", cwd=stack.folder, env={**stack.env, "DOCKER_HOST": proxy.host})
            proxy.marker = run.marker
            run.wait_for("ready")
            for pid in {pid for create in proxy.creates[earlier:] for pid in create.guardians}:
                if Path(f"/proc/{pid}").exists():
                    assert os.getsid(pid) == pid
                    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
                    assert len(list(Path(f"/proc/{pid}/fd").iterdir())) == 4  # with its pipe to the run
            assert run.stop() == 130, run.report()
    assert len([create for create in proxy.creates if create.kind == "containers"]) >= 8 + 2
    assert {create.name for create in proxy.creates if create.kind == "networks"} == {
        f"{stack.name}_default",
        f"{stack.name}_extra",
    }
    owner = Path(state_env["XDG_STATE_HOME"], "devenv-compose", "owner").read_text()
    for create in proxy.creates:
        assert create.ledger is not None, create
        assert len(create.guardians) == 1, create
        if create.kind == "volumes":
            assert create.name in [volume["name"] for volume in create.ledger["volumes"]]
        assert create.body["Labels"][OWNER_LABEL] == owner, create
        assert create.body["Labels"][PROJECT_LABEL] == stack.name, create
    assert stack.leftovers() == {}
