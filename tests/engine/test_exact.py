"""Files in the container equal the host's exactly: kinds, links, names, modes, whole files, and nothing else."""

from __future__ import annotations

import io
import itertools
import os
import random
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devenv.events import Executed, Restarted, Synced
from devenv.model.project import Action, Hook, WatchRule
from support import docker_cli
from support.edits import Edits, become
from support.naive import TARGET, in_container
from support.proxy import Call, Proxy
from support.rig import OWN, Rig

if TYPE_CHECKING:
    from engine.conftest import NewRig

pytestmark = pytest.mark.engine

CANARY = b"canary-%s" % os.urandom(8).hex().encode()
PUT_BY_SHELL = re.compile(rb"^([fa]) '[^']*' '\./([^']*)' '\\(\d{3})([^']*)'", re.MULTILINE)
EVERY_IMAGE = pytest.mark.parametrize(("kind", "user"), [("debian", 0), ("busybox", 1000)])
SOON = 5.0  # seconds
PUT_BY_HAND = re.compile(rb"p ([0-9a-f]{8,}) [0-9a-f]{8,} \d+ \d+ \d+ -?\d+ \d+ (\d+)\n")
ROUNDS = pytest.mark.parametrize("rounds", [2, pytest.param(50, marks=pytest.mark.long)])


def save(path: Path, text: str) -> None:
    """Replace a file as editors do: whole, in one step."""
    beside = path.with_name("saved~")
    beside.write_text(text)
    beside.rename(path)


@EVERY_IMAGE
@ROUNDS
def test_every_kind_of_path_replaces_every_other(new_rig: NewRig, kind: str, user: int, rounds: int) -> None:
    """Nothing, a file, a link, an empty and a full folder each replace each other, all at once."""
    kinds = ("nothing", "file", "link", "folder", "full")
    pairs = [*permutations(kinds, 2), ("full", "full")]
    rig = new_rig(kind, user)
    rig.path("pointed-at").mkdir()
    rig.path("pointed-at/stays").write_text("x")
    with rig.running():
        for lap in range(rounds):
            for number, (before, _) in enumerate(pairs):
                become(rig.path(f"flip{number}"), before, f"before {lap}")
            rig.settle()
            for number, (_, after) in enumerate(pairs):
                become(rig.path(f"flip{number}"), after, f"after {lap}")
            rig.settle()
    assert rig.problems == []


@pytest.mark.parametrize(
    ("kind", "user", "rounds"),
    [("busybox", 1000, 12), *(pytest.param(kind, 0, 500, marks=pytest.mark.long) for kind in ("debian", "busybox"))],
)
def test_paths_that_change_quickly_end_equal(new_rig: NewRig, kind: str, user: int, rounds: int) -> None:
    """A few names change their kind within milliseconds, and equal their last state in the end."""
    rig = new_rig(kind, user)
    with rig.running():
        for number in range(rounds):
            chance = random.Random(number)
            for step in range(40):
                kind_ = chance.choice(["nothing", "file", "link", "folder", "full"])
                become(rig.path(f"t{chance.randrange(6)}"), kind_, str(step))
                time.sleep(chance.choice([0, 0, 0, 0.001, 0.004]))
            rig.settle(2 * SOON)


