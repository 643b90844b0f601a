"""A saved volume; finding snapshots by name, and choosing which ones to remove."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from devenv.lazy_dataclass import dataclass
from devenv.paths import is_within

LIST = "devenv snapshot list"  # the command
KEPT_EACH = 5  # automatic snapshots of a volume
FAMILIES = {
    "postgres": ("PG_MAJOR", "PG_VERSION"),
    "mysql": ("MYSQL_VERSION", "MYSQL_MAJOR"),
    "mariadb": ("MARIADB_VERSION",),
    "mongo": ("MONGO_VERSION", "MONGO_MAJOR"),
}
DATA_FOLDERS = {
    "postgres": "/var/lib/postgresql/data",
    "mysql": "/var/lib/mysql",
    "mariadb": "/var/lib/mysql",
    "mongo": "/data/db",
}
MUSL = frozenset({"alpine", "chimera", "postmarketos"})  # distributions
_MAJOR = re.compile(r"(?:\d+:)?v?(\d+)")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A saved volume; `id` is shared by all that were saved together, `volume` is the key in the Compose file.

    Sizes are in bytes: `size` of the tar, `stored` of the compressed archive; `digest` is made of its checksums.
    `settled`: the services that use the volume were healthy, so that the next run can continue with the state.
    `database` is a family and its major version, such as `mysql 9`, or empty; then `libc` and `distribution` are
    those of its image. `lineage` and `parent` (an id) say which saved state of which volume this state continues;
    both are empty for imports and for snapshots of devenv 0.1.
    """

    id: str
    volume: str
    name: str
    project: str
    directory: str
    endpoint: str
    created: float
    size: int
    stored: int
    digest: str
    automatic: bool = True
    settled: bool = True
    database: str = ""
    title: str = ""
    lineage: str = ""
    parent: str = ""
    libc: str = ""
    distribution: str = ""

    @property
    def line(self) -> tuple[str, ...]:
        """The key that all states of one volume share."""
        return (self.lineage,) if self.lineage else (self.endpoint, self.directory, self.project, self.volume)

    @property
    def reader(self) -> Reader:
        """The database that can read the data."""
        return Reader(self.database, self.libc, self.distribution)


@dataclass(frozen=True, slots=True)
class Reader:
    """A database and the operating system of its image; unknown values are empty.

    The C library decides how text is sorted, and so what an index on disk looks like: musl and glibc differ.
    """

    database: str = ""
    libc: str = ""
    distribution: str = ""

    def reads(self, other: Reader) -> bool:
        """Whether this database can read the data of the other, as far as known."""
        known = self.database and other.database
        return not known or (self.database == other.database and not self._sorts_otherwise(other))

    def beside(self, other: Reader) -> str:
        """The name of the database, with the C library if only that differs from the other."""
        apart = self.database == other.database and self._sorts_otherwise(other)
        return f"{self.database} on {self.libc} ({self.distribution})" if apart else self.database

    def _sorts_otherwise(self, other: Reader) -> bool:
        return bool(self.libc and other.libc) and self.libc != other.libc


def database(variables: Mapping[str, str], reference: str) -> str:
    """The family and major version of the database in an image, such as `postgres 17`; empty if unknown.

    `variables` are the image's environment, `reference` is its name: official images have their version in a
    variable; otherwise name and tag decide.
    """
    for family, names in FAMILIES.items():
        for name in names:
            if version := _MAJOR.match(variables.get(name, "")):
                return f"{family} {version[1]}"
    repository, _, tag = reference.partition("@")[0].rpartition("/")[2].partition(":")
    major = _MAJOR.match(tag)
    return f"{repository} {major[1]}" if repository in FAMILIES and major else ""


def unsaved(database: str, anonymous: Iterable[str]) -> str:
    """Where the anonymous volume with the data of a database is mounted, or an empty text.

    `anonymous`: the mount points of all anonymous volumes of its container.
    """
    folder = DATA_FOLDERS.get(database.partition(" ")[0], "")
    return next((point for point in anonymous if folder and is_within(folder, point)), "")


