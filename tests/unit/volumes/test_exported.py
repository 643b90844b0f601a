"""Exported snapshots are imported again, and nothing but our exports is accepted."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import resource
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from devenv.errors import StateError
from devenv.model.snapshot import Snapshot
from devenv.volumes import exported
from devenv.volumes.store import Store
from unit.volumes.test_store import files, put, tar

LIMITS = {"limit": 10**9, "single": 10**8}
REFUSED = "not an exported snapshot, or it is damaged"
ZEROS = 4_000_000  # bytes that compress a thousandfold


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    (tmp_path / "store").mkdir(mode=0o700)
    return Store(str(tmp_path / "store"))


def packed(store: Store, *snapshots: Snapshot) -> bytes:
    """Export these snapshots, and remove them from the store."""
    out = io.BytesIO()
    exported.pack(store, snapshots, out)
    for snapshot in snapshots:
        store.remove(snapshot)
    return out.getvalue()


def unpack(store: Store, content: bytes, **limits: int) -> tuple[Snapshot, ...]:
    """The content taken in."""
    return exported.unpack(store, io.BytesIO(content), **(LIMITS | limits))


def made(*entries: tuple[str | tarfile.TarInfo, bytes], index: object = None) -> bytes:
    """A tar of these entries, with an index that fits its notes unless another is given."""
    out = io.BytesIO()
    right = {n.removesuffix(".json"): digest(c) for n, c in entries if isinstance(n, str) and n.endswith(".json")}
    last = ("index", json.dumps(right if index is None else index).encode())
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in (*entries, *([last] if index is not False else [])):
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pair(
    archive: bytes | None = None, name: str = "data", **more: Any
) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    """The note and the archive of a volume, valid unless given otherwise."""
    plain = tar(file=b"x" * 1000)
    archive = gzip.compress(plain) if archive is None else archive
    about = Snapshot("1", "data", "p_data", "p", "/p", "e", time.time(), len(plain), len(archive), digest(archive))
    note = json.dumps(asdict(about) | more).encode()
    return (f"{name}.json", note), (f"{name}.tar.gz", archive)


def test_exported_snapshot_is_imported(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It gets a new id, and is never removed automatically; long and odd names are kept, too."""
    long = "ä" * 40  # a name that only a pax header can hold
    pair = put(store, volume="a"), put(store, volume="b", content=tar(x=b"y")), put(store, volume=long, title="t")
    out = io.BytesIO()
    exported.pack(store, pair, out)
    other = Store(str(tmp_path_factory.mktemp("other")))
    taken = unpack(other, out.getvalue())
    assert other.all() == tuple(sorted(taken, key=lambda s: (s.created, s.volume)))
    assert [(s.volume, s.digest, s.automatic) for s in taken] == [(s.volume, s.digest, False) for s in pair]
    for entry in taken:
        other.check(entry)
    assert len(unpack(store, out.getvalue())) == 3
    assert len(store.all()) == 6
    assert all(p.stat().st_mode & 0o077 == 0 for p in Path(other.path).rglob("*"))
    assert sorted(os.listdir(other.path)) == [taken[0].id]


def test_valid_export_is_accepted(store: Store) -> None:
    """The tests of refusals below change one part of this export."""
    (imported,) = unpack(store, made(*pair()))
    store.check(imported)
    assert store.all() == (imported,)
    assert len(unpack(store, made(*pair(lineage="theirs", parent="x", later=3)))) == 1
    assert [(s.lineage, s.parent) for s in store.all()] == [("", "")] * 2


