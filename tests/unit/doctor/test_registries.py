"""What registries and mirrors answer."""

from __future__ import annotations

import socket

import pytest

from devenv.doctor import registries


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answers", "at_site", "dead"), [(False, True, True), (True, True, False), (False, False, False)]
)
async def test_a_mirror_without_tls(
    monkeypatch: pytest.MonkeyPatch, *, answers: bool, at_site: bool, dead: bool
) -> None:
    """Only a connection is tried, from where the engine is; that one is taken says nothing of images."""

    def connect(address: tuple[str, int], _: float) -> socket.socket:
        if not answers:
            raise ConnectionRefusedError
        return socket.socket()

    monkeypatch.setattr("socket.create_connection", connect)
    whose = {"http://mirror.example:5000/": "the engine's"}
    found = await registries.asked_mirrors(None, whose, at_site=at_site)  # type: ignore[arg-type] # it is not asked
    assert [(name, fault and fault.cause) for name, _, fault in found] == (
        [("http://mirror.example:5000/", "connection refused")] if dead else []
    )
