"""Finding snapshots, choosing those to remove, and the database in an image."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.model import snapshot as snapshots
from devenv.model.snapshot import (
    KEPT_EACH,
    Reader,
    Snapshot,
    ago,
    database,
    expendable,
    named,
    shown,
    system,
    unsaved,
)

ONE = Snapshot("1", "data", "p_data", "p", "/p", "unix:///x", created=1.0, size=100, stored=10, digest="d")


def made(at: float, **more: object) -> Snapshot:
    """A snapshot of that moment."""
    return replace(ONE, id=f"at-{at:g}", created=at, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variables", "reference", "expected"),
    [
        ({"MYSQL_VERSION": "9.2.0-1.el9"}, "whatever", "mysql 9"),
        ({"MYSQL_MAJOR": "8.4"}, "x", "mysql 8"),
        ({"PG_MAJOR": "17", "PG_VERSION": "17.2-1.pgdg120+1"}, "x", "postgres 17"),
        ({"MARIADB_VERSION": "1:11.4.2+maria~ubu2404"}, "x", "mariadb 11"),
        ({"MONGO_VERSION": "8.0.1"}, "x", "mongo 8"),
        ({}, "mysql:9.1", "mysql 9"),
        ({}, "registry:5000/library/postgres:16-alpine@sha256:00", "postgres 16"),
        ({}, "mysql", ""),
        ({}, "mysql:latest", ""),
        ({}, "node:22", ""),
        ({"PG_MAJOR": "odd"}, "node:22", ""),
    ],
)
def test_what_database_an_image_holds(variables: dict[str, str], reference: str, expected: str) -> None:
    """The database is known by the variable of the official image, else by name and tag; otherwise it is unknown."""
    assert database(variables, reference) == expected


@pytest.mark.parametrize(
    ("database", "anonymous", "volume_name"),
    [
        ("postgres 17", ["/var/lib/postgresql/data"], "/var/lib/postgresql/data"),
        ("postgres 18", ["/var/lib/postgresql"], "/var/lib/postgresql"),
        ("mongo 8", ["/data/configdb", "/data/db"], "/data/db"),
        ("mongo 8", ["/data/configdb"], ""),
        ("mysql 9", ["/var/lib/mysql-files"], ""),
        ("", ["/var/lib/mysql"], ""),
    ],
)
def test_data_of_a_database_in_an_anonymous_volume(database: str, anonymous: list[str], volume_name: str) -> None:
    """The volume is found by its mount point, in the folder of the database or above."""
    assert unsaved(database, anonymous) == volume_name


@pytest.mark.parametrize(
    ("written_by", "wanted", "answer"),
    [("mysql 9", "mysql 9", True), ("mysql 9", "mysql 8", False), ("mysql 9", "mariadb 11", False),
     ("", "mysql 9", True), ("mysql 9", "", True)],
)  # fmt: skip
def test_a_database_reads_only_its_own_version(written_by: str, wanted: str, answer: bool) -> None:
    """An unknown version is tried."""
    assert Reader(wanted).reads(replace(ONE, database=written_by).reader) is answer


PG, MUSL, GLIBC = "postgres 17", ("musl", "alpine 3.22"), ("glibc", "debian 13")


@pytest.mark.parametrize(
    ("written_by", "wanted", "answer"),
    [(Reader(PG, *MUSL), Reader(PG, *GLIBC), False), (Reader(PG, *GLIBC), Reader(PG, *MUSL), False),
     (Reader(PG, *GLIBC), Reader(PG, "glibc", "debian 12"), True), (Reader(PG), Reader(PG, *MUSL), True),
     (Reader(PG, *MUSL), Reader(PG), True), (Reader("", *MUSL), Reader(PG, *GLIBC), True)],
)  # fmt: skip
def test_a_database_reads_only_what_sorts_as_it_does(written_by: Reader, wanted: Reader, answer: bool) -> None:
    """Musl and glibc sort text differently; older snapshots do not say with which they were written."""
    assert wanted.reads(written_by) is answer


def test_the_system_is_named_only_where_it_makes_the_difference() -> None:
    """The C library matters only within one major version."""
    musl, glibc = Reader(PG, *MUSL), Reader(PG, *GLIBC)
    assert musl.beside(glibc) == "postgres 17 on musl (alpine 3.22)"
    assert musl.beside(replace(glibc, database="postgres 16")) == PG
    assert musl.beside(Reader(PG)) == PG


@pytest.mark.parametrize(
    ("os_release", "expected"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n', ("glibc", "debian 13")),
        ('NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.1\n', ("musl", "alpine 3.22.1")),
        ('\0\0ID="ol"\nID_LIKE="fedora"\nVERSION_ID="9.6"\n\0\0', ("glibc", "ol 9.6")),
        ("ID=mine\nID_LIKE='alpine'\n", ("musl", "mine")),
        ("", ("", "")),
        ("VERSION_ID=1\nVARIANT_ID=x\n", ("", "")),
    ],
)
def test_the_system_of_an_image(os_release: str, expected: tuple[str, str]) -> None:
    """The system is read from os-release, also from an archive of the engine."""
    assert system(os_release) == expected


def test_a_set_goes_by_its_id_or_by_its_name() -> None:
    """A set is found by its id or name; of several sets with one name the last is used."""
    pair = [replace(made(2, title="seed"), volume=v) for v in ("a", "b")]
    stored = [made(1, title="seed"), *pair, made(3)]
    assert named(stored, "seed") == tuple(pair)
    assert named(stored, "at-1") == (stored[0],)
    assert named(stored, "none") == ()


def test_the_oldest_automatic_ones_go_first() -> None:
    """Snapshots by hand and the newest settled snapshot stay, however full the store is."""
    stored = [made(1, automatic=False), made(2), made(3), made(4), made(5, settled=False)]
    assert expendable(stored, total=30, there={"/p"}) == (made(2), made(3))
    assert expendable(stored, total=50, there={"/p"}) == ()
    assert set(expendable(stored, total=0, there={"/p"})) == {made(2), made(3), made(5, settled=False)}


def test_number_of_snapshots_per_volume_is_limited() -> None:
    """The limit applies even if there is space for all."""
    stored = [made(n) for n in range(1, 10)]
    gone = expendable(stored, total=10**9, there={"/p"})
    assert sorted(s.created for s in gone) == [1, 2, 3, 4]
    assert len(stored) - len(gone) == KEPT_EACH


def test_needed_snapshots_are_kept() -> None:
    """They are kept however full the store is, and whether or not the project exists."""
    stored = [made(1, directory="/gone", lineage="a"), *(made(n) for n in range(2, 10))]
    needed = {("at-1", "data"), ("at-2", "data")}
    gone = expendable(stored, total=0, there={"/p"}, needed=needed)
    assert sorted(s.created for s in gone) == [3, 4, 5, 6, 7, 8]
    assert made(1, directory="/gone", lineage="a") in expendable(stored, total=0, there={"/p"})


def test_lineages_replace_only_their_own() -> None:
    """A newer state replaces an older one of the same folder and volume only within one lineage."""
    stored = [made(1, lineage="a"), made(2, lineage="a"), made(3, lineage="b"), made(4)]
    assert expendable(stored, total=0, there={"/p"}) == (made(1, lineage="a"),)


def test_last_snapshot_of_a_removed_project_is_expendable() -> None:
    """It goes only after all snapshots that later ones replace."""
    stored = [made(1, directory="/gone"), made(2), made(3)]
    assert expendable(stored, total=20, there={"/p"}) == (made(2),)
    assert expendable(stored, total=10, there={"/p"}) == (made(2), made(1, directory="/gone"))


@given(
    st.lists(
        st.builds(
            made,
            st.floats(1, 100),
            automatic=st.booleans(),
            settled=st.booleans(),
            volume=st.sampled_from("ab"),
            stored=st.integers(0, 50),
            directory=st.sampled_from(["/p", "/gone"]),
            lineage=st.sampled_from(["", "a"]),
        ),
        max_size=30,
        unique_by=lambda s: (s.created, s.volume),
    ),
    st.integers(0, 500),
    st.integers(0, 30),
)
def test_needed_snapshots_are_never_expendable(stored: list[Snapshot], total: int, count: int) -> None:
    """These never go: a snapshot by hand, a head, the last whole state of an existing project; none counts twice."""
    heads = {(s.id, s.volume) for s in stored[:count]}
    gone = expendable(stored, total=total, there={"/p"}, needed=heads)
    assert len(set(gone)) == len(gone)
    assert all(s.automatic for s in gone)
    left = [s for s in stored if s not in gone]
    assert heads <= {(s.id, s.volume) for s in left}
    for line in {s.line for s in stored if s.directory == "/p"}:
        last = last_whole(stored, line)
        assert last_whole(left, line) == last or (last is not None and last.directory == "/gone")
    if sum(s.stored for s in left) > total:
        lasting = {last_whole(left, s.line) for s in left}
        assert all(not s.automatic or s in lasting or (s.id, s.volume) in heads for s in left)


def last_whole(snapshots: list[Snapshot], line: tuple[str, ...]) -> Snapshot | None:
    """The newest state of a line that the next run could go on with."""
    return max((s for s in snapshots if s.line == line and s.settled), key=lambda s: s.created, default=None)


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (2300, "2.3 KB"), (45_600, "46 KB"), (5_200_000, "5.2 MB"),
     (2e9, "2.0 GB"), (3e13, "30000.0 GB")],
)  # fmt: skip
def test_sizes_as_text(size: float, words: str) -> None:
    """Two digits, or all of them."""
    assert shown(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3600, "0 s ago"),
        (3, "3 s ago"),
        (59, "59 s ago"),
        (200, "3 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 days ago"),
    ],
)
def test_ages_as_text(seconds: float, words: str) -> None:
    """An age has the unit that people would use."""
    assert ago(seconds) == words


def test_line_is_shared_by_all_states_of_a_volume() -> None:
    """All states of a volume have its lineage; devenv 0.1 saved none, so engine, folder, project and volume count."""
    assert ONE.line == ("unix:///x", "/p", "p", "data")
    assert replace(ONE, lineage="a", directory="/q", volume="other").line == ("a",)
    assert snapshots.FAMILIES.keys() == {"postgres", "mysql", "mariadb", "mongo"}
