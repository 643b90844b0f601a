"""Files into real containers: complete or not at all, owned by the container's user, with any name and kind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from devenv.docker.client import Engine
from devenv.errors import EngineError
from devenv.model.sync_plan import Delete, Sync
from devenv.sync.container import host_files, transports
from devenv.sync.container.journal import SyncJournal
from devenv.sync.container.target import Target
from support import docker_cli as docker
from support.rig import missing
from support.stack import IDLE, unique_name

if TYPE_CHECKING:
    from engine.conftest import ImageOf

pytestmark = [pytest.mark.anyio, pytest.mark.engine]
SCRIPT = [part.replace("$$", "$") for part in IDLE]


@pytest.fixture(params=["root", "1000"])
def box(request: pytest.FixtureRequest, boxes: list[str]) -> str:
    """A running container of a user."""
    return start(boxes, "--user", "0" if request.param == "root" else "1000:1000")


def start(boxes: list[str], *options: str, image: str = docker.BASE_IMAGE, argv: list[str] | None = None) -> str:
    """The id of a new running container."""
    name = unique_name("apply")
    boxes.append(name)
    return docker.docker("run", "-d", f"--name={name}", *options, image, *(SCRIPT if argv is None else argv))


async def reach(api: Engine, container_id: str) -> Target:
    """A target for the container as it is now."""
    container = await api.containers.inspect(container_id)
    assert container is not None
    return await Target.reach(api, container, "test", SyncJournal())


def sh(container: str, script: str) -> str:
    """The output of a script in the container."""
    return docker.execute(container, "sh", "-c", script, user="0")


def source(folder: Path, name: str, content: str = "new", mode: int = 0o640) -> str:
    """A host file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(mode)
    return str(path)


async def test_files_arrive_with_content_mode_time_and_owner(api: Engine, box: str, tmp_path: Path) -> None:
    """Missing parents are created, the owner is the container's user, and nothing else is left."""
    target = await reach(api, box)
    path = source(tmp_path, "a b'c.txt")
    os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    outcome = await target.deliver((), [Sync(path, "/srv/app/deep/a b'c.txt")])
    assert (outcome.files, outcome.bytes, outcome.atomic, outcome.failed) == (1, 3, True, {})
    owner = docker.inspect(box)["Config"]["User"].partition(":")[0]
    listing = sh(box, "cd /srv/app; stat -c '%u:%g %a %.9Y' deep/*; stat -c '%u:%g' . deep; find . | sort")
    whose = f"{owner}:{owner}"
    line = f"{whose} 640 1700000000.123456789"
    assert listing.splitlines() == [line, whose, whose, ".", "./deep", "./deep/a b'c.txt"]
    await target.close()


async def test_readers_see_whole_files_only(api: Engine, box: str, tmp_path: Path) -> None:
    """While a file is replaced repeatedly, every read in the container finds it complete."""
    target = await reach(api, box)
    size = 300_000
    await target.deliver((), [Sync(source(tmp_path, "f", "0" * size), "/srv/f")])
    look = f"s=$(cat /srv/f | wc -c); n=$((n+1)); [ $s = {size} ] || echo bad $s"
    loop = f"n=0; while [ ! -e /srv/stop ]; do {look}; done; echo $n"
    with subprocess.Popen(["docker", "exec", box, "sh", "-c", loop], stdout=subprocess.PIPE, text=True) as reader:  # noqa: ASYNC220 - what the test itself does
        for i in range(40):
            await target.deliver((), [Sync(source(tmp_path, "f", str(i % 10) * size), "/srv/f")])
        sh(box, "touch /srv/stop")
        sizes = reader.communicate(timeout=20)[0].split()
    assert len(sizes) == 1, sizes[:10]
    assert int(sizes[0]) > 10
    await target.close()


async def test_many_files_of_one_folder_replace_old_ones(api: Engine, box: str, tmp_path: Path) -> None:
    """300 files, some with odd names, replace old files at once; only the one that cannot arrive is reported."""
    target = await reach(api, box)
    names = [f"f{i}" for i in range(297)] + ["two words", "-dash", "quo'te\nline"]
    syncs = [Sync(source(tmp_path, name, name), f"/srv/many/{name}") for name in names]
    assert (await target.deliver((), syncs)).files == 300
    sh(box, "rm /srv/many/f7; mkdir -p /srv/many/f7/full")
    outcome = await target.deliver((), syncs)
    assert list(outcome.failed) == ["/srv/many/f7"]
    assert outcome.files == 299
    assert sh(box, "cd /srv/many; ls -A | grep -c ^f; cat f0 f296 -- -dash 'two words'; ls -A | grep '~'; true") == (
        "297\nf0f296-dashtwo words"
    )
    await target.close()


