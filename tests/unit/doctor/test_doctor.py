"""What lies around the diagnosis: facts of the host, what registries say, the fixes, the report and the lines."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from devenv.compose.resolve import Selection
from devenv.docker.endpoint import Endpoint
from devenv.doctor import fixes, network, probes, project_tree, quick_check, registries
from devenv.doctor.catalog import AREAS, finding
from devenv.doctor.facts import (
    ClientConfig,
    Connection,
    Facts,
    ImageSources,
    Machine,
    Proxies,
    Registry,
    Route,
    Tools,
)
from devenv.doctor.report import report
from devenv.errors import EngineError, StateError
from devenv.host import limits
from devenv.images.pull_errors import Failure
from devenv.model.finding import Disk, Finding
from devenv.model.project import Build, Project, Service
from devenv.ui.findings import lines

HERE = Selection("/")
HOST = Endpoint("unix:///var/run/docker.sock")


# --- the host ---------------------------------------------------------------------------------------------------


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read where Linux has them; a folder that is not there yet is measured all the same."""
    monkeypatch.setattr(limits, "SYSCTL", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "not/yet"))
    (tmp_path / "fs/inotify").mkdir(parents=True)
    (tmp_path / "fs/inotify/max_user_watches").write_text("8192\n")
    found = limits.machine("")
    assert (found["watches"], found["instances"], found["lowest_port"]) == (8192, 0, 0)
    (disk,) = found["disks"]
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
    """Those that the engine would give to containers; on another system nobody knows from a file."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(limits, "RESOLV", (str(tmp_path / "resolved"), str(tmp_path / "resolv")))
    monkeypatch.setattr("sys.platform", system)
    assert limits.name_servers() == servers


def test_emulators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is there where the kernel knows it, and it is turned on."""
    monkeypatch.setattr(limits, "SYSCTL", str(tmp_path))
    (tmp_path / "fs/binfmt_misc").mkdir(parents=True)
    (tmp_path / "fs/binfmt_misc/qemu-aarch64").write_text("enabled\ninterpreter x\n")
    (tmp_path / "fs/binfmt_misc/qemu-s390x").write_text("disabled\n")
    assert [limits.emulates(f"linux/{one}") for one in ("arm64", "s390x", "riscv64")] == [True, False, False]


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
    """Variants do not count, nor how a processor is written; 32 bits of the same one run as they are."""
    assert limits.native(platform, own) == is_native


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


