"""Limits and facts of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from devenv.host import limits


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read on Linux; for a folder that does not exist yet, its parent is measured."""
    monkeypatch.setattr(limits, "SYSCTL", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "not/yet"))
    (tmp_path / "fs/inotify").mkdir(parents=True)
    (tmp_path / "fs/inotify/max_user_watches").write_text("8192\n")
    result = limits.machine("")
    assert (result["watches"], result["instances"]) == (8192, 0)
    (disk,) = result["disks"]
    assert (disk.path, disk.free > 0, 0 <= disk.inodes <= 1) == (str(tmp_path), True, True)


@pytest.mark.parametrize(
    ("system", "files", "servers"),
    [
        ("linux", {"resolv": "# x\nnameserver 10.0.0.2\n nameserver ::1\n"}, ("10.0.0.2", "::1")),
        ("linux", {"resolv": "nameserver 127.0.0.53\n", "resolved": "nameserver 10.0.0.3\n"}, ("10.0.0.3",)),
        ("linux", {}, ()),
        ("darwin", {"resolv": "nameserver 10.0.0.2\n"}, ()),
    ],
)
def test_name_servers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    files: Mapping[str, str],
    servers: tuple[str, ...],
) -> None:
    """The servers that the engine passes to containers; unknown on another system."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(limits, "RESOLV", (str(tmp_path / "resolved"), str(tmp_path / "resolv")))
    monkeypatch.setattr("sys.platform", system)
    assert limits.name_servers() == servers


def test_emulators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform is emulated if the kernel has an enabled entry for it."""
    monkeypatch.setattr(limits, "SYSCTL", str(tmp_path))
    (tmp_path / "fs/binfmt_misc").mkdir(parents=True)
    (tmp_path / "fs/binfmt_misc/qemu-aarch64").write_text("enabled\ninterpreter x\n")
    (tmp_path / "fs/binfmt_misc/qemu-s390x").write_text("disabled\n")
    assert [limits.emulates(f"linux/{architecture}") for architecture in ("arm64", "s390x", "riscv64")] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("platform", "own", "is_native"),
    [
        ("linux/amd64/v2", "linux/amd64", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("arm64", "linux/arm64", True),
        ("Linux/aarch64", "linux/arm64", True),
        ("linux/386", "linux/amd64", True),
        ("linux/386", "linux/arm64", False),
        ("linux/arm64", "linux/amd64", False),
        ("windows/amd64", "linux/amd64", False),
    ],
)
def test_what_runs_without_an_emulator(platform: str, own: str, *, is_native: bool) -> None:
    """Variants and spellings do not count; 32-bit programs of the same processor run natively."""
    assert limits.is_native(platform, own) == is_native


@pytest.mark.parametrize(
    ("text", "mode", "is_other"),
    [
        ("#!/usr/bin/python\nimport sys\nfrom devenv.__main__ import main\n", 0o755, False),
        ("#!/bin/sh\n", 0o755, True),
        ("#!/bin/sh\n", 0o644, False),
    ],
)
def test_first_executable_devenv_on_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, is_other: bool
) -> None:
    """Only the first executable file counts, and devenv is known by its entry point."""
    program = tmp_path / "devenv"
    program.write_text(text)
    program.chmod(mode)
    monkeypatch.setenv("PATH", f":{tmp_path / 'nowhere'}:{tmp_path}")
    assert limits.other_devenv() == (str(program) if is_other else "")