async def test_files_and_empty_folders_are_deleted(api: Engine, box: str, tmp_path: Path) -> None:
    """The container's own files stay; deleting twice is not an error."""
    target = await reach(api, box)
    await target.deliver((), [Sync(source(tmp_path, n), f"/srv/d/{n}") for n in ("x", "sub/y", "own/z")])
    sh(box, "touch /srv/d/own/made-here")
    deletes = [
        Delete("/srv/d/own/z", "z"), Delete("/srv/d/sub/y", "y"), Delete("/srv/d/x", "x"),
        Delete("/srv/d/sub", "sub", directory=True), Delete("/srv/d/own", "own", directory=True),
    ]  # fmt: skip
    for _ in range(2):
        outcome = await target.deliver(deletes, ())
        assert outcome.failed == {}
        assert sh(box, "cd /srv/d; find . | sort") == ".\n./own\n./own/made-here"
    await target.close()


async def test_links_files_and_folders_replace_each_other(api: Engine, box: str, tmp_path: Path) -> None:
    """A link stays a link, also to a folder."""
    target = await reach(api, box)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "empty").mkdir()
    plain = source(tmp_path, "plain")
    link, folder = str(tmp_path / "link"), str(tmp_path / "empty")
    kinds = {
        "link": Sync(link, "/srv/k"),
        "file": Sync(plain, "/srv/k"),
        "folder": Sync(folder, "/srv/k", folder=True),
    }
    looks = {"link": "symbolic link", "file": "regular file", "folder": "directory"}
    assert (await target.deliver((), [Sync(source(tmp_path, "inner"), "/srv/real/inner")])).failed == {}
    before = ""
    for kind in ("link", "file", "folder", "file", "link", "link", "folder", "link"):
        gone = [Delete("/srv/k", "k", directory=before == "folder")] if before not in ("", kind) else []
        outcome = await target.deliver(gone, [kinds[kind]])
        assert outcome.failed == {}
        assert sh(box, "stat -c %F /srv/k; ls -A /srv; ls -A /srv/real") == f"{looks[kind]}\nk\nreal\ninner"
        before = kind
    await target.close()


async def test_compare_finds_exactly_the_differences(api: Engine, box: str, tmp_path: Path) -> None:
    """Content, mode, kind and absence count; equal files are not sent again."""
    target = await reach(api, box)
    names = ["same", "content", "mode", "kind", "gone", "link"]
    syncs = [Sync(source(tmp_path, n), f"/srv/r/{n}") for n in names[:-1]]
    (tmp_path / "link").symlink_to("same")
    syncs.append(Sync(str(tmp_path / "link"), "/srv/r/link"))
    await target.deliver((), syncs)
    assert await missing(target, syncs) == set()
    sh(box, "cd /srv/r; echo x > content; chmod 600 mode; rm kind gone; mkdir kind; ln -sfn other link")
    assert await missing(target, syncs) == {f"/srv/r/{n}" for n in names[1:]}
    elsewhere = [Sync(s.source, s.target.replace("/srv/r/", "/srv/nothing/there/")) for s in syncs]
    assert len(await missing(target, elsewhere)) == len(syncs)
    await target.close()


async def test_missing_source_does_not_stop_the_others(api: Engine, box: str, tmp_path: Path) -> None:
    """The missing source fails, and the others arrive."""
    target = await reach(api, box)
    syncs = [Sync(str(tmp_path / "gone"), "/srv/gone"), Sync(source(tmp_path, "there"), "/srv/there")]
    outcome = await target.deliver((), syncs)
    assert (list(outcome.failed), outcome.files) == (["/srv/gone"], 1)
    assert sh(box, "ls -A /srv") == "there"
    await target.close()


async def test_closing_a_target_ends_its_shell(api: Engine, box: str, tmp_path: Path) -> None:
    """The shell in the container ends with the target."""

    def shells() -> int:
        lines = docker.docker("top", box, "-o", "pid,args").splitlines()
        return sum(line.split()[1:3] == ["/bin/sh", "-s"] for line in lines)

    before = shells()
    target = await reach(api, box)
    await target.deliver((), [Sync(source(tmp_path, "f"), "/srv/f")])
    docker.until(lambda: shells() == before + 1, timeout=5)
    await target.close()
    docker.until(lambda: shells() == before, timeout=5)


