"""The package sources of stand-in roots, and the content of the roots."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from devenv.docker import process
from devenv.docker.process import Completed
from devenv.errors import EngineError
from devenv.images.standins import debian
from devenv.images.standins.recipes import Root

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
        ("trixie", ["Debian trixie https://me:secret@mirror.test/debian/"], []),
        ("trixie", [], []),
    ],
)
def test_mirror_lines(suite: str, targets: list[str], expected: list[str]) -> None:
    """The host's own Debian archive is used if containers reach it, too."""
    assert debian.mirror_lines(suite, targets) == expected


def test_versions() -> None:
    """Upstream versions, without epochs and revisions, also of packages whose entry is long."""
    status = (
        "Package: caddy\nStatus: install ok installed\nDepends: libc6,\n adduser\nVersion: 2.6.2-12+deb13u1\n\n"
        "Package: phpmyadmin\nVersion: 4:5.2.2-really+dfsg-1+deb13u1\nDescription: x\n Version: 9\n\n"
        "Package: mysql-server-core\nVersion: 9.7.4-2\n\n"
        "Package: base-files\nVersion: 13.8+deb13u3\n\nPackage: mariadb-server\nVersion: 1:11.8.9+ds-0+deb13u1\n"
    )
    assert debian.versions(status) == {
        "caddy": "2.6.2",
        "phpmyadmin": "5.2.2",
        "mysql-server-core": "9.7.4",
        "base-files": "13.8",
        "mariadb-server": "11.8.9",
    }


@dataclass
class Apt:
    """An apt that knows `addresses` and downloads `files`; each call is noted, without its options."""

    addresses: str = ""
    files: tuple[str, ...] = ()
    complaint: str = ""
    calls: list[list[str]] = field(default_factory=list)

    async def run(self, argv: Sequence[str]) -> Completed:
        """An ended apt-get."""
        self.calls.append([word for word in argv[1:] if not word.startswith("-")])
        if "indextargets" in argv:
            return Completed(0, self.addresses.encode(), b"")
        for word in argv:
            if word.startswith("-oDir::Cache::archives="):
                for name in self.files:
                    Path(word.partition("=")[2], name).touch()
        return Completed(100 if self.complaint else 0, b"", self.complaint.encode())


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch) -> Apt:
    made = Apt()
    monkeypatch.setattr(process, "run", made.run)
    monkeypatch.setattr(debian, "keyring", lambda: "/keys.gpg")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/tool")
    return made


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (
            "Debian trixie http://mirror.test/debian/",
            "deb [signed-by=/keys.gpg] http://mirror.test/debian/ bookworm main",
        ),
        ("Ubuntu noble http://mirror.test/ubuntu/", "deb [signed-by=/keys.gpg] http://as.made/ bookworm main"),
    ],
)
def test_lists_come_from_the_hosts_archive_or_the_roots(
    apt: Apt, tmp_path: Path, addresses: str, expected: str
) -> None:
    """Lists come from this host's archive, or else from the archive that the root was built from."""
    apt.addresses = addresses
    apt_folder = tmp_path / "apt_folder"
    anyio.run(
        debian.fetch_lists,
        "bookworm",
        "its status",
        "deb [signed-by=/old] http://as.made/ bookworm main",
        str(apt_folder),
    )
    assert (apt_folder / "etc/sources.list").read_text().splitlines()[0] == expected
    assert (apt_folder / "status").read_text() == "its status\n"
    assert f'Dir::State "{apt_folder}";' in (apt_folder / "apt.conf").read_text()
    assert apt.calls[-1][-1] == "update"


def test_fetch_downloads_what_the_root_lacks(apt: Apt, tmp_path: Path) -> None:
    """Versions of present and downloaded packages; nothing is downloaded if none is missing."""
    status = "Package: curl\nVersion: 8.1-2\n"
    apt.files = ("redis-server_5%3a8.0.2-3+deb13u3_amd64.deb", "lock")
    found = anyio.run(
        debian.fetch, Root("trixie", ("redis-server", "curl"), ""), status, "/apt_folder", str(tmp_path)
    )
    assert found == {"redis-server": "8.0.2", "curl": "8.1"}
    assert apt.calls[0][-3:] == ["install", "redis-server", "curl"]
    apt.complaint = "W: x\nE: Unable to locate package redis-server\nE: more\n"
    assert anyio.run(debian.fetch, Root("trixie", ("curl",), ""), status, "/apt_folder", str(tmp_path)) == {
        "curl": "8.1"
    }
    with pytest.raises(EngineError, match=r"^Unable to locate package redis-server"):
        anyio.run(debian.fetch, Root("trixie", ("redis-server",), ""), status, "/apt_folder", str(tmp_path))


def test_missing_keys_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Ubuntu they are a package of its own."""
    monkeypatch.setattr(glob, "glob", lambda _: [])
    with pytest.raises(EngineError) as raised:
        debian.keyring()
    assert raised.value.hint == "apt-get install -y debian-archive-keyring"


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Debian the hint is the command that installs the tools; elsewhere it says which systems have them."""
    monkeypatch.setattr(shutil, "which", {"npm": "/usr/bin/npm", "apt-get": "/usr/bin/apt-get"}.get)
    debian.require_tools("npm")
    with pytest.raises(EngineError, match="made with mmdebstrap, not installed here") as on_debian:
        debian.require_tools("mmdebstrap", "npm")
    assert on_debian.value.hint == "apt-get install -y --no-install-recommends mmdebstrap"
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(EngineError, match="which this system does not have") as elsewhere:
        debian.require_tools("mmdebstrap", "npm")
    assert "Debian or Ubuntu" in str(elsewhere.value.hint)
