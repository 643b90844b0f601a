"""Reading the headers of tars of any origin."""

from __future__ import annotations

import io
import random
import tarfile

import pytest

from devenv.state.tar_headers import TarWalk, records


def tree(form: int) -> bytes:
    """A tar with everything that a volume may hold: long names, links, devices, attributes, empty files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for number, kind in enumerate(
            (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
        ):
            info = tarfile.TarInfo(f"{'long/' * 60}{number}")
            info.type, info.linkname = kind, "elsewhere/" * 30
            archive.addfile(info)
        for size in (0, 1, 511, 512, 513, 100_000):
            info = tarfile.TarInfo(f"{'ä' * 120}{size}")
            info.size = size
            info.pax_headers = {"SCHILY.xattr.user.x": "\udcff\n12 y=z\n"} if form == tarfile.PAX_FORMAT else {}
            archive.addfile(info, io.BytesIO(b"\1" * size))
    return out.getvalue()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("most", [1, 7, 512, 1000, 1 << 20])
def test_every_tar_is_walked_to_its_end(form: int, most: int) -> None:
    """Any format is read, in pieces of any size."""
    content, walk, dice = tree(form), TarWalk(), random.Random(most)
    at = 0
    while at < len(content):
        step = dice.randint(1, most)
        walk.take(content[at : at + step])
        at += step
    assert walk.is_over


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_tar_that_is_cut_is_not_over(form: int) -> None:
    """A tar with a flipped bit in a header is not complete either."""
    content = tree(form)
    walk = TarWalk()
    walk.take(content[:60_000])
    assert not walk.is_over
    with pytest.raises(ValueError, match="not a tar"):
        TarWalk().take(bytes([content[0] ^ 1]) + content[1:])


def test_the_size_of_a_large_file_is_in_its_pax_header() -> None:
    """As Go writes it beyond 8 GiB: the size in the header itself says nothing then."""
    info = tarfile.TarInfo("large")
    info.size = 9 << 30
    head = info.tobuf(tarfile.PAX_FORMAT)
    assert b" size=9663676416\n" in head
    walk = TarWalk()
    walk.take(head)
    walk.take(bytes(512))
    assert not walk.is_over, "that was content"


@pytest.mark.parametrize(
    "content", [b"x", b"5 a=b", b"99 a=b\n", b"0 a=b\n", b"6 ab\n", b" 5 a=b\n", b"12345678 a=b\n"]
)
def test_a_malformed_header_is_refused(content: bytes) -> None:
    """It raises ValueError at once."""
    with pytest.raises(ValueError, match="malformed"):
        records(content)