async def test_stopped_container_gets_files(api: Engine, boxes: list[str], tmp_path: Path) -> None:
    """The file arrives; a delete is done at the next start, from the journal."""
    box = start(boxes)
    docker.docker("stop", "-t", "1", box)
    target = await reach(api, box)
    outcome = await target.deliver([Delete("/srv/x", "x")], [Sync(source(tmp_path, "f"), "/srv/f")])
    assert (outcome.files, outcome.atomic) == (1, True)
    assert (outcome.deleted, outcome.failed) == (0, {})
    docker.docker("start", box)
    assert docker.read(box, "/srv/f") == "new"


async def test_paused_container_has_no_shell(api: Engine, boxes: list[str], tmp_path: Path) -> None:
    """Once unpaused, files are replaced atomically."""
    box = start(boxes)
    target = await reach(api, box)
    docker.docker("pause", box)
    sync = Sync(source(tmp_path, "f"), "/srv/f")
    with pytest.raises(EngineError, match="paused"):
        await target.deliver((), [sync])
    docker.docker("unpause", box)
    outcome = await target.deliver((), [sync])
    assert (outcome.files, outcome.atomic) == (1, True)
    await target.close()


async def test_removed_container_is_an_error(api: Engine, boxes: list[str], tmp_path: Path) -> None:
    """The error is the same whether the shell was open or not."""
    box = start(boxes)
    opened, fresh = await reach(api, box), await reach(api, box)
    sync = Sync(source(tmp_path, "f"), "/srv/f")
    await opened.deliver((), [sync])
    docker.docker("rm", "-f", box)
    for target in (opened, fresh):
        with pytest.raises(EngineError):
            await target.deliver((), [sync])
        await target.close()


async def test_image_without_a_shell_gets_files_not_atomically(
    api: Engine, boxes: list[str], image_of: ImageOf, tmp_path: Path
) -> None:
    """Files arrive, and a delete fails with the reason."""
    image = image_of("scratch")
    box = start(boxes, image=image.name, argv=[*image.command])
    target = await reach(api, box)
    outcome = await target.deliver([Delete("/srv/x", "x")], [Sync(source(tmp_path, "f"), "/srv/deep/f")])
    assert (outcome.files, outcome.atomic) == (1, False)
    assert outcome.failed == {"/srv/x": "cannot be deleted: its image has no shell"}
    assert await missing(target, [Sync(source(tmp_path, "f"), "/srv/deep/f")]) == set()
    newer = Sync(source(tmp_path, "f", "newer"), "/srv/deep/f")
    outcome = await target.deliver([Delete("/srv/deep/f", "f", directory=True)], [newer])  # the image is unknown yet
    assert (outcome.failed, await missing(target, [newer])) == ({}, set())
    outcome = await target.deliver([Delete("/srv/deep", "f", directory=True)], [Sync(newer.source, "/srv/deep")])
    assert outcome.failed == {"/srv/deep": "cannot be deleted: its image has no shell"}
    await target.close()


async def test_many_files_arrive_in_new_folders(api: Engine, box: str, tmp_path: Path) -> None:
    """Files have their owner and content, nothing else is created, and existing folders are filled."""
    target = await reach(api, box)
    names = [f"f{i}" for i in range(20)] + [f"deep/er/g{i}" for i in range(20)]
    syncs = [Sync(source(tmp_path, name, name), f"/srv/new/{name}") for name in names]
    sh(box, "mkdir -p /srv/there/deep; echo own > /srv/there/deep/own")
    for folder in ("new", "there"):
        moved = [Sync(s.source, s.target.replace("/srv/new", f"/srv/{folder}")) for s in syncs]
        outcome = await target.deliver((), moved)
        assert (outcome.files, outcome.failed) == (40, {})
        assert sh(box, f"cd /srv/{folder}; find . -type f | wc -l; cat f3 deep/er/g7").split("\n", 1) == [
            "40" if folder == "new" else "41",
            "f3deep/er/g7",
        ]
    owner = docker.inspect(box)["Config"]["User"].partition(":")[0]
    assert set(sh(box, "stat -c '%u %a' /srv/new /srv/new/deep /srv/new/deep/er").splitlines()) == {f"{owner} 755"}
    assert sh(box, "ls -A /srv /srv/new; cat /srv/there/deep/own").split() == [
        "/srv:", "new", "there", "/srv/new:", "deep", *sorted(f"f{i}" for i in range(20)), "own",
    ]  # fmt: skip
    await target.close()


