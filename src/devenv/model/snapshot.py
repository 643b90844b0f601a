"""A named volume as it was at one moment, and which of many such is meant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

KEPT_EACH = 5  # automatic ones of one volume
FAMILIES = {
    "postgres": ("PG_MAJOR", "PG_VERSION"),
    "mysql": ("MYSQL_VERSION", "MYSQL_MAJOR"),
    "mariadb": ("MARIADB_VERSION",),
    "mongo": ("MONGO_VERSION", "MONGO_MAJOR"),
}
_MAJOR = re.compile(r"(?:\d+:)?v?(\d+)")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One volume in the store; `id` names all that were saved together, `volume` is the key in the Compose file.

    Sizes are in bytes: `size` of the tar, `stored` of the compressed archive, whose SHA-256 is `digest`. `settled`:
    the services that use it were well, so that the next run can go on with it. `database` is a family and its major
    version, such as `mysql 9`, or empty. `lineage` and `parent` (an id) say which saved state of which volume it
    continues; devenv 0.1 and imports have none.
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

    @property
    def line(self) -> tuple[str, ...]:
        """What the states of one volume have in common."""
        return (self.lineage,) if self.lineage else (self.endpoint, self.directory, self.project, self.volume)


def database(variables: Mapping[str, str], reference: str) -> str:
    """The family and major version of the database that an image holds, `postgres 17`, or nothing.

    `variables` are the image's own, `reference` its name: an official image says its version in a variable, and
    where none does, its name and tag do.
    """
    for family, names in FAMILIES.items():
        for name in names:
            if found := _MAJOR.match(variables.get(name, "")):
                return f"{family} {found[1]}"
    repository, _, tag = reference.partition("@")[0].rpartition("/")[2].partition(":")
    major = _MAJOR.match(tag)
    return f"{repository} {major[1]}" if repository in FAMILIES and major else ""


def fits(snapshot: Snapshot, wanted: str) -> bool:
    """Whether a database of that family and version can be given the snapshot; unknown ones always can."""
    return not snapshot.database or not wanted or snapshot.database == wanted


def named(snapshots: Iterable[Snapshot], name: str) -> tuple[Snapshot, ...]:
    """The set that goes by this id or title (of several titles the last one), a snapshot a volume."""
    found = [s for s in snapshots if name in (s.id, s.title)]
    last = max(found, key=lambda s: s.created, default=None)
    return tuple(s for s in found if last is not None and s.id == last.id)


def expendable(
    snapshots: Iterable[Snapshot], *, total: int, there: Collection[str], needed: Collection[tuple[str, str]] = ()
) -> tuple[Snapshot, ...]:
    """The automatic ones to give up, so that at most `total` bytes are stored; first those that later ones replace.

    Of each volume and database the newest ones stay, and the newest settled one always, as long as its project's
    directory is among those that are `there`. Those that are `needed`, by id and volume, stay in any case.
    """
    by_age = sorted(snapshots, key=lambda s: s.created)
    lasting, seen = set[Snapshot](), Counter[tuple[str, ...]]()
    gone = list[Snapshot]()
    for one in reversed(by_age):
        kind = (*one.line, one.database)
        if (one.id, one.volume) in needed or (one.settled and not seen[*kind, "settled"]):
            seen[*kind, "settled"] += one.settled
            lasting.add(one)
        elif one.automatic:
            seen[kind] += 1
            gone += [one] if seen[kind] >= KEPT_EACH else []
    left = sum(s.stored for s in by_age) - sum(s.stored for s in gone)
    replaced = [s for s in by_age if s.automatic and s not in lasting and s not in gone]
    orphans = [s for s in by_age if s.automatic and s in lasting and s.directory not in there]
    orphans = [s for s in orphans if (s.id, s.volume) not in needed]
    for one in (*replaced, *orphans):
        if left > total:
            gone.append(one)
            left -= one.stored
    return tuple(gone)


def shown(size: float) -> str:
    """A size in bytes as people write it: `2.3 MB`."""
    for unit in ("B", "KB", "MB"):
        if size < 1000:  # noqa: PLR2004 - the next unit
            return f"{size:.1f} {unit}" if unit != "B" and size < 10 else f"{size:.0f} {unit}"  # noqa: PLR2004 - a digit
        size /= 1000
    return f"{size:.1f} GB"


def ago(seconds: float) -> str:
    """A time past as people say it: `3 min ago`. A clock that was set back makes it no future."""
    seconds = max(seconds, 0.0)
    for unit, length, limit in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 48)):
        if seconds < limit * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds / 86400:.0f} days ago"
