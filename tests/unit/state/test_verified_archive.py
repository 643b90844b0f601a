"""Stored archives: whether one is part of another."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devenv.state import verified_archive
from devenv.state.verified_archive import Draft

BIG = random.Random(1).randbytes(1_200_000)
Entry = tuple[str, bytes, bytes | str]  # name, kind, content or target


def archive(path: Path, entries: Sequence[Entry], *, mode: int = 0o644) -> str:
    """The archive of a volume with these entries, stored as the vault stores it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, content in [(".devenv-volume/", tarfile.DIRTYPE, b""), *entries]:
            info = tarfile.TarInfo(f".devenv-volume/{name}" if name != ".devenv-volume/" else name)
            info.type, info.mode = kind, mode
            info.linkname = content if isinstance(content, str) else ""
            info.size = 0 if isinstance(content, str) else len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    with open(path, "w+b") as file:
        draft = Draft(file, 10**9)
        draft.write(out.getvalue())
        draft.finish(str(path))
    return str(path)


def a_file(name: str, content: bytes) -> Entry:
    """A regular file."""
    return name, tarfile.REGTYPE, content


FOLDER: Entry = ("d", tarfile.DIRTYPE, b"")
LINK: Entry = ("l", tarfile.SYMTYPE, "d/a")
HARD: Entry = ("h", tarfile.LNKTYPE, ".devenv-volume/d/a")
FIFO: Entry = ("p", tarfile.FIFOTYPE, b"")
WHOLE = (FOLDER, a_file("d/a", b"hello world"), LINK, HARD, FIFO, a_file("big", BIG), a_file("empty", b""))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((), True),
        (WHOLE, True),
        (WHOLE[:2], True),
        ((FOLDER, a_file("d/a", b"hello")), True),
        ((FOLDER, a_file("d/a", b"")), True),
        ((a_file("big", BIG[:1_100_001]),), True),
        ((a_file("big", BIG[:-1]), FOLDER, LINK), True),
        ((FOLDER, a_file("d/a", b"hallo")), False),
        ((FOLDER, a_file("d/a", b"hello_world")), False),
        ((FOLDER, a_file("d/a", b"hello world!")), False),
        ((FOLDER, a_file("d/b", b"hello world")), False),
        ((a_file("big", BIG[:1_050_000] + b"x" + BIG[1_050_001:1_100_000]),), False),
        ((a_file("big", BIG[:-1] + b"x"),), False),
        ((*WHOLE, a_file("new", b"")), False),
        ((*WHOLE, ("e", tarfile.DIRTYPE, b"")), False),
        ((("l", tarfile.SYMTYPE, "d/b"),), False),
        ((("l", tarfile.REGTYPE, b""),), False),
        ((("d", tarfile.REGTYPE, b""),), False),
        ((("d/a", tarfile.DIRTYPE, b""),), False),
        ((("d/a", tarfile.SYMTYPE, "/etc/passwd"),), False),
        ((("h", tarfile.LNKTYPE, ".devenv-volume/big"),), False),
        ((("p", tarfile.REGTYPE, b""),), False),
        ((a_file("empty", b"x"),), False),
    ],
    ids=[
        "nothing", "all", "the first ones", "a cut file", "an empty beginning", "a large cut file",
        "cut by one byte", "a changed beginning", "changed inside", "longer", "another file", "changed far inside",
        "changed at the end", "a new file", "a new folder", "a link elsewhere", "a file for a link",
        "a file for a folder", "a folder for a file", "a link for a file", "a hard link to another",
        "a file for a fifo", "content in an empty file",
    ],
)  # fmt: skip
def test_archives_that_are_part_of_another(tmp_path: Path, entries: Sequence[Entry], expected: bool) -> None:
    """A partial restore is a part, also with a file cut in the middle; with data written by others it is not."""
    whole, part = archive(tmp_path / "whole", WHOLE), archive(tmp_path / "part", entries)
    assert verified_archive.is_part(part, whole) is expected


@pytest.mark.parametrize(
    ("entries", "expected"), [((), True), ((FOLDER,), False), ((a_file("empty", b""),), False), ((LINK,), False)]
)
def test_empty_archives(tmp_path: Path, entries: Sequence[Entry], expected: bool) -> None:
    """An empty folder may have a meaning, unlike a volume without an entry."""
    assert verified_archive.is_empty(archive(tmp_path / "part", entries)) is expected


def test_modes_are_set_last(tmp_path: Path) -> None:
    """A restore that was cut off leaves them as they were created."""
    whole, part = archive(tmp_path / "whole", WHOLE), archive(tmp_path / "part", WHOLE[:3], mode=0o600)
    assert verified_archive.is_part(part, whole)


@pytest.mark.parametrize("damage", ["gone", "empty", "cut in the middle", "another byte", "no archive"])
@pytest.mark.parametrize("which", ["whole", "part"])
def test_a_damaged_archive_is_no_proof(tmp_path: Path, which: str, damage: str) -> None:
    """The result is an error that the caller handles, or an answer that keeps the data."""
    paths = {name: Path(archive(tmp_path / name, WHOLE)) for name in ("whole", "part")}
    path = paths[which]
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        at = len(content) // 2
        tipped = content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]
        changes = {"empty": b"", "cut in the middle": content[:at], "another byte": tipped, "no archive": b"x" * 2000}
        path.write_bytes(changes[damage])
    try:
        is_part = verified_archive.is_part(str(paths["part"]), str(paths["whole"]))
    except verified_archive.UNREADABLE:
        is_part = False
    assert not is_part


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=20)),
    st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=20)),
)
def test_random_archives_that_are_part_of_another(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, bytes], other: dict[str, bytes]
) -> None:
    """An archive is a part exactly if each file is the beginning of the saved one."""
    folder = tmp_path_factory.mktemp("volumes")
    part, whole = (
        archive(folder / name, [a_file(key, content) for key, content in files.items()])
        for name, files in (("part", first), ("whole", other))
    )
    expected = all(key in other and other[key].startswith(content) for key, content in first.items())
    assert verified_archive.is_part(part, whole) is expected
