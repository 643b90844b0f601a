"""What roots are made from, and what they turn out to hold."""

from __future__ import annotations

import shutil

import pytest

from devenv.errors import EngineError
from devenv.images import roots

TARGETS = [
    "  file:/srv/local",
    "Debian trixie-updates http://mirror.test/debian/",
    "Debian trixie-security http://mirror.test/security/",
    "Other stable http://other.test/packages",
    "Debian trixie http://mirror.test/debian/",
    "Debian trixie http://second.test/debian/",
]


@pytest.mark.parametrize(
    ("suite", "targets", "expected"),
    [
        (
            "trixie",
            TARGETS,
            [
                "deb http://mirror.test/debian/ trixie main",
                "deb http://mirror.test/debian/ trixie-updates main",
                "deb http://mirror.test/security/ trixie-security main",
            ],
        ),
        ("sid", TARGETS, ["deb http://mirror.test/debian/ sid main"]),
        (
            "trixie",
            ["Debian bookworm https://mirror.test/debian/"],
            ["deb https://mirror.test/debian/ trixie main", "deb https://mirror.test/debian/ trixie-updates main"],
        ),
        ("trixie", ["Ubuntu noble http://mirror.test/ubuntu/"], []),
        ("trixie", ["Debian trixie file:/srv/mirror"], []),
        ("trixie", [], []),
    ],
)
def test_mirror_lines(suite: str, targets: list[str], expected: list[str]) -> None:
    """The host's own Debian archive is used, where it has one that containers reach too."""
    assert roots.mirror_lines(suite, targets) == expected


def test_versions() -> None:
    """Upstream versions, without epochs and revisions, also of packages whose entry is long."""
    status = (
        "Package: caddy\nStatus: install ok installed\nDepends: libc6,\n adduser\nVersion: 2.6.2-12+deb13u1\n\n"
        "Package: phpmyadmin\nVersion: 4:5.2.2-really+dfsg-1+deb13u1\nDescription: x\n Version: 9\n\n"
        "Package: mysql-server-core\nVersion: 9.7.4-2\n\n"
        "Package: base-files\nVersion: 13.8+deb13u3\n\nPackage: mariadb-server\nVersion: 1:11.8.9+ds-0+deb13u1\n"
    )
    assert roots.versions(status) == {
        "caddy": "2.6.2",
        "phpmyadmin": "5.2.2",
        "mysql-server-core": "9.7.4",
        "base-files": "13.8",
        "mariadb-server": "11.8.9",
    }


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Debian the error carries the command that installs what is missing; elsewhere it says where it works."""
    monkeypatch.setattr(shutil, "which", {"npm": "/usr/bin/npm", "apt-get": "/usr/bin/apt-get"}.get)
    roots.require_tools("npm")
    with pytest.raises(EngineError, match="made with mmdebstrap, not installed here") as on_debian:
        roots.require_tools("mmdebstrap", "npm")
    assert on_debian.value.hint == "apt-get install -y --no-install-recommends mmdebstrap"
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(EngineError, match="which this system does not have") as elsewhere:
        roots.require_tools("mmdebstrap", "npm")
    assert "Debian or Ubuntu" in str(elsewhere.value.hint)