async def test_pending_commands_of_an_earlier_shell_are_not_run(
    api: Engine, boxes: list[str], tmp_path: Path
) -> None:
    """A shell that is cut off during a save does not complete it later, over a newer save."""
    box = start(boxes)
    perls = 'cd /proc; for p in [0-9]*; do [ "$(cat $p/comm 2>&1)" != perl ] || kill -$1 $p; done'
    target = await reach(api, box)
    await target.deliver((), [Sync(source(tmp_path, "f", "old"), "/srv/f")])
    sh(box, f"set -- STOP; {perls}")
    with anyio.move_on_after(0.3):
        await target.deliver((), [Sync(source(tmp_path, "f", "late"), "/srv/f")])
    newer = await reach(api, box)
    await newer.deliver((), [Sync(source(tmp_path, "f", "new"), "/srv/f")])
    sh(box, f"set -- CONT; {perls}")
    await anyio.sleep(0.3)
    assert sh(box, "cat /srv/f; ls -A /srv") == "newf"
    for target_ in (target, newer):
        await target_.close()


async def test_a_whole_message_waits_for_the_helper(api: Engine, boxes: list[str], tmp_path: Path) -> None:
    """A pipe of the usual size holds a sixth of it: the helper would wait for the rest again and again."""
    box = start(boxes)
    target = await reach(api, box)
    await target.deliver((), [Sync(source(tmp_path, "f"), "/srv/f")])
    sizes = """for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>&1)" != perl ] || perl -e '
        open(F, "<", "$ARGV[0]/fd/0"); print fcntl(F, 1032, 0), "\n"' $p; done"""
    assert str(1 << 20) in sh(box, sizes).split()
    await target.close()


LARGE_WAYS = [("debian", "0"), ("debian", "1000:1000"), ("busybox", "0"), ("busybox", "1000:1000"), ("scratch", "0")]


@pytest.mark.parametrize(("kind", "user"), LARGE_WAYS)
async def test_large_file_is_sent_in_pieces(
    api: Engine, boxes: list[str], image_of: ImageOf, tmp_path: Path, kind: str, user: str
) -> None:
    """Each transport keeps content, mode and owner; a file that cannot be read leaves nothing."""
    image = image_of(kind)
    box = start(boxes, "--user", user, image=image.name, argv=[*image.command])
    if kind != "scratch":
        sh(box, f"mkdir -p /srv; chown {user} /srv")
    target = await reach(api, box)
    size = host_files.LARGE_BYTES + 12_345
    big = source(tmp_path, "big")
    Path(big).write_bytes(os.urandom(size))
    syncs = [Sync(big, "/srv/big"), Sync(source(tmp_path, "small"), "/srv/small")]
    outcome = await target.deliver((), syncs)
    assert (outcome.files, outcome.bytes, outcome.failed) == (2, size + 3, {})
    assert await missing(target, syncs) == set()
    if kind != "scratch":
        whose = user if ":" in user else f"{user}:{user}"
        assert sh(box, "cd /srv; ls -A; stat -c '%u:%g %a' big") == f"big\nsmall\n{whose} 640"
    Path(big).chmod(0o600)
    os.truncate(big, size + 1)
    real, calls = os.pread, iter(range(10**6))

    def shrinking(descriptor: int, length: int, at: int) -> bytes:
        return b"" if next(calls) == 3 else real(descriptor, length, at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pread", shrinking)
        outcome = await target.deliver((), syncs[:1])
    assert outcome.failed == {"/srv/big": "it is constantly being written"}
    if kind != "scratch":
        assert sh(box, "cd /srv; ls -A; stat -c %s big") == f"big\nsmall\n{size}"
    assert (await target.deliver((), syncs[:1])).failed == {}
    assert await missing(target, syncs) == set()
    await target.close()


async def test_file_too_large_for_a_shell_is_one_problem(
    api: Engine, boxes: list[str], image_of: ImageOf, tmp_path: Path
) -> None:
    """The file (6 GB would take minutes through printf) is reported, and all other files arrive."""
    image = image_of("busybox")
    box = start(boxes, "--user", "1000:1000", image=image.name, argv=[*image.command])
    sh(box, "mkdir -p /srv; chown 1000:1000 /srv")
    target = await reach(api, box)
    big = source(tmp_path, "big")
    os.truncate(big, 6 << 30)
    outcome = await target.deliver((), [Sync(big, "/srv/big"), Sync(source(tmp_path, "small"), "/srv/small")])
    assert (outcome.files, outcome.failed) == (1, {"/srv/big": transports.TOO_LARGE})
    assert sh(box, "ls -A /srv") == "small"
    await target.close()