def system(os_release: str) -> tuple[str, str]:
    """The C library and the distribution, such as `glibc` and `debian 13`, from the text of /etc/os-release.

    Both are empty if the text does not name a distribution.
    """
    fields = dict(re.findall(r"(?:^|[\n\0])(ID|ID_LIKE|VERSION_ID)=[\"']?([^\n\"'\0]+)", os_release))
    if "ID" not in fields:
        return "", ""
    is_musl = not MUSL.isdisjoint([fields["ID"], *fields.get("ID_LIKE", "").split()])
    return "musl" if is_musl else "glibc", f"{fields['ID']} {fields.get('VERSION_ID', '')}".rstrip()


def named(snapshots: Iterable[Snapshot], name: str) -> tuple[Snapshot, ...]:
    """The set with this id or title (the newest, if several have the title): a snapshot for each volume."""
    matches = [s for s in snapshots if name in (s.id, s.title)]
    last = max(matches, key=lambda s: s.created, default=None)
    return tuple(s for s in matches if last is not None and s.id == last.id)


def expendable(
    snapshots: Iterable[Snapshot], *, total: int, there: Collection[str], needed: Collection[tuple[str, str]] = ()
) -> tuple[Snapshot, ...]:
    """The automatic snapshots to remove, so that at most `total` bytes are stored; superseded ones first.

    For each volume and database, the newest snapshots are kept, and the newest settled one always, as long as its
    project's directory is in `there` (existing directories). Those in `needed`, by id and volume, are kept in any
    case.
    """
    by_age = sorted(snapshots, key=lambda s: s.created)
    lasting, surplus = _sorted_out(by_age, needed)
    removable = [s for s in by_age if s.automatic and s not in surplus]
    replaced = [s for s in removable if s not in lasting]
    orphans = [s for s in removable if s in lasting and s.directory not in there and (s.id, s.volume) not in needed]
    removed = list(surplus)
    left = sum(s.stored for s in by_age) - sum(s.stored for s in removed)
    for snapshot in (*replaced, *orphans):
        if left > total:
            removed.append(snapshot)
            left -= snapshot.stored
    return tuple(removed)


def _sorted_out(
    by_age: Sequence[Snapshot], needed: Collection[tuple[str, str]]
) -> tuple[frozenset[Snapshot], tuple[Snapshot, ...]]:
    """The snapshots to keep if there is space, and the automatic ones beyond the number for their volume."""
    lasting, surplus, seen = set[Snapshot](), list[Snapshot](), Counter[tuple[str, ...]]()
    for snapshot in reversed(by_age):
        kind = (*snapshot.line, snapshot.database, snapshot.libc)
        if (snapshot.id, snapshot.volume) in needed or (snapshot.settled and not seen[*kind, "settled"]):
            seen[*kind, "settled"] += snapshot.settled
            lasting.add(snapshot)
        elif snapshot.automatic:
            seen[kind] += 1
            surplus += [snapshot] if seen[kind] >= KEPT_EACH else []
    return frozenset(lasting), tuple(surplus)


def shown(size: float) -> str:
    """A size in bytes, as text: `2.3 MB`."""
    for unit in ("B", "KB", "MB"):
        if size < 1000:  # noqa: PLR2004 - the next unit
            return f"{size:.1f} {unit}" if unit != "B" and size < 10 else f"{size:.0f} {unit}"  # noqa: PLR2004 - a digit
        size /= 1000
    return f"{size:.1f} GB"


def ago(seconds: float) -> str:
    """A time in the past, as text: `3 min ago`; `0 s ago` for a time in the future (a clock that was set back)."""
    seconds = max(seconds, 0.0)
    for unit, length, limit in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 48)):
        if seconds < limit * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds / 86400:.0f} days ago"
