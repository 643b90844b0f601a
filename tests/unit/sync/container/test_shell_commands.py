"""The shell commands in real shells: any content and name, and no link is followed."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from devenv.sync.container import perl_helper, shell_commands, tar
from devenv.sync.container.perl_helper import IS_ROOT_ONLY, MAKE_FOLDER, REMOVE, REMOVE_EMPTY, RENAME, operation
from devenv.sync.container.shell import Shell
from devenv.sync.container.shell_commands import call
from devenv.sync.container.tar import NANO, TarEntry
from support.local_container import MARK, LocalEngine
from unit.sync.container.test_shell import NAMES, SHELLS, opened

pytestmark = pytest.mark.anyio

BUSYBOX = ["busybox sh"] if shutil.which("busybox") else []
TIME = 1_700_000_000_123_456_789
EVERY_BYTE = bytes(range(256)) * 300


@pytest.fixture(params=[*SHELLS, *BUSYBOX])
async def shell(request: pytest.FixtureRequest) -> AsyncIterator[Shell]:
    """A shell of each kind that this machine has, without a helper."""
    engine = LocalEngine(request.param.split())
    opened_shell = await Shell.open(engine, "id", MARK, by_helper=False)  # type: ignore[arg-type]
    assert opened_shell is not None
    yield opened_shell
    await opened_shell.close()


@pytest.fixture
async def perl() -> AsyncIterator[Shell]:
    """A shell with a helper."""
    shell = await opened(LocalEngine(["sh"]))
    assert shell.has_helper
    yield shell
    await shell.close()


def entry(content: bytes = b"new", mode: int = 0o640, link: bytes = b"") -> TarEntry:
    """A file or link of this user."""
    return TarEntry(b"", tar.LINK if link else tar.FILE, mode, TIME, os.getuid(), os.getgid(), content, link)


async def put(shell: Shell, entries: dict[str, TarEntry], *, as_root: bool = True) -> dict[str | None, str]:
    """Put entries. Which targets failed, or None for the folder, and why."""
    owner = (os.getuid(), os.getgid())
    commands = shell_commands.put(".stage~", entries, owner, as_root=as_root)
    failures = await shell.run([command for command, _ in commands])
    return {commands[index][1]: failures[index] for index in sorted(failures, reverse=True)}


@pytest.mark.parametrize("as_root", [True, False])
async def test_files_and_links_arrive_unchanged(shell: Shell, tmp_path: Path, *, as_root: bool) -> None:
    """Under every name, over existing files, with content, mode and time; nothing is left beside them."""
    contents = (b"", b"-n", b"%s\\n'", EVERY_BYTE, b"\n", b"\0", b"plain")
    (tmp_path / "real").mkdir()
    for number, name in enumerate(NAMES):
        target = os.fsencode(tmp_path) + b"/" + name
        if number % 2:
            os.symlink(b"real", target)
        link = b"../some where" if number == 0 else b""
        wanted = entry(contents[number % len(contents)], (0o644, 0o755, 0o400)[number % 3], link)
        assert await put(shell, {os.fsdecode(target): wanted}, as_root=as_root) == {}
        if link:
            assert os.readlink(target) == link
            continue
        status = os.lstat(target)
        assert Path(os.fsdecode(target)).read_bytes() == wanted.content
        assert stat.S_ISREG(status.st_mode)
        assert stat.S_IMODE(status.st_mode) == wanted.mode
        assert status.st_mtime_ns // NANO == TIME // NANO
    assert sorted(os.listdir(os.fsencode(tmp_path))) == sorted([*NAMES, b"real"])
    assert list((tmp_path / "real").iterdir()) == []


async def test_many_files_of_one_folder_are_put(shell: Shell, tmp_path: Path) -> None:
    """A target that fails is named, and the others arrive; times are whole seconds."""
    (tmp_path / "f7").mkdir()
    entries = {f"{tmp_path}/f{number}": entry(b"%d" % number) for number in range(700)}
    assert await put(shell, entries) == {f"{tmp_path}/f7": "a folder is there in the container"}
    assert {path.read_text() for path in tmp_path.iterdir() if path.is_file()} == {
        str(i) for i in range(700) if i != 7
    }
    assert (tmp_path / "f8").stat().st_mtime_ns == TIME // NANO * NANO


async def test_no_command_follows_a_link(shell: Shell, tmp_path: Path) -> None:
    """If a folder of the path is a link, nothing changes behind it, and the reason names the link."""
    (keep := tmp_path / "keep/deep").mkdir(parents=True)
    (keep / "f").write_text("kept")
    (tmp_path / "sub").symlink_to("keep")
    path = f"{tmp_path}/sub/deep"
    assert (await put(shell, {f"{path}/f": entry()}))[None] == shell_commands.LINK
    ((removal, paths),) = shell_commands.remove([f"{path}/f"])
    ((empty, _),) = shell_commands.remove_folders([path])
    commands = [
        removal,
        empty,
        shell_commands.make_folder(f"{path}/new", os.getuid(), os.getgid()),
        shell_commands.unstage(f"{path}/f"),
    ]
    assert paths == [f"{path}/f"]
    assert await shell.run(commands) == dict.fromkeys(range(4), shell_commands.LINK)
    assert await shell.run([shell_commands.make_folder(f"{tmp_path}/sub", os.getuid(), os.getgid())]) == {
        0: shell_commands.LINK
    }
    assert ([*keep.iterdir()], (keep / "f").read_text()) == ([keep / "f"], "kept")


async def test_a_folder_that_is_missing(shell: Shell, tmp_path: Path) -> None:
    """Nothing has to be removed there; putting a file there fails with the reason."""
    path = f"{tmp_path}/none/f"
    ((removal, _),) = shell_commands.remove([path])
    ((empty, _),) = shell_commands.remove_folders([path])
    assert await shell.run([removal, empty, shell_commands.unstage(path)]) == {}
    assert (await put(shell, {path: entry()}))[None] == shell_commands.NO_FOLDER


async def test_folders_that_only_root_can_change(shell: Shell, tmp_path: Path) -> None:
    """Only root can change a folder if root owns it and all its parents, and nobody else may write there."""
    if os.getuid():
        pytest.skip("needs folders of root")
    base = Path("/root")
    if base.is_symlink() or base.stat().st_mode & 0o022:
        pytest.skip("the home of root is not root's alone")
    top = base / f".devenv-test-{os.getpid()}"
    (top / "in").mkdir(parents=True)
    try:
        check = call(shell_commands.IS_ROOT_ONLY, f"{top}/in")
        assert await shell.run([check, call(shell_commands.IS_ROOT_ONLY, f"{top}/none")]) == {1: ""}
        for mode in (0o775, 0o757, 0o1777):
            top.chmod(mode)
            assert list(await shell.run([check])) == [0]
        top.chmod(0o755)
        os.chown(top / "in", 1000, 0)
        assert list(await shell.run([check])) == [0]
        os.chown(top / "in", 0, 0)
        (top / "link").symlink_to("in")
        assert list(await shell.run([check, call(shell_commands.IS_ROOT_ONLY, f"{top}/link")])) == [1]
        output = await shell.run(
            [call(shell_commands.RESOLVE, f"{top}/{name}") for name in ("in/x", "link/x/y", "in", "none/x")]
        )
        assert {index: shell_commands.resolved(text) for index, text in output.items()} == {1: f"{top}/in/x/y"}
        top.chmod(0o777)
        output = await shell.run([call(shell_commands.RESOLVE, f"{top}/link/x")])
        assert {index: shell_commands.resolved(text) for index, text in output.items()} == {0: None}
    finally:
        shutil.rmtree(top)


async def test_perl_follows_no_link(perl: Shell, tmp_path: Path) -> None:
    """An operation has no effect if its path contains a link."""
    (keep := tmp_path / "keep/deep").mkdir(parents=True)
    for name in ("f", "f~"):
        (keep / name).write_text("kept")
    (tmp_path / "sub").symlink_to("keep")
    path = f"{tmp_path}/sub/deep"
    large = perl_helper.put(entry(b"x" * (perl_helper.MOST_BYTES + 1)), f"{path}/l~", f"{path}/l")
    operations = [
        *perl_helper.put(entry(), f"{path}/n~", f"{path}/n"),
        *perl_helper.put(entry(link=b"x"), f"{path}/n~", f"{path}/n"),
        operation(RENAME, f"{path}/f~", f"{path}/f"),
        operation(MAKE_FOLDER, f"{path}/new", os.getuid(), os.getgid()),
        operation(REMOVE, f"{path}/f"),
        operation(REMOVE_EMPTY, f"{path}/none"),
        operation(IS_ROOT_ONLY, path),
        *large,
    ]
    assert await perl.do(operations) == list(range(len(operations)))
    assert await perl.do([operation(REMOVE_EMPTY, f"{tmp_path}/none/x")]) == []
    assert {found.name: found.read_text() for found in keep.iterdir()} == {"f": "kept", "f~": "kept"}


async def test_perl_puts_links_and_large_files(perl: Shell, tmp_path: Path) -> None:
    """A link replaces anything but a folder; a large file arrives complete or not at all."""
    (tmp_path / "real").mkdir()
    (tmp_path / "over").symlink_to("real")
    large = entry(os.urandom(perl_helper.MOST_BYTES * 2 + 7))
    operations = [
        *perl_helper.put(entry(link=b"to \xff"), f"{tmp_path}/1~", f"{tmp_path}/over"),
        *perl_helper.put(entry(link=b"x"), f"{tmp_path}/2~", f"{tmp_path}/real"),
        *perl_helper.put(large, f"{tmp_path}/3~", f"{tmp_path}/large"),
        *perl_helper.put(large, f"{tmp_path}/4~", f"{tmp_path}/real"),
    ]
    assert await perl.do(operations) == [1, len(operations) - 1]
    assert os.readlink(os.fsencode(tmp_path / "over")) == b"to \xff"
    assert (tmp_path / "large").read_bytes() == large.content
    assert (tmp_path / "large").stat().st_mtime_ns == TIME
    assert sorted(os.listdir(tmp_path)) == ["large", "over", "real"]


def names() -> Callable[[], str]:
    """`.1~`, `.2~`, ..."""
    numbers = itertools.count(1)
    return lambda: f".{next(numbers)}~"


def many(folder: str, count: int = shell_commands.BULK) -> list[str]:
    """Targets of one folder."""
    return [f"{folder}/f{i:02}" for i in range(count)]


def test_few_files_are_staged_one_by_one_and_many_in_a_folder() -> None:
    """Always in the folder of the target: a rename must not leave the file system."""
    places, staged = shell_commands.stage(["/a/x", "/b", "/d/y", *many("/c")], names(), {"/d": "/.s~"}, alone=False)
    assert places["/a/x"] == "/a/.1~"
    assert places["/b"] == "/.2~"
    assert places["/c/f00"] == "/c/.3~/f00"
    assert places["/d/y"] == "/.s~/y"
    assert staged == {"/a/.1~", "/.2~", "/c/.3~"}


def test_folders_that_may_be_staged() -> None:
    """Innermost folders with many files: another folder below, or few files, and their files are put one by one."""
    files = [
        *many("/a/new"),
        *many("/outer"),
        *many("/outer/inner"),
        *many("/few", 11),
        *many(""),
        *many("/e"),
        *many("/f"),
    ]
    assert shell_commands.innermost(files, ["/e/empty", "/f"]) == {"/a/new", "/outer/inner"}


def test_each_file_is_staged_by_itself_if_a_rename_is_cheap() -> None:
    """However many files a folder has."""
    places, staged = shell_commands.stage(many("/c"), names(), {}, alone=True)
    assert places == {target: f"/c/.{number}~" for number, target in enumerate(many("/c"), 1)}
    assert staged == {*places.values()}


def test_reasons_name_the_target() -> None:
    """The staged file is not named, since its number changes with each attempt."""
    single, inside = ".devenv-a1b2c3-7~", ".devenv-a1b2c3-8~/f"
    assert shell_commands.plain(f"write /app/{single}: no space left", "/app/f") == "write /app/f: no space left"
    assert shell_commands.plain(f"write /app/{inside}: no space left", "/app/f") == "write /app/f: no space left"
