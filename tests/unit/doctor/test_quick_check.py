"""The answers of the engine about itself, and warnings about the machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from devenv.doctor import quick_check
from devenv.events import Event, Notice
from devenv.host import limits
from devenv.model.answers import Finding


@pytest.mark.parametrize(
    ("info", "version", "kind"),
    [
        ({"OperatingSystem": "Docker Desktop"}, {}, "desktop"),
        ({"OperatingSystem": "OrbStack"}, {}, "orbstack"),
        ({"Name": "colima-work"}, {}, "colima"),
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, {}, "rootless"),
        ({}, {"Components": [{"Name": "Podman Engine"}]}, "podman"),
        ({"OperatingSystem": "Debian GNU/Linux 13", "Name": "host"}, {"Components": None}, ""),
    ],
)
def test_kinds_of_engines(info: Mapping[str, Any], version: Mapping[str, Any], kind: str) -> None:
    """They are known by what they say of themselves."""
    assert quick_check._kind(info, version) == kind


@pytest.mark.anyio
async def test_warnings_are_reported_even_if_the_run_fails_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may name the cause of the failure."""

    def slow(_root: str) -> Mapping[str, Any]:
        time.sleep(0.05)
        return {}

    monkeypatch.setattr(limits, "machine", slow)
    monkeypatch.setattr(
        quick_check, "diagnose", lambda _: [Finding("disk-full", "warning", "disk", "full", "empty it")]
    )
    engine: Any = SimpleNamespace(endpoint=SimpleNamespace(has_files=False))
    events: list[Event] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(quick_check.warn, engine, events.append)
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert events == [Notice("full", "empty it")]
