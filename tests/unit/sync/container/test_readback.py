"""A container compared with the host; the container is a folder, read as the engine reads it."""

from __future__ import annotations

import errno
import io
import os
import posixpath
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.transport import CallError
from devenv.model.project import Action, Project, Service, WatchRule
from devenv.sync import once
from devenv.sync.container import host_files
from devenv.sync.container.readback import Seen
from devenv.sync.rules import rules

pytestmark = pytest.mark.anyio
PIECE = 700


class Box:
    """The files of a container in a folder, and of the host in another; a rule copies them to /app."""

    def __init__(self, folder: Path, target: str = "/app") -> None:
        self.host = folder / "host"
        self.root = folder / "root"
        self.host.mkdir()
        (self.root / "app").mkdir(parents=True)
        self.read: list[str] = []
        self.spoil: Callable[[bytes], bytes] = lambda data: data
        self.archive = SimpleNamespace(save=self.save)
        self.endpoint = Endpoint("unix:///e")
        self.at_once, self.most = 0, 0  # reads
        watch = WatchRule(str(self.host), Action.SYNC, target)
        self.bound = rules.bind(Project("p", str(folder), (), (Service("web", watch=(watch,)),)), {})

    async def save(self, _: str, path: str, take: Any) -> None:
        """The archive of a path: a link itself, unless the path ends in a slash."""
        self.read.append(path)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await anyio.lowlevel.checkpoint()
        self.at_once -= 1
        real = self.real(path.rstrip("/"))
        if path.endswith("/") and real.is_symlink():
            real = self.real(posixpath.join(posixpath.dirname(path.rstrip("/")), os.readlink(real)))
        try:
            if real.is_symlink():
                os.stat(self.real(os.readlink(real)) if os.readlink(real).startswith("/") else real)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise CallError(500, f"evalSymlinksInScope: too many links in {path}", "reading") from None
        if not os.path.lexists(real) or (path.endswith("/") and not real.is_dir()):
            return
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            archive.add(real, arcname=posixpath.basename(path.rstrip("/")) or ".")
        data = self.spoil(out.getvalue())
        for at in range(0, len(data), PIECE):
            await take(data[at : at + PIECE])

    def real(self, path: str) -> Path:
        """The path on this machine for a container path; absolute links begin at the container's root."""
        return self.root / os.path.normpath(path).lstrip("/")

    async def compared(self, *placed: str) -> Seen:
        """The result of `verify`."""
        return (await once.compare(cast("Engine", self), "id", self.bound, placed))[1]

    def put(self, name: str, content: str = "x", *, mode: int = 0o644) -> None:
        """A file on both sides."""
        for top in (self.host, self.real("/app")):
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(mode)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """Files, a folder, an empty folder and a link, the same on both sides."""
    created = Box(tmp_path)
    for name in ("a", "b", "sub/c", "sub/deep/d"):
        created.put(name)
    for top in (created.host, created.real("/app")):
        (top / "empty").mkdir()
        (top / "link").symlink_to("a")
    return created


async def test_equal_files_are_no_difference(box: Box) -> None:
    """The container's other files do not matter."""
    box.real("/app/own").write_text("own")
    box.real("/app/sub/own").write_text("own")
    assert (await box.compared()).different == ()