def test_invalid_export_is_refused(store: Store) -> None:
    """Cut anywhere, between its entries too, changed, or something else: an error, and nothing in the store."""
    content = packed(store, put(store, volume="a"), put(store, volume="b"))
    with tarfile.open(fileobj=io.BytesIO(content)) as entries:
        borders = [member.offset for member in entries]
    changed = content.replace(b'"project": "p"', b'"project": "q"', 1)
    end = len(content.rstrip(b"\0"))
    tipped = bytearray(content)
    tipped[end - 5000] ^= 1
    for bad in (b"", b"x" * 600, *(content[: end * n // 20] for n in range(20)), bytes(tipped), changed,
                *(content[:border] for border in borders), tar(a=b"b"),
                tar(**{"../x.json": b"{}", "../x.tar.gz": b""})):  # fmt: skip
        with pytest.raises(StateError, match=REFUSED):
            unpack(store, bad)
        assert os.listdir(store.path) == []


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_is_not_unpacked(store: Store, compress: Any) -> None:
    """The export itself is not compressed: there is nothing to unpack without bounds."""
    content = packed(store, put(store))
    with pytest.raises(StateError, match=REFUSED):
        unpack(store, compress(content))
    assert os.listdir(store.path) == []


def entry(name: str, kind: bytes = tarfile.REGTYPE, **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in more.items():
        setattr(info, key, value)
    return info, b""


def extended(size: int) -> bytes:
    """A tar with a pax header of that size."""
    info = tarfile.TarInfo("x")
    info.pax_headers = {"comment": "x" * size}
    return info.tobuf(tarfile.PAX_FORMAT) + bytes(10240)


def special(kind: bytes) -> bytes:
    """A tar with an entry of that kind."""
    return entry("x", kind)[0].tobuf(tarfile.GNU_FORMAT) + bytes(10240)


NOW = time.time()
ZIPPED = gzip.compress(tar(file=b"x" * 1000))
CUT = tar(file=b"x" * 90_000)[:20480] + bytes(1024)
HUGE = extended(2_000_000)
SPARSE = special(tarfile.GNUTYPE_SPARSE)
BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (made(), "nothing but an index"),
    "no index": (made(*pair(), index=False), "no index"),
    "another index": (made(*pair(), index={"data": "0" * 64}), "index does not match"),
    "index is a list": (made(*pair(), index=[]), "index does not match"),
    "deep index": (made(*pair(), ("index", b"[" * 100_000), index=False), "index does not match"),
    "large index": (made(*pair(), ("index", b" " * 300_000), index=False), "too large"),
    "more behind": (made(*pair(), ("index", made(*pair())[2048:2200]), index={}), "does not match|behind"),
    "twice": (made(*pair(), *pair()), "unexpected entry"),
    "note alone": (made(pair()[0]), "does not follow its note"),
    "archive alone": (made(pair()[1]), "unexpected entry"),
    "archive first": (made(*reversed(pair())), "unexpected entry"),
    "another's archive": (made(pair()[0], ("other.tar.gz", ZIPPED)), "does not follow its note"),
    "another volume": (made(*pair(volume="other")), "about another volume"),
    "folder": (made(entry("data", tarfile.DIRTYPE), *pair()), "unexpected entry"),
    "link": (made(entry("data.json", tarfile.SYMTYPE, linkname="/etc/passwd")), "unexpected entry"),
    "hard link": (made(entry("data.json", tarfile.LNKTYPE, linkname="/etc/passwd")), "unexpected entry"),
    "device": (made(entry("data.json", tarfile.CHRTYPE, devmajor=1)), "unexpected entry"),
    "fifo": (made(entry("data.json", tarfile.FIFOTYPE)), "unexpected entry"),
    "sparse": (made(entry("data.json", tarfile.GNUTYPE_SPARSE)), "unexpected entry"),
    "path": (made(*pair(name="a/b", volume="a/b")), "unexpected entry"),
    "another spelling": (made(*pair(name="d%61ta")), "unexpected entry"),
    "empty name": (made(*pair(name="", volume="")), "empty or too long"),
    "long name": (made(*pair(name="x" * 250, volume="x" * 250)), "empty or too long"),
    "long header": (made(*pair(), entry("x", pax_headers={"comment": "x" * 20_000})), "too large"),
    "long title": (made(*pair(title="x" * 5000)), "`title` is too long"),
    "large note": (made(*pair(more="x" * 70_000)), "too large"),
    "future": (made(*pair(created=NOW + 7200)), "in the future"),
    "infinite": (made(*pair(created=float("inf"))), "Infinity is not a number"),
    "never": (made(*pair(created=float("nan"))), "NaN is not a number"),
    "out of the calendar": (made(*pair(created=1e18)), "`created` is out of range"),
    "before time": (made(*pair(created=-5.0)), "`created` is out of range"),
    "kind": (made(*pair(size="7")), "`size` is not a int"),
    "stored more": (made(*pair(stored=5)), "does not follow its note"),
    "too large": (made(*pair(size=2 * 10**9)), "larger than 1.0 GB"),
    "stored too large": (made(*pair(stored=2 * 10**9)), "larger than 1.0 GB"),
    "thousandfold": (made(*pair(size=5 * 10**8)), "holds 500 MB in"),
    "digest": (made(*pair(digest="0" * 64)), "not what its note says"),
    "size less": (made(*pair(size=512)), "holds more than its note says"),
    "size more": (made(*pair(size=99_999)), "not what its note says"),
    "no gzip": (made(*pair(tar(file=b"x"))), "header|not what"),
    "bzip2": (made(*pair(bz2.compress(tar(file=b"x")))), "header"),
    "cut gzip": (made(*pair(ZIPPED[:-9])), "not what its note says"),
    "two gzips": (made(*pair(ZIPPED + ZIPPED)), "holds more than its note says"),
    "behind gzip": (made(*pair(ZIPPED + b"\0" * 5000)), "header"),
    "no tar": (made(*pair(gzip.compress(b"x" * 10240))), "that is not a tar"),
    "cut tar": (made(*pair(gzip.compress(CUT), size=len(CUT))), "not what its note says"),
    "huge header": (made(*pair(gzip.compress(HUGE), size=len(HUGE))), "unexpected entry"),
    "sparse inside": (made(*pair(gzip.compress(SPARSE), size=len(SPARSE))), "unexpected entry"),
    "bomb": (made(*pair(gzip.compress(bytes(50_000_000)))), "holds more than its note says"),
    "too many": (made(*(half for n in range(257) for half in pair(name=f"v{n}", volume=f"v{n}"))), "more than 256"),
}


@pytest.mark.parametrize(("content", "why"), BAD.values(), ids=list(BAD))
def test_a_hostile_export_is_refused(store: Store, content: bytes, why: str) -> None:
    """The error has the reason, and the store is unchanged."""
    kept = put(store, volume="mine")
    before = files(store)
    with pytest.raises(StateError, match=f"{REFUSED}: .*({why})") as raised:
        unpack(store, content)
    assert raised.value.hint == "Export it again: devenv snapshot export NAME FILE"
    assert files(store) == before
    assert sorted(os.listdir(store.path)) == [kept.id]


def test_a_clock_that_is_a_little_ahead_is_no_reason(store: Store) -> None:
    """Two machines never agree to the second."""
    assert len(unpack(store, made(*pair(created=time.time() + 200)))) == 1


def test_what_is_mostly_zeros_is_taken_in(store: Store) -> None:
    """A sparse file compresses a thousandfold: it is refused only if the volume is large, too."""
    put(store, content=tar(zeros=bytes(ZEROS)))
    content = packed(store, *store.all())
    assert len(content) < ZEROS // 100
    (imported,) = unpack(store, content)
    store.remove(imported)
    with pytest.raises(StateError, match=r"holds 4\.0 MB in"):
        unpack(store, content, single=ZEROS // 2)
    assert os.listdir(store.path) == []


def test_an_id_that_was_just_taken_is_not_written_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other set with that name stays, and the imported set gets another id."""
    kept = put(store, set_id="taken")
    ids = iter(["taken", "next"])
    monkeypatch.setattr(Store, "new_id", lambda _: next(ids))
    (imported,) = unpack(store, made(*pair()))
    assert (imported.id, {s.id for s in store.all()}) == ("next", {"next", kept.id})


def test_a_full_disk_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not the export that is to blame, and nothing is left."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for place in ("os.fsync", "private_files.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(f"devenv.volumes.exported.{place}", full)
            with pytest.raises(StateError, match="could not be stored: No space left") as raised:
                unpack(store, made(*pair()))
        assert raised.value.hint == f"df -h {store.path}"
        assert os.listdir(store.path) == []


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, int]]:
    """The end to read of a pipe, and a descriptor of the other."""
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as file:
        yield file, writer
    os.close(writer)


@pytest.mark.parametrize("sent", [b"", b"x" * 100, made(*pair())[:3000]])
def test_silent_input_times_out(
    store: Store, sent: bytes, pipe: tuple[io.FileIO, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that stays open and silent."""
    monkeypatch.setattr(exported, "SILENCE", 0.1)
    reader, writer = pipe
    os.write(writer, sent)
    with pytest.raises(StateError, match="no data for"):
        exported.unpack(store, reader, **LIMITS)
    assert os.listdir(store.path) == []


def test_slow_input_times_out(store: Store, pipe: tuple[io.FileIO, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is not enough."""
    monkeypatch.setattr(exported, "AT_MOST", -1.0)
    with pytest.raises(StateError, match="takes longer than"):
        exported.unpack(store, pipe[0], **LIMITS)
    assert os.listdir(store.path) == []


IMPORT = """
import sys
from devenv.cli.main import run
sys.exit(run(["snapshot", "import", *sys.argv[1:]]))
"""


def importing(tmp_path: Path, *words: str, **more: Any) -> subprocess.Popen[bytes]:
    """`devenv snapshot import` as a process of its own, with a state folder of the test's."""
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    argv = [sys.executable, "-c", IMPORT, *words]
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_an_import_that_is_ended_leaves_nothing(tmp_path: Path, sign: signal.Signals) -> None:
    """Ctrl-C removes the partial import; after SIGKILL the next tidy does, but not one that is running."""
    folder = tmp_path / "state/devenv-compose/snapshots"
    large = made(*pair(archive=gzip.compress(tar(file=os.urandom(5_000_000))), size=6_000_000))
    with (
        importing(tmp_path, "-", stdin=subprocess.PIPE) as child,
        importing(tmp_path, "-", stdin=subprocess.PIPE) as other,
    ):
        for process in (child, other):
            assert process.stdin is not None
            process.stdin.write(large[: len(large) // 2])
            process.stdin.flush()
        deadline = time.monotonic() + 20
        while len([path for path in folder.glob(".in*/*.gz") if path.stat().st_size]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child.send_signal(sign)
        child.wait(20)
        assert child.returncode == (130 if sign == signal.SIGINT else -9)
        Store(str(folder)).tidy()
        assert len(os.listdir(folder)) == 1, "what the other one is at"
        other.kill()
        other.wait(20)
    Store(str(folder)).tidy()
    assert os.listdir(folder) == []


def test_a_bomb_costs_nothing(tmp_path: Path) -> None:
    """A bz2 of a few KB, which was unpacked to gigabytes of memory, is refused at once in little memory."""
    bomb = tmp_path / "bomb"
    bomb.write_bytes(bz2.compress(bytes(40_000_000)) * 30)
    began = time.monotonic()
    with importing(
        tmp_path, str(bomb), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))
    ) as child:
        output, _ = child.communicate(timeout=30)
    assert child.returncode == 3, output
    assert b"not an exported snapshot, or it is damaged" in output
    assert time.monotonic() - began < 20
    assert os.listdir(tmp_path / "state/devenv-compose/snapshots") == []


def test_every_note_can_be_listed(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An unreadable note is left out; the others are listed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    mine = Store.at_home()
    good = put(mine)
    note = Path(mine.path, good.id, "data.json").read_text()
    for number, created in enumerate(("1e18", "Infinity", "NaN", "-1", '"x"', "null", "9" * 5000)):
        folder = Path(mine.path, f"bad{number}")
        folder.mkdir(mode=0o700)
        bad = json.dumps(asdict(replace(good, id=f"bad{number}"))).replace(str(good.created), created)
        assert bad != note
        (folder / "data.json").write_text(bad)
        (folder / "data.tar.gz").write_bytes(b"")
    child = subprocess.run(
        [sys.executable, "-m", "devenv", "snapshot", "list"], capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in child.stdout.splitlines()] == ["ID", good.id]
