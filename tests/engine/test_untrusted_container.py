"""A process in a container cannot use devenv's rights: not by links, by programs of its own, or by races."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devenv.docker.client import Engine
from devenv.model.sync_plan import Delete, Sync
from devenv.sync.container import shell_commands
from devenv.sync.container.journal import SyncJournal
from devenv.sync.container.outcome import SyncOutcome
from devenv.sync.container.target import Target
from support import docker_cli as docker
from support.boxes import Image
from support.rig import missing
from support.stack import unique_name

if TYPE_CHECKING:
    from engine.conftest import ImageOf

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

USER = "1000:1000"
LARGE = 1_500_000
EVERY_SHELL = pytest.mark.parametrize("kind", ["debian", "busybox"])
# Services by user and folder: as the user in an own folder; as the user in root's folder; as root beside another
# user's processes, as with gosu.
SERVICES = pytest.mark.parametrize("service", ["user", "user in root's folder", "root"])
FLIP = "i=0; while [ $i -lt $1 ]; do mv sub old; ln -s $2 sub; rm sub; mv old sub; i=$((i+1)); done"


class Box:
    """A container whose user 1000 can replace /app/sub; /keep is a folder of this machine that root owns."""

    def __init__(self, image: Image, service: str, keep: Path, boxes: list[str], *options: str) -> None:
        self.keep = keep
        keep.mkdir()
        keep.chmod(0o755)
        for name in ("x.txt", "del.txt"):
            (keep / name).write_text("host")
        name = unique_name("untrusted")
        boxes.append(name)
        user = "0" if service == "root" else USER
        arguments = (f"--name={name}", f"--user={user}", f"--volume={keep}:/keep", *options)
        self.id = docker.docker("run", "-d", *arguments, image.name, *image.command)
        self.is_root = service == "root"
        if image.has_shell:
            top = 0 if service == "user in root's folder" else 1000
            self.root(f"mkdir -p /app/sub /usr/local/bin && chown {top}:{top} /app && chown {USER} /app/sub")

    def root(self, script: str) -> str:
        """The output of a script that root runs."""
        return docker.execute(self.id, "/bin/sh", "-c", script, user="0")

    def user(self, script: str) -> str:
        """The output of a script that the user runs."""
        return docker.execute(self.id, "/bin/sh", "-c", f"cd /app && {script}", user=USER)

    def exchange(self, link: str = "/keep") -> None:
        """Replace the folder by a link, as a user who may do that."""
        script = f"cd /app && mv sub old && ln -s {link} sub"
        if self.user("[ -w . ] && echo yes || echo no") == "yes":
            self.user(script)
        else:
            self.user(f"cd sub && mkdir deeper 2>/dev/null; mv deeper old; ln -s {link} deeper")

    def heal(self) -> None:
        """Put the folder back."""
        self.user("if [ -h sub ]; then rm sub; mv old sub; else cd sub; rm deeper; mv old deeper; fi")

    def untouched(self) -> bool:
        """Whether the host's folder is unchanged."""
        kept = {path.name: path.read_text() for path in self.keep.iterdir()}
        stats = [os.stat(path) for path in (self.keep, *self.keep.iterdir())]
        return kept == dict.fromkeys(("x.txt", "del.txt"), "host") and {(s.st_uid, s.st_gid) for s in stats} == {
            (0, 0)
        }


@pytest.fixture
def box(kind: str, service: str, image_of: ImageOf, boxes: list[str], tmp_path: Path) -> Box:
    """A container of this kind of image and service."""
    return Box(image_of(kind), service, tmp_path / "keep", boxes)


async def reach(api: Engine, container_id: str) -> Target:
    """A target for the container with a rule on /app."""
    container = await api.containers.inspect(container_id)
    assert container is not None
    return await Target.reach(api, container, "test", SyncJournal(), ["/app"])