CHANGES = {
    "content": ("printf y > a", "a"),
    "longer": ("printf xx > a", "a"),
    "mode": ("chmod 755 a", "a"),
    "deep content": ("printf y > sub/deep/d", "sub/deep/d"),
    "gone": ("rm b", "b"),
    "other link": ("ln -sfn b link", "link"),
    "file for a link": ("rm link; printf x > link", "link"),
    "link for a file": ("ln -sf a b", "b"),
    "folder for a file": ("rm b; mkdir b", "b"),
    "pipe for a file": ("rm b; mkfifo b", "b"),
    "file for a folder": ("rmdir empty; touch empty", "empty"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_each_difference_is_found(box: Box, change: str) -> None:
    """Kind, content, mode and link; nothing else is named."""
    script, path = CHANGES[change]
    subprocess.run(["sh", "-ec", script], cwd=box.real("/app"), check=True)  # noqa: ASYNC221 - what the test itself does
    assert (await box.compared()).different == (f"/app/{path}",)


@pytest.mark.parametrize("kind", ["pipe", "loop", "gone"])
async def test_a_file_that_is_no_file_on_the_host_any_more_is_a_difference(box: Box, kind: str) -> None:
    """The old content under the name of a pipe or a loop is a difference even if no journal has it."""
    (box.host / "b").unlink()
    if kind == "pipe":
        os.mkfifo(box.host / "b")
    elif kind == "loop":
        (box.host / "b").symlink_to("b")
    assert (await box.compared("/app/a", "/app/b")).different == ("/app/b",)
    assert (await box.compared()).different == (() if kind == "gone" else ("/app/b",))
    box.real("/app/b").unlink()
    assert (await box.compared("/app/a", "/app/b")).different == ()


async def test_a_folder_that_became_a_pipe(box: Box) -> None:
    """All paths of the journal below it are named while they exist."""
    (box.host / "sub/deep/d").unlink()
    (box.host / "sub/deep").rmdir()
    os.mkfifo(box.host / "sub/deep")
    names = ("/app/sub/deep/", "/app/sub/deep/d")
    assert (await box.compared(*names)).different == ("/app/sub/deep", "/app/sub/deep/d")


@pytest.mark.parametrize("inside", ["", ".devenv-4f2a-1~", "own"])
@pytest.mark.parametrize("placed", [(), ("/app/empty/",)], ids=["", "in the journal"])
async def test_a_folder_where_the_host_has_a_loop_is_a_difference(
    box: Box, placed: tuple[str, ...], inside: str
) -> None:
    """Its content does not matter: it may be left from a helper that was killed, or belong to the container."""
    (box.host / "empty").rmdir()
    (box.host / "empty").symlink_to("empty")
    if inside:
        (box.real("/app/empty") / inside).touch()
    assert (await box.compared(*placed)).different == ("/app/empty",)


async def test_a_folder_with_files_of_the_container_is_no_difference(box: Box) -> None:
    """It is a difference if it contains no file of the container."""
    box.put("old/x")
    (box.host / "old/x").unlink()
    (box.host / "old").rmdir()
    box.real("/app/old/x").unlink()
    assert (await box.compared("/app/old/", "/app/old/x")).different == ("/app/old",)
    box.real("/app/old/own").write_text("own")
    assert (await box.compared("/app/old/", "/app/old/x")).different == ()


async def test_a_file_whose_name_begins_like_a_folder_with_files_of_the_container(box: Box) -> None:
    """The folder is not a difference, but the file is."""
    for name in ("old/x", "old1"):
        box.put(name)
        (box.host / name).unlink()
    (box.host / "old").rmdir()
    box.real("/app/old/own").touch()
    assert (await box.compared("/app/old/", "/app/old/x", "/app/old1")).different == ("/app/old/x", "/app/old1")


@pytest.mark.parametrize("count", [3, 80])
async def test_a_target_that_is_a_link_is_followed(tmp_path: Path, count: int) -> None:
    """A few names are read one by one, many names with their folder."""
    box = Box(tmp_path)
    box.real("/app").rmdir()
    box.real("/data").mkdir()
    box.real("/app").symlink_to("data")
    for number in range(count):
        box.put(f"f{number}")
    assert (await box.compared()).different == ()
    box.real("/data/f1").write_text("other")
    assert (await box.compared()).different == ("/app/f1",)
    assert set(box.read) == ({"/app/"} if count == 80 else {f"/app/f{i}" for i in range(count)})


@pytest.mark.parametrize("text", ["../elsewhere", "/elsewhere", "own", "chain"])
async def test_a_link_to_a_folder_elsewhere_in_the_container_is_followed(box: Box, text: str) -> None:
    """The files behind the link are compared."""
    place = box.real("/app/own" if text == "own" else "/elsewhere")
    box.real("/app/sub").rename(place)
    if text == "chain":
        box.real("/app/chain").symlink_to("../elsewhere")
    box.real("/app/sub").symlink_to(text)
    assert (await box.compared()).different == ()
    (place / "c").write_text("other")
    assert (await box.compared()).different == ("/app/sub/c",)


@pytest.mark.parametrize("text", ["twin", ".", "..", "/", "empty"])
async def test_a_link_to_a_synced_folder_is_a_difference(box: Box, text: str) -> None:
    """It is a difference even if the files behind it are equal: a change of one would change the other."""
    for name in ("c", "deep/d"):
        box.put(f"twin/{name}")
    for name in ("c", "deep/d"):
        box.real(f"/app/sub/{name}").unlink()
    box.real("/app/sub/deep").rmdir()
    box.real("/app/sub").rmdir()
    box.real("/app/sub").symlink_to(text)
    assert (await box.compared()).different == ("/app/sub",)


async def test_a_loop_in_the_container_is_one_difference(box: Box) -> None:
    """The engine cannot read it, and everything else is compared."""
    box.real("/app/b").unlink()
    box.real("/app/b").symlink_to("b")
    box.real("/app/sub/c").write_text("other")
    seen = await box.compared()
    assert seen.different == ("/app/b", "/app/sub/c")
    assert list(seen.unread) == ["/app/b"]


async def test_another_error_of_the_engine_is_raised(box: Box) -> None:
    """It does not concern a single path."""

    def fail(_: bytes) -> bytes:
        raise CallError(500, "out of luck", "reading")

    box.spoil = fail
    with pytest.raises(CallError):
        await box.compared()


@pytest.mark.parametrize("times", [1, 9])
async def test_an_archive_that_is_cut_is_read_again(box: Box, times: int) -> None:
    """A tree may change while the engine reads it; if it changes in each try, it counts as different."""
    left = {"times": times}

    def cut(data: bytes) -> bytes:
        left["times"] -= 1
        return data[:600] if left["times"] >= 0 else data

    box.spoil = cut
    seen = await box.compared("/app/gone")
    assert bool(seen.different) is (times == 9)
    assert bool(seen.unread) is (times == 9)


async def test_a_large_file_is_compared_in_pieces(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content and mode, as for others."""
    monkeypatch.setattr(host_files, "LARGE_BYTES", 1000)
    monkeypatch.setattr(host_files, "PIECE", 900)
    box.put("big", "x" * 5000)
    assert (await box.compared()).different == ()
    box.real("/app/big").write_text("x" * 4999 + "y")
    assert (await box.compared()).different == ("/app/big",)
    box.put("big", "x" * 5000)
    box.real("/app/big").chmod(0o600)
    assert (await box.compared()).different == ("/app/big",)


async def test_folders_behind_a_link_are_not_known(box: Box) -> None:
    """The files behind it are compared, but the link can be replaced."""
    for number in range(60):
        box.put(f"f{number}")
    box.real("/app/sub").rename(box.real("/elsewhere"))
    box.real("/app/sub").symlink_to("../elsewhere")
    seen = await box.compared()
    assert seen.different == ()
    assert seen.folders == {"/app/empty"}


@pytest.mark.parametrize(("host", "is_together"), [("unix:///e", False), ("ssh://far", True)])
async def test_archives_are_read_one_after_the_other(box: Box, host: str, is_together: bool) -> None:
    """Unless each costs a round trip: the engine waits for a large archive before it begins the next one."""
    box.endpoint = Endpoint(host)
    names = [f"/app/{number}/.devenv-p-1~" for number in range(4)]
    for name in names:
        box.real(name).parent.mkdir()
        box.real(name).touch()
    await box.compared(*names)
    assert (box.most > 1) is is_together