@EVERY_IMAGE
@ROUNDS
def test_links_are_copied_and_never_followed(
    new_rig: NewRig, proxy: Proxy, tmp_path: Path, kind: str, user: int, rounds: int
) -> None:
    """Absolute, dangling, upward, circular and outside links are copied; their destinations are never sent."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(CANARY)
    rig = new_rig(kind, user, through=proxy)
    texts = {"absolute": "/etc/passwd", "dangling": "nowhere", "up": "../..", "one": "other", "other": "one"}
    with rig.running():
        for name, text in {**texts, "file": str(outside / "secret"), "folder": str(outside)}.items():
            rig.path(name).symlink_to(text)
        rig.settle()
        for lap in range(10 * rounds):
            place = rig.path(f"place{lap % 5}")
            become(place, "nothing", "")
            place.mkdir()
            (place / "secret").write_text(f"harmless {lap}")
            if not lap:
                rig.settle()  # this one is sent, even on a busy machine
            time.sleep(random.Random(lap).choice([0, 0.002, 0.005, 0.01]))
            become(place, "nothing", "")
            place.symlink_to(outside if lap % 2 else outside / "secret")
        rig.settle()
    assert len(rig.events_of(Synced)) > 1  # a busy machine syncs many changes at once
    sent = {call.target: bytes(call.body) + bytes(call.stream) for call in proxy.calls}
    harmless, canary = b"harmless"[1:], CANARY[1:]  # the shell gets the first byte of a file in another form
    assert any(harmless in content for content in sent.values())
    assert not [target for target, content in sent.items() if canary in content]


@EVERY_IMAGE
def test_link_to_itself_in_the_container_is_replaced(new_rig: NewRig, tmp_path: Path, kind: str, user: int) -> None:
    """The next save replaces the link."""
    rig = new_rig(kind, user)
    (box,) = rig.boxes.ids
    rig.path("f").write_text("1")
    (tmp_path / "f").symlink_to("f")
    with rig.running():
        rig.settle()
        docker_cli.execute(box, "rm", f"{TARGET}/f", user="0")
        docker_cli.docker("cp", str(tmp_path / "f"), f"{box}:{TARGET}/f")
        rig.path("f").write_text("2")
        rig.settle(SOON)


def test_folder_that_another_rule_names_is_deleted(new_rig: NewRig) -> None:
    """A folder of a second rule inside the path of the first rule is deleted."""
    rig = new_rig(more_rules=lambda source: [WatchRule(str(source / "conf"), Action.RESTART)])
    rig.path("conf").mkdir()
    rig.path("conf/k").write_text("k")
    with rig.running():
        rig.settle()
        rig.path("conf/k").unlink()
        rig.path("conf").rmdir()
        rig.settle(SOON)


def test_every_archive_is_valid_for_the_engine(new_rig: NewRig, proxy: Proxy) -> None:
    """Archives are uncompressed, below `/`, without a folder over anything else, and with owners only in the tar."""
    rig = new_rig("busybox", 0, through=proxy)
    with rig.running():
        for number in range(40):
            rig.path(f"{number % 3}").mkdir(exist_ok=True)
            rig.path(f"{number % 3}/{number}").write_text("x")
        rig.settle()
    puts = [call for call in proxy.calls if call.method == "PUT"]
    assert puts
    assert [call.query for call in puts] == [
        {"noOverwriteDirNonDir": ["1"], "copyUIDGID": ["0"], "path": ["/"]}
    ] * len(puts)
    assert {call.body[257:262] for call in puts} == {b"ustar"}


@pytest.mark.parametrize(("kind", "user"), [("debian", 0), pytest.param("busybox", 1000, marks=pytest.mark.long)])
def test_readers_never_miss_a_replaced_file(new_rig: NewRig, kind: str, user: int) -> None:
    """A file of 4 MiB, saved fifty times while the container reads it, is never absent or short."""
    rig = new_rig(kind, user)
    size = 4 << 20
    rig.path("big").write_bytes(bytes(size))
    (box,) = rig.boxes.ids
    look = f's=$(wc -c < {TARGET}/big 2>&1); n=$((n+1)); [ "$s" = {size} ] || echo bad $s'
    loop = f"n=0; while [ ! -e {TARGET}/made-here-stop ]; do {look}; done; echo looks $n"
    with rig.running():
        rig.settle()
        reader = subprocess.Popen(["docker", "exec", box, "sh", "-c", loop], stdout=subprocess.PIPE, text=True)
        for number in range(50):
            since = len(rig.events_of(Synced))
            rig.path("new").write_bytes(bytes([number]) * size)
            rig.path("new").rename(rig.path("big"))
            docker_cli.until(lambda known=since: len(rig.events_of(Synced)) > known, timeout=10)  # type: ignore[misc]
        docker_cli.execute(box, "touch", f"{TARGET}/made-here-stop", user="0")
        lines = reader.communicate(timeout=20)[0].split("\n")
        assert lines[0].startswith("looks"), lines[:5]
        assert int(lines[0].split()[1]) > 100
        rig.settle()


class Whole(list[Call]):
    """Records calls: how many files their archives had, and which of them had more than one letter."""

    def __init__(self) -> None:
        super().__init__()
        self.files = 0
        self.torn: list[str] = []

    def append(self, call: Call) -> None:
        """Record the call without its body."""
        if call.method == "PUT":
            with tarfile.open(fileobj=io.BytesIO(call.body)) as archive:
                for member in archive:
                    content = archive.extractfile(member)
                    self.files += 1
                    if content is not None and len(set(content.read())) > 1:
                        self.torn.append(member.name)
        super().append(replace(call, body=b""))

    def look_into_streams(self) -> None:
        """Record the files in the streams of open shells."""
        for call in self:
            at = 0
            while match := PUT_BY_HAND.search(call.stream, at):
                at = match.end() + int(match[2])
                self.files += 1
                if len(set(call.stream[match.end() : at])) > 1:
                    self.torn.append(match[1].decode())
            letters: set[int] = set()
            for verb, name, first, rest in PUT_BY_SHELL.findall(call.stream):
                if verb == b"f":
                    letters = set()
                    self.files += 1
                letters |= {int(first, 8), *rest}
                if len(letters) > 1:
                    self.torn.append(name.decode())


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [("busybox", 2), ("debian", 2), *(pytest.param(k, 60, marks=pytest.mark.long) for k in ("busybox", "debian"))],
)
def test_constantly_written_files_are_never_sent_torn(new_rig: NewRig, proxy: Proxy, kind: str, seconds: int) -> None:
    """Files with one letter, which changes 200 times a second, are never sent with two letters."""
    sizes = (1, 4096, 100_000, 400_000 if kind == "busybox" else 4_000_000)  # the shell takes longer than perl
    rig = new_rig(kind, through=proxy)
    for size in sizes:
        rig.path(f"f{size}").write_bytes(b"a" * size)
    proxy.calls = calls = Whole()
    writer = (
        "import os, sys, time\n"
        "files = [(os.open(f'f{s}', os.O_WRONLY), s) for s in map(int, sys.argv[2:])]\n"
        "end = time.monotonic() + float(sys.argv[1]); n = 0\n"
        "while time.monotonic() < end:\n"
        "    n += 1; file, size = files[n % len(files)]\n"
        "    os.pwrite(file, bytes([97 + n % 26]) * size, 0); time.sleep(0.005)\n"
    )
    with rig.running():
        rig.settle()
        argv = [sys.executable, "-c", writer, str(seconds), *map(str, sizes)]
        subprocess.run(argv, cwd=rig.source, check=True)
        rig.settle()
    calls.look_into_streams()
    assert calls.files > 5 * seconds
    assert calls.torn == []


def test_edit_with_the_same_size_and_time_is_synced(new_rig: NewRig) -> None:
    """A file whose old time is restored, in place or by a rename, is synced."""
    rig = new_rig()
    rig.path("one").write_text("before")
    rig.path("two").write_text("before")
    with rig.running():
        rig.settle()
        for name in ("one", "two"):
            was = rig.path(name).stat()
            beside = rig.path("two~") if name == "two" else rig.path(name)
            beside.write_text("behind")
            os.utime(beside, ns=(was.st_atime_ns, was.st_mtime_ns))
            beside.rename(rig.path(name))
            rig.settle(SOON)


@EVERY_IMAGE
@pytest.mark.parametrize("operations", [90, pytest.param(1000, marks=pytest.mark.long)])
def test_files_made_by_the_container_are_never_removed(
    new_rig: NewRig, tmp_path: Path, kind: str, user: int, operations: int
) -> None:
    """Files of the container in synced folders survive all that the host does; the rest is equal."""
    rig = new_rig(kind, user)
    edits = Edits(rig.source, tmp_path / "outside", CANARY)
    chance = random.Random(18)
    planted: list[str] = []
    with rig.running():
        for number in range(operations):
            names = chance.choices([b"a", b"b", b"c"], k=chance.randint(1, 3))
            first, second = chance.randrange(99), chance.randrange(99)
            choices: list[tuple[Callable[..., None], tuple[object, ...]]] = [
                (edits.burst, (names, 3)),
                (edits.remove, (first,)),
                (edits.rename, (first, names)),
                (edits.move_out, (first,)),
                (edits.move_in, (names,)),
                (edits.flip, (first, second)),
            ]
            edit, args = chance.choice(choices)
            edits.do(edit, *args)
            if number % 15 == 0:
                rig.settle()
                planted += plant(rig, number)
        rig.settle()
        (box,) = rig.boxes.ids
        paths = {os.fsdecode(path) for path in in_container(box)[0]}
    assert len(planted) >= 10
    assert set(planted) <= paths


def plant(rig: Rig, number: int) -> list[str]:
    """Create a file in up to two of the container's folders; one that no longer exists gives way to another."""
    (box,) = rig.boxes.ids
    folders = sorted(os.fsdecode(path) for path, entry in in_container(box)[0].items() if entry.kind == "folder")
    random.Random(number).shuffle(folders)
    paths = (f"{folder}/{OWN.decode()}-{number}" for folder in folders)
    made = (p for p in paths if docker_cli.succeeds("exec", "--user", "0", box, "touch", f"{TARGET}/{p}"))
    return [*itertools.islice(made, 2)]