def edits(folder: Path, place: str, large: int = LARGE) -> tuple[list[Delete], list[Sync]]:
    """A save over a file, a new program, a large file, a link, a folder, and a delete."""
    folder.mkdir(exist_ok=True)
    (folder / "x.txt").write_text("saved")
    (folder / "new.sh").write_text("#!/bin/sh\n")
    (folder / "new.sh").chmod(0o755)
    (folder / "large").write_bytes(b"%'\\\0\n\xff" * (large // 6))
    if not (folder / "link").is_symlink():
        (folder / "link").symlink_to("x.txt")
    (folder / "made").mkdir(exist_ok=True)
    names = ["x.txt", "new.sh", "large", "link"]
    syncs = [Sync(str(folder / name), f"{place}/{name}") for name in names]
    return [Delete(f"{place}/del.txt", "del.txt")], [*syncs, Sync(str(folder / "made"), f"{place}/made", folder=True)]


def place_of(service: str) -> str:
    """The folder that the user of the service can replace."""
    return "/app/sub/deeper" if service == "user in root's folder" else "/app/sub"


@EVERY_SHELL
@SERVICES
@pytest.mark.parametrize("link", ["/keep", "/usr/local/bin"])
async def test_link_instead_of_a_folder_is_not_followed(
    api: Engine, box: Box, service: str, link: str, tmp_path: Path
) -> None:
    """Nothing behind the link is written, deleted or changed; each path fails; later all arrive."""
    target, place = await reach(api, box.id), place_of(service)
    deletes, syncs = edits(tmp_path / "src", place)
    assert (await target.deliver((), syncs)).failed == {}
    box.root("echo host >/usr/local/bin/x.txt; echo host >/usr/local/bin/del.txt")
    box.exchange(link)
    look = "ls -ln /usr/local/bin; cat /usr/local/bin/*"
    before = box.root(look)
    outcome = await target.deliver(deletes, syncs)
    assert outcome.failed == dict.fromkeys(
        [*(d.target for d in deletes), *(s.target for s in syncs)], shell_commands.LINK
    )
    assert (outcome.files, outcome.deleted) == (0, 0)
    assert box.untouched()
    assert box.root(look) == before
    box.heal()
    outcome = await target.deliver(deletes, syncs)
    assert outcome.failed == {}
    assert await missing(target, syncs, place) == set()
    assert box.untouched()
    assert "~" not in box.root(f"ls -A {place}")
    await target.close()


@EVERY_SHELL
@SERVICES
async def test_programs_of_the_service_are_never_run(
    api: Engine, image_of: ImageOf, boxes: list[str], kind: str, service: str, tmp_path: Path
) -> None:
    """A folder first in the image's PATH has programs named like those of the sync, which never run."""
    variables = ("--env=PATH=/app/fakes:/usr/bin:/bin", "--env=LD_PRELOAD=/app/fakes/own.so")
    box = Box(image_of(kind), service, tmp_path / "keep", boxes, *variables)
    names = "sh perl grep mv rm rmdir mkdir chown chmod ls uname cat touch ln readlink kill"
    fake = "printf '#!/bin/sh\\necho \"$0\" >>/tmp/ran\\n' >$f; chmod 755 $f"
    box.root(
        f"unset LD_PRELOAD; mkdir -m 1777 -p /tmp; mkdir /app/fakes; cd /app/fakes; for f in {names}; do {fake}; done"
    )
    container = await api.containers.inspect(box.id)
    assert container is not None
    target = await Target.reach(api, container, "test", SyncJournal(), ["/app"])
    deletes, syncs = edits(tmp_path / "src", "/app/sub/in")
    assert (await target.deliver((), syncs)).failed == {}
    assert (await target.deliver(deletes, syncs)).failed == {}
    for user in ("", "0"):
        await api.exec.end_leftovers(box.id, user=user, privileged=False, mark="test")
    pids = [
        line.split()[0] for line in docker.docker("top", box.id, "-o", "pid,args").splitlines() if "DEVENV" in line
    ]
    assert pids
    for pid in pids:
        assert b"/app/fakes" not in Path(f"/proc/{pid}/environ").read_bytes()
    await target.close()
    assert box.root("cat /tmp/ran 2>/dev/null; true") == ""


@EVERY_SHELL
@pytest.mark.parametrize("service", ["user", "root"])
@pytest.mark.parametrize("flips", [300, pytest.param(2000, marks=pytest.mark.long)])
async def test_folder_constantly_replaced_by_a_link_is_not_followed(
    api: Engine, box: Box, service: str, flips: int, tmp_path: Path
) -> None:
    """Thousands of replacements during saves and deletes change nothing behind the link."""
    target = await reach(api, box.id)
    deletes, syncs = edits(tmp_path / "src", "/app/sub", large=60_000)
    argv = ["docker", "exec", "-u", USER, "-w", "/app", box.id, "/bin/sh", "-c", FLIP, "sh", str(flips), "/keep"]
    delivered = 0
    while delivered <= 5:  # on a busy machine, one series of flips ends too soon
        with subprocess.Popen(argv) as flipping:  # noqa: ASYNC220 - the test starts it
            while flipping.poll() is None:
                await target.deliver(deletes, syncs)
                delivered += 1
        assert flipping.returncode == 0
    assert box.untouched()
    assert (await target.deliver(deletes, syncs)).failed == {}
    assert await missing(target, syncs, "/app/sub") == set()
    await target.close()


async def test_parents_are_checked_in_an_image_without_a_shell(
    api: Engine, image_of: ImageOf, boxes: list[str], tmp_path: Path
) -> None:
    """A link is a problem before the engine writes a file, running or not."""
    box = Box(image_of("scratch"), "user", tmp_path / "keep", boxes)
    target = await reach(api, box.id)
    _, syncs = edits(tmp_path / "src", "/app/sub/deep")
    assert (await target.deliver((), syncs)).failed == {}
    exchange_from_outside(box.id)
    for state in ("running", "stopped"):
        if state == "stopped":
            docker.docker("stop", "-t", "0", box.id)
            target = await reach(api, box.id)
        outcome = await target.deliver((), syncs)
        assert outcome.failed == dict.fromkeys([s.target for s in syncs], shell_commands.LINK)
        assert box.untouched()
    docker.docker("start", box.id)
    app = Path(f"/proc/{docker.inspect(box.id)['State']['Pid']}/root/app")
    (app / "sub").unlink()
    (app / "sub").symlink_to("sub")
    assert await api.archive.is_link(box.id, "/app/sub")


def exchange_from_outside(box: str) -> None:
    """Replace the folder /app/sub by a link, as the service may do."""
    app = Path(f"/proc/{docker.inspect(box)['State']['Pid']}/root/app")
    (app / "sub").rename(app / "old")
    (app / "sub").symlink_to("/keep")


OWNERS: list[tuple[Sequence[str], str, str]] = [
    (["--user=1000"], "chown 1000 /app", "1000:0"),
    (["--user=1000:2000"], "chown 1000:2000 /app", "1000:2000"),
    (["--user=daemon"], "chown daemon /app", "1:1"),
    (["--user=daemon:2000"], "true", "1:2000"),
    (["--user=1000:1000"], "chmod 2777 /app; chown 7:7 /app", "1000:1000"),
    (["--user=0"], "chown 1000:1000 /app", "0:0"),
    (["--user=1000:1000", "--tmpfs=/app:exec,uid=1000,gid=1000"], "true", "1000:1000"),
    (["--user=1000:1000", "--read-only", "--volume=/app"], "true", "1000:1000"),
]


@pytest.mark.parametrize(
    ("kind", "options", "before", "owner"),
    [
        (kind, *case)
        for kind in ("debian", "busybox")
        for case in OWNERS
        if kind == "debian" or "daemon" not in case[0][0]
    ],
    ids=str,
)  # that image of busybox has no names of users
async def test_files_have_the_services_owner_and_their_mode(
    api: Engine, image_of: ImageOf, boxes: list[str], kind: str, options: Sequence[str], before: str, owner: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Users by number or name, with or without a group, own files in their folder or in root's."""
    image = image_of(kind)
    name = unique_name("owner")
    boxes.append(name)
    box = docker.docker("run", "-d", f"--name={name}", *options, image.name, *image.command)
    docker.execute(box, "/bin/sh", "-c", f"mkdir -p /app; {before}", user="0")
    target = await reach(api, box)
    _, syncs = edits(tmp_path / "src", "/app/in/deep")
    assert (await target.deliver((), syncs)).failed == {}
    listing = docker.execute(box, "/bin/sh", "-c", "cd /app/in; stat -c '%n %u:%g %a' . deep deep/*", user="0")
    modes = {
        ".": 755,
        "deep": 755,
        "deep/large": 644,
        "deep/link": 777,
        "deep/made": 755,
        "deep/new.sh": 755,
        "deep/x.txt": 644,
    }
    sticky = {
        path: f"2{mode}" if "2777" in before and path in (".", "deep", "deep/made") else mode
        for path, mode in modes.items()
    }
    assert listing.splitlines() == [f"{path} {owner} {mode}" for path, mode in sticky.items()]
    await target.close()


@EVERY_SHELL
async def test_shell_runs_as_the_service_or_as_root(
    api: Engine, image_of: ImageOf, boxes: list[str], kind: str, tmp_path: Path
) -> None:
    """The shell runs as root from the first file on that the user cannot write."""
    box = Box(image_of(kind), "user", tmp_path / "keep", boxes)

    def users() -> set[str]:
        lines = docker.docker("top", box.id, "-o", "uid,pid,args").splitlines()
        return {line.split()[0] for line in lines if "DEVENV_SESSION" in line}

    box.root("mkdir /app/roots")
    target = await reach(api, box.id)
    _, syncs = edits(tmp_path / "src", "/app/own")
    assert (await target.deliver((), syncs)).failed == {}
    assert users() == {"1000"}
    _, syncs = edits(tmp_path / "src", "/app/roots/in")
    assert (await target.deliver((), syncs)).failed == {}
    assert users() == {"0"}
    other = await reach(api, box.id)
    await other.deliver((), syncs)
    await target.close()
    await other.close()


@EVERY_SHELL
async def test_target_behind_a_link_of_root_is_followed(
    api: Engine, image_of: ImageOf, boxes: list[str], kind: str, tmp_path: Path
) -> None:
    """A link is followed only if root alone can have created it."""
    image = image_of(kind)
    for number, (script, is_ours) in enumerate([("mkdir -p /srv/real; ln -s srv/real /app", True),
        ("mkdir -p /home/u /srv/real; ln -s /srv/real /home/u/app; chown 1000 /home/u; ln -s home/u/app /app", False),
    ]):  # fmt: skip
        name = unique_name("link")
        boxes.append(name)
        box = docker.docker("run", "-d", f"--name={name}", image.name, *image.command)
        docker.execute(box, "/bin/sh", "-c", script, user="0")
        target = await reach(api, box)
        _, syncs = edits(tmp_path / f"src{number}", "/app/sub")
        outcome: SyncOutcome = await target.deliver((), syncs)
        assert set(outcome.failed) == (set() if is_ours else {s.target for s in syncs})
        if is_ours:
            assert docker.read(box, "/srv/real/sub/x.txt") == "saved"
            assert (await target.deliver([Delete("/app/sub/x.txt", "x")], ())).deleted == 1
            assert docker.read(box, "/srv/real/sub/x.txt") is None
        await target.close()
