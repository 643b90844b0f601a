"""The answers of the engine about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from devenv.doctor import quick_check


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