@pytest.mark.anyio
async def test_a_round_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a part might take; what had nothing to look at was not looked at."""
    monkeypatch.setattr(probes, "TOTAL", 0.1)
    round_ = probes._Round(HERE, lambda _: None)

    async def nothing() -> dict[str, object]:
        return {}

    began = anyio.current_time()
    await round_.parts(("machine", 60.0, anyio.sleep_forever), ("project", 60.0, nothing))
    assert anyio.current_time() - began < 5
    assert (round_.late, round_.looked) == (["machine"], [])


@pytest.mark.parametrize(
    ("text", "mode", "is_other"),
    [
        ("#!/usr/bin/python\nimport sys\nfrom devenv.__main__ import main\n", 0o755, False),
        ("#!/bin/sh\n", 0o755, True),
        ("#!/bin/sh\n", 0o644, False),
    ],
)
def test_which_devenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, is_other: bool) -> None:
    """Only the first that can be run counts, and ours is known by what it starts."""
    program = tmp_path / "devenv"
    program.write_text(text)
    program.chmod(mode)
    monkeypatch.setenv("PATH", f":{tmp_path / 'nowhere'}:{tmp_path}")
    assert limits.other_devenv() == (str(program) if is_other else "")


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


@pytest.mark.parametrize(
    ("endpoint", "cause", "code"),
    [
        (HOST, FileNotFoundError(), "engine-missing"),
        (HOST, ConnectionRefusedError(), "engine-stopped"),
        (HOST, PermissionError(), "engine-forbidden"),
        (HOST, TimeoutError(), "engine-silent"),
        (Endpoint("ssh://far.example", "far"), TimeoutError(), "engine-unreachable"),
        (HOST, ValueError(), "engine-unusable"),
        (HOST, None, "engine-unusable"),
    ],
)
def test_why_an_engine_is_not_reached(endpoint: Endpoint, cause: Exception | None, code: str) -> None:
    """It hangs on what lies below the error."""
    error = EngineError("x")
    error.__cause__ = cause
    found = anyio.run(probes.unreached, endpoint, error)
    assert code in (found["connection"].state, *(told for told, _ in found.get("errors", ())))


def test_scripts_with_the_wrong_line_ends(tmp_path: Path) -> None:
    """Only what a kernel would start, at most three, and nothing below node_modules."""
    (tmp_path / "node_modules").mkdir()
    for number in range(4):
        (tmp_path / f"{number}.sh").write_bytes(b"#!/bin/sh\r\n")
    for name, text in (
        ("node_modules/x.sh", b"#!/bin/sh\r\n"),
        ("00-notes.sh", b"hello\r\n"),
        ("00-fine.sh", b"#!/bin/sh\n"),
    ):
        (tmp_path / name).write_bytes(text)
    project = Project("p", str(tmp_path), (), (Service("a", build=Build(str(tmp_path))), Service("b", image="x")))
    assert project_tree.crlf(project) == ("0.sh", "1.sh", "2.sh")


# --- registries -------------------------------------------------------------------------------------------------


def test_patience() -> None:
    """What hangs is left alone after its seconds, and what fails is nothing."""

    async def look() -> tuple[object, ...]:
        began = time.monotonic()
        late = await network.patiently(0.05, threading.Event().wait)
        return (
            late,
            await network.patiently(5, partial(int, "x")),
            await network.patiently(5, partial(int, "7")),
            began,
        )

    late, failed, found, began = anyio.run(look)
    assert (late, failed, found) == (None, None, 7)
    assert time.monotonic() - float(str(began)) < 1


@pytest.mark.parametrize(
    ("challenge", "url"),
    [
        (
            'Bearer realm="https://t.example/token",service="s"',
            "https://t.example/token?service=s&scope=repository%3Aa%2Fb%3Apull",
        ),
        ('Basic realm="x"', ""),
        ('Bearer realm="file:///etc/passwd"', ""),
        ("", ""),
    ],
)
def test_where_tokens_are_given(challenge: str, url: str) -> None:
    """Only where a registry names a site for it."""
    assert network.realm(challenge, "a/b") == url


@pytest.mark.parametrize(
    ("error", "proxy", "said"),
    [
        (OSError("Tunnel connection failed: 407 Proxy Authentication Required"), True, "(407)"),
        (TimeoutError(), True, "the proxy http://***@p.example:3128 does not answer"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), False, "it does not speak TLS"),
        (RemoteDisconnected("x"), False, "it does not speak HTTP"),
        (OSError(113, "No route to host"), False, "no route to host"),
        (ValueError("x"), False, "it cannot be reached"),
    ],
)
def test_what_is_said_of_a_fault(error: Exception, proxy: bool, said: str) -> None:
    """In our words, and without a password."""
    heard = network.said(error, urlsplit("http://ann:s3cret@p.example:3128") if proxy else None)
    assert said in heard
    assert "s3cret" not in heard


# --- fixes ------------------------------------------------------------------------------------------------------


def test_a_helper_of_one_registry(tmp_path: Path) -> None:
    """It goes alone, through a link, and the rest of the file says what it said."""
    real = tmp_path / "real.json"
    real.write_text(json.dumps({"credHelpers": {"a.example": "gone", "b.example": "here"}, "detachKeys": "x"}))
    (tmp_path / "config.json").symlink_to(real)
    facts = Facts(
        client=ClientConfig(path=str(tmp_path / "config.json"), missing_helpers=("docker-credential-gone",))
    )
    (fix,) = fixes.planned(facts, {"helper-missing", "crlf"})
    assert fix.shows == ('- "credHelpers": {"a.example": "gone"}',)
    assert anyio.run(fixes.carry_out, fix) == f"{real}.devenv-backup1"
    assert json.loads(real.read_text()) == {"credHelpers": {"b.example": "here"}, "detachKeys": "x"}
    assert json.loads(Path(f"{real}.devenv-backup1").read_text())["credHelpers"] == {
        "a.example": "gone",
        "b.example": "here",
    }
    assert (tmp_path / "config.json").is_symlink()


def test_a_file_that_was_changed_meanwhile(tmp_path: Path) -> None:
    """It is left alone, without a backup."""
    path = tmp_path / "current"
    path.write_text("new")
    with pytest.raises(StateError, match="changed meanwhile"):
        anyio.run(fixes.carry_out, fixes.Fix(("builder-gone",), str(path), (), b"old", None))
    assert os.listdir(tmp_path) == ["current"]


def test_a_fix_that_cannot_be_made(tmp_path: Path) -> None:
    """The error says what to type, and a failed order after the change is one, too."""
    with pytest.raises(StateError, match="cannot change") as caught:
        anyio.run(fixes.carry_out, fixes.Fix((), str(tmp_path / "no/file"), (), None, b"x"))
    assert caught.value.hint == "sudo devenv doctor --fix"
    with pytest.raises(StateError, match="`false` failed"):
        anyio.run(fixes.carry_out, fixes.Fix((), str(tmp_path / "file"), (), None, b"x", ("false",)))
    assert os.listdir(tmp_path) == ["file"]


def test_limits_are_raised_for_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a file of our own, after which the system is told."""
    monkeypatch.setattr(fixes, "SYSCTL_FILE", str(tmp_path / "60.conf"))
    (fix,) = fixes.planned(Facts(machine=Machine(instances=8192)), {"inotify-watches"})
    raised = b"fs.inotify.max_user_watches = 524288\nfs.inotify.max_user_instances = 8192\n"
    assert (fix.before, fix.after, fix.then[0]) == (None, raised, "sysctl")
    assert fixes.planned(Facts(), {"builder-gone"}) == ()


