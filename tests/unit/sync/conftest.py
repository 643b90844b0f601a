"""Fixtures of the tests of the sync."""

from __future__ import annotations

import pytest

from devenv.sync.container import shell


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits seconds for a shell that a busy engine has lost: most containers of these tests have none."""
    monkeypatch.setattr(shell, "PAUSES", (0.0, 0.01, 0.02))