@pytest.mark.parametrize("files", [200, pytest.param(10_000, marks=pytest.mark.long)])
def test_many_checkouts_end_equal(new_rig: NewRig, tmp_path: Path, files: int) -> None:
    """Branches that differ in every file, switched repeatedly, are equal with at most one restart."""
    restarts = WatchRule("", Action.RESTART)
    rig = new_rig(more_rules=lambda source: [WatchRule(str(source), restarts.action)])

    def git(*argv: str) -> list[str]:
        return ["git", f"--git-dir={rig.source.parent / '.git'}", f"--work-tree={rig.source}", "-c", "user.name=x",
                "-c", "user.email=x", "-c", "gc.auto=0", *argv]  # fmt: skip

    def run(*argv: str) -> None:
        subprocess.run(git(*argv), check=True, capture_output=True)

    run("init", "-b", "one")
    for branch in ("one", "two"):
        for number in range(files):
            name = f"{number % 37}/{branch if number % 5 == 0 else 'both'}{number % 3}/n{number}"
            rig.path(name).parent.mkdir(parents=True, exist_ok=True)
            rig.path(name).write_text(f"{branch} {number}")
        run("add", "-A")
        run("commit", "-m", branch)
        if branch == "one":
            run("checkout", "-b", "two")
            run("rm", "-rq", ".")
    chance = random.Random(19)
    with rig.running():
        rig.settle()
        for number in range(6):
            cut = chance.random() < 0.4
            child = subprocess.Popen(git("checkout", "-f", "one" if number % 2 == 0 else "two"),
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
            if cut:
                time.sleep(chance.random() * 0.1)
                child.kill()
            child.wait(60)
            (rig.source.parent / ".git/index.lock").unlink(missing_ok=True)
            time.sleep(chance.choice([0, 0.3]))
        assert rig.settle() < 60
        docker_cli.until(lambda: bool(rig.events_of(Restarted)), timeout=20)  # a busy machine restarts late
        time.sleep(2)
        since = len(rig.events_of(Restarted))
        run("checkout", "-f", "one")
        rig.settle()
        docker_cli.until(lambda: len(rig.events_of(Restarted)) > since, timeout=10)
        time.sleep(1.5)
        assert len(rig.events_of(Restarted)) == since + 1
        rig.settle()


@EVERY_IMAGE
def test_failing_path_does_not_stop_others(new_rig: NewRig, tmp_path: Path, kind: str, user: int) -> None:
    """With a container's folder in the way, and a read-only place, the rest arrives; each is reported once."""
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    os.chown(sealed, user, user)
    rig = new_rig(kind, user, f"--volume={sealed}:{TARGET}/sealed:ro")
    (box,) = rig.boxes.ids
    docker_cli.execute(box, "mkdir", "-p", f"{TARGET}/f7/made-here", user="0")
    docker_cli.execute(box, "chown", f"{user}:{user}", TARGET, user="0")
    with rig.running():
        rig.path("sealed").mkdir()
        rig.path("sealed/inside").write_text("x")
        for number in range(100):
            rig.path(f"f{number}").write_text(str(number))
        docker_cli.until(
            lambda: sum(
                path.startswith(b"f") for path, entry in in_container(box)[0].items() if entry.kind == "file"
            ),
            lambda arrived: arrived == 99,
            timeout=10,
        )
        docker_cli.until(lambda: len(rig.problems) >= 2, timeout=5)
        rig.path("f1").write_text("later")
        docker_cli.until(lambda: docker_cli.read(box, f"{TARGET}/f1"), lambda text: text == "later", timeout=5)
        time.sleep(1.5)
        names = sorted(str(problem.path).rpartition("/")[2] for problem in rig.problems)
        assert names == ["f7", "inside"], rig.problems
        rig.path("sealed/inside").unlink()
        docker_cli.execute(box, "rm", "-r", f"{TARGET}/f7", user="0")
        rig.settle()


@EVERY_IMAGE
def test_modes_and_sizes_of_files_are_synced(new_rig: NewRig, kind: str, user: int) -> None:
    """Permissions without setuid bits, empty files and folders, and a sparse file are synced."""
    rig = new_rig(kind, user)
    with rig.running():
        for mode in (0o755, 0o600, 0o444, 0o000, 0o4755, 0o2755, 0o1777):
            rig.path(f"{mode:o}").write_text("x")
            rig.path(f"{mode:o}").chmod(mode)
        rig.path("empty file").touch()
        rig.path("empty/folder").mkdir(parents=True)
        with rig.path("sparse").open("wb") as file:
            file.seek(2 << 20)
            file.write(b"end")
        rig.settle()
        (box,) = rig.boxes.ids
        special = docker_cli.execute(box, "sh", "-c", f"cd {TARGET}; for f in 4755 2755 1777; do [ -u $f ] || [ -g $f ] || [ -k $f ] && echo $f; done; true")  # fmt: skip  # noqa: E501 - one line of shell
        assert special == ""


def test_both_names_of_a_hard_link_are_synced(new_rig: NewRig) -> None:
    """A write or chmod by one name changes the other, too; a delete does not."""
    rig = new_rig()
    with rig.running():
        rig.path("first").write_text("one file")
        os.link(rig.path("first"), rig.path("second"))
        rig.path("third").write_text("another")
        os.link(rig.path("third"), rig.path("fourth"))
        rig.settle()
        with rig.path("second").open("a") as file:
            file.write(" with two names")
        rig.path("third").chmod(0o640)
        rig.settle()
        rig.path("first").unlink()
        rig.settle()


def test_special_files_are_reported_and_never_opened(new_rig: NewRig) -> None:
    """Pipes, sockets and devices are reported once each; a file that replaces one is synced."""
    rig = new_rig()
    with rig.running():
        os.mkfifo(rig.path("pipe"))
        rig.path("after").write_text("not held up")
        rig.settle(5)
        os.mknod(rig.path("socket"), 0o140600)  # at once, they would be one line
        rig.path("after").write_text("nor now")
        rig.settle(5)
        for _ in range(3):
            os.utime(rig.path("pipe"))
            rig.path("after").write_text("again")
            rig.settle(5)
        assert sorted(str(problem.path) for problem in rig.problems) == [
            str(rig.path("pipe")),
            str(rig.path("socket")),
        ]
        rig.path("pipe").unlink()
        rig.path("pipe").write_text("a file by now")
        rig.settle(5)


@pytest.mark.parametrize("rounds", [2, pytest.param(40, marks=pytest.mark.long)])
def test_file_is_in_place_before_its_command_or_restart(new_rig: NewRig, rounds: int) -> None:
    """Each command or restart happens once per save, after the file has arrived."""
    hook = Hook(("cat", f"{TARGET}/gen"))
    rules: Callable[[Path], Sequence[WatchRule]] = lambda source: [  # noqa: E731 - one value
        WatchRule(str(source / "gen"), Action.SYNC_EXEC, f"{TARGET}/gen", exec=hook),
        WatchRule(str(source / "conf"), Action.SYNC_RESTART, f"{TARGET}/conf"),
    ]
    script = f"cat {TARGET}/conf; exec sleep 100000"
    rig = new_rig(command=("sh", "-c", script), more_rules=rules)
    (box,) = rig.boxes.ids
    rig.path("there").write_text("x")  # after the file has arrived, the container is known
    with rig.running():
        rig.settle()
        for number in range(rounds):
            save(rig.path("gen"), f"gen {number}")
            docker_cli.until(lambda want=number: len(rig.events_of(Executed)) == want + 1, timeout=10)  # type: ignore[misc]
            assert rig.events_of(Executed)[-1].output == f"gen {number}"
            save(rig.path("conf"), f"conf {number}\n")
            docker_cli.until(lambda want=number: len(rig.events_of(Restarted)) == want + 1, timeout=20)  # type: ignore[misc]
            docker_cli.until(
                lambda: docker_cli.docker("logs", "--tail=1", box),
                lambda last, want=number: last == f"conf {want}",  # type: ignore[misc]
                timeout=5,
            )
        time.sleep(0.5)
        assert (len(rig.events_of(Executed)), len(rig.events_of(Restarted))) == (rounds, rounds)