# --- what is read -----------------------------------------------------------------------------------------------


FACTS = Facts(
    tools=Tools(compose="2.40.3"),
    connection=Connection(host="ssh://ann@far.example"),
    proxies=Proxies(environment={"HTTPS_PROXY": "http://ann:s3cret@proxy.example:3128"}),
    client=ClientConfig(proxies={"httpProxy": "http://p.example", "noProxy": "secret.example"}),
    images=ImageSources(
        registries=(
            Registry("docker.io", "node:22", (), None, Route("", "", "auth.docker.io")),
            Registry("r.example", "r.example/x", (), Failure("connection refused"), Route("no answer in time")),
        )
    ),
    machine=Machine(disks=(Disk("the engine's disk", "/var", 5 * 10**9, 0.5, "", ""),)),
)


def test_the_report() -> None:
    """It begins with what is in it, and holds neither a password nor the home folder."""
    found = (finding("crlf", files="/home/ann/x/run.sh", first="/home/ann/x/run.sh"),)
    text = report(FACTS, found, {"devenv": "1"}, "/home/ann")
    assert text.startswith("# devenv doctor: report\n\nWhat is in this file:")
    assert "- **warning** `crlf`: ~/x/run.sh: the first line" in text
    assert "- registry docker.io: engine: answers; here: answers; tokens: answers\n" in text
    assert "- registry r.example: engine: connection refused; here: no answer in time; tokens: none wanted\n" in text
    assert "HTTPS_PROXY http://***@proxy.example:3128" in text
    assert not [word for word in ("s3cret", "ann", "secret.example", "/home") if word in text]
    assert "None." in report(replace(FACTS, connection=Connection(host="")), (), {}, "/")


def test_lines_for_people() -> None:
    """Errors, warnings and notes each with a mark; what is well in one line; nothing that moves a cursor."""
    found = (
        Finding("a", "error", "engine", "bad\x1b[2J", "type \x07this"),
        Finding("b", "warning", "machine", "so so"),
        Finding("c", "info", "proxies", "by the way"),
    )
    assert list(lines(found, AREAS, 0.51)) == [
        "✗ a: bad",
        "  hint: type this",
        "! b: so so",
        "· c: by the way",
        "✓ tools, registries, proxies, builder, project",
        "1 error, 1 warning (0.5 s); docs/troubleshooting.md explains each",
    ]
    assert list(lines((), ("tools",), 2)) == ["✓ tools", "no errors, no warnings (2.0 s)"]
    assert list(lines(found[:1], ("engine",), 2))[-1].startswith("1 error, no warnings")
