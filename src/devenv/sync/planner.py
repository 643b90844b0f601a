"""Turn changes of the host's files into operations on the containers, according to the matching rules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from devenv.lazy_dataclass import dataclass
from devenv.model.project import Action
from devenv.model.sync_plan import Delete, Exec, Plan, Rebuild, Restart, ServicePlan, Sync
from devenv.paths import ancestors, is_below, relative_to
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.host.manifest import Changes
from devenv.sync.rules.rules import BoundRule

LOOP = "a link that leads to itself: not synced"
NO_FILE = "neither a file, a folder nor a link: not synced"
_RESTARTS = (Action.RESTART, Action.SYNC_RESTART)


def plan(
    changes: Changes,
    rules: Sequence[BoundRule],
    *,
    directory: str,
    states: Mapping[str, FileState] | None = None,
) -> Plan:
    """Plan the operations for every service, in the order of their first rules.

    Causes are host paths, relative to the project's `directory`. `states` is everything on the host after the
    changes: if two rules have a file for one target, the last rule wins, and the other rule's file is restored when
    the first one is deleted. Without `states`, only the changes are known. Folders are copied and deleted, but only
    files and links start a rebuild, a command or a restart.
    """
    plans = []
    for service in dict.fromkeys(rule.service for rule in rules):
        hits = [_Hits.of(rule, changes) for rule in rules if rule.service == service]
        if rebuild := _cause(hits, (Action.REBUILD,), directory):
            plans.append(ServicePlan(service, rebuild=Rebuild(rebuild)))
        else:
            plans.append(_changed(service, hits, directory, _owners(hits, states)))
    return Plan(tuple(step for step in plans if any(step.lines())))


def initial(states: Mapping[str, FileState], rules: Sequence[BoundRule]) -> tuple[Sync, ...]:
    """All syncs that the rules of one service require for a new container, from a full scan."""
    syncs = _syncs([_Hits.everything(rule, states) for rule in rules])
    return tuple(syncs[target] for target in sorted(syncs))


def skipped(states: Mapping[str, FileState], rules: Sequence[BoundRule]) -> dict[str, str]:
    """Pipes, sockets, devices and links to themselves that a rule would have copied, each with its reason."""
    others = [(path, state) for path, state in states.items() if state.kind is FileKind.OTHER]
    return {
        path: NO_FILE if state.link is None else LOOP
        for path, state in sorted(others)
        if any(rule.copies and rule.matches(path) for rule in rules)
    }


def env_files(changes: Changes, rules: Sequence[BoundRule]) -> tuple[str, ...]:
    """Files named `.env` that a rule copies, to be reported once: they often hold secrets."""
    named = (path for path, state in changes.present if path.endswith("/.env") and state.kind is FileKind.FILE)
    return tuple(path for path in named if any(rule.copies and rule.matches(path) for rule in rules))


_Owner = tuple[int, Sync]  # the index of the rule whose file or folder belongs at a path that several rules map to


@dataclass(frozen=True, slots=True)
class _Hits:
    """The changes that one rule matches; pipes, sockets, devices and loops match none."""

    rule: BoundRule
    present: Mapping[str, FileKind]
    gone: Mapping[str, FileKind]

    @classmethod
    def of(cls, rule: BoundRule, changes: Changes) -> _Hits:
        present = {path: state.kind for path, state in changes.present if _concerns(rule, path, state)}
        return cls(rule, present, dict(_gone(rule, changes, present)))

    @classmethod
    def everything(cls, rule: BoundRule, states: Mapping[str, FileState]) -> _Hits:
        """All paths that the rule matches."""
        present = [(path, state.kind) for path, state in states.items() if _concerns(rule, path, state)]
        return cls(rule, dict(sorted(present)), {})

    @property
    def copied(self) -> Iterator[str]:
        """Files, links, and folders that are not created together with a file in them."""
        occupied = _folders_above(self.present)
        return (path for path, kind in self.present.items() if kind is not FileKind.DIR or path not in occupied)

    @property
    def triggers(self) -> Iterator[str]:
        """The paths that start more than a copy."""
        everything = (*self.present.items(), *self.gone.items())
        return (path for path, kind in everything if kind is not FileKind.DIR)


def _concerns(rule: BoundRule, path: str, state: FileState) -> bool:
    # The rule's own folder is kept: its target may be a mount, or a process's working directory.
    kind = state.kind
    is_top = kind is FileKind.DIR and path == rule.rule.path
    return kind is not FileKind.OTHER and not is_top and rule.matches(path)


def _gone(rule: BoundRule, changes: Changes, present: Mapping[str, FileKind]) -> Iterator[tuple[str, FileKind]]:
    matching = {path for path, state in changes.gone if _concerns(rule, path, state)}
    emptied = _folders_above(matching)
    top = rule.rule.path
    for path, state in changes.gone:
        # A folder that `include` does not name was created with its files, and is removed with them.
        goes_along = path in emptied and is_below(path, top)
        gives_way = path == top and top in present
        if path in matching or (state.kind is FileKind.DIR and (goes_along or gives_way)):
            yield path, state.kind


def _folders_above(paths: Iterable[str]) -> set[str]:
    folders: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        if folder and folder not in folders:  # the next file is often in the same folder
            folders.update((folder, *ancestors(folder)))
    return folders


def _changed(service: str, hits: Sequence[_Hits], directory: str, owners: Mapping[str, _Owner]) -> ServicePlan:
    syncs = _syncs(hits)
    for target, (index, sync) in owners.items():
        # It is restored if a later rule lost its file; a folder remains a folder.
        if any(rule > index and not (sync.folder and kind is FileKind.DIR) for rule, kind in _losses(hits, target)):
            syncs[target] = sync
        elif target in syncs and syncs[target].source != sync.source:
            del syncs[target]
    restart = _cause(hits, _RESTARTS, directory)
    return ServicePlan(
        service=service,
        deletes=_deletes(hits, syncs, directory, owners),
        syncs=tuple(syncs[target] for target in sorted(syncs)),
        execs=tuple(_execs(hits, directory)),
        restart=Restart(restart) if restart else None,
    )


def _owners(hits: Sequence[_Hits], states: Mapping[str, FileState] | None) -> dict[str, _Owner]:
    """By target, for changed paths of overlapping rules: the rule and the file that now belong there, if any."""
    overlapping = [hit for hit in hits if hit.rule.overlaps]
    if states is None or not overlapping:
        return {}
    rules = [hit.rule for hit in reversed(overlapping)]
    targets = dict.fromkeys(hit.rule.target_for(path) for hit in overlapping for path in (*hit.present, *hit.gone))
    offers = ((target, next(_offers(target, rules, states), None)) for target in targets)
    return {target: owner for target, owner in offers if owner}


def _offers(target: str, rules: Iterable[BoundRule], states: Mapping[str, FileState]) -> Iterator[_Owner]:
    for rule in rules:
        for path in rule.sources_for(target):
            state = states.get(path)
            if state and _concerns(rule, path, state) and not rule.is_mounted(target):
                yield rule.index, Sync(path, target, state.kind is FileKind.DIR, rule.rule.path)


def _losses(hits: Iterable[_Hits], target: str) -> Iterator[tuple[int, FileKind]]:
    for hit in hits:
        for path in hit.rule.sources_for(target) if hit.rule.overlaps else ():
            if path in hit.gone:
                yield hit.rule.index, hit.gone[path]


def _syncs(hits: Iterable[_Hits]) -> dict[str, Sync]:
    return {
        target: Sync(path, target, hit.present[path] is FileKind.DIR, hit.rule.rule.path)
        for hit in hits
        if hit.rule.copies
        for path in hit.copied
        if not hit.rule.is_mounted(target := hit.rule.target_for(path))
    }


def _deletes(
    hits: Iterable[_Hits], syncs: Mapping[str, Sync], directory: str, owners: Mapping[str, _Owner]
) -> tuple[Delete, ...]:
    deletes: dict[str, Delete] = {}
    for rule, gone in ((hit.rule, hit.gone) for hit in hits if hit.rule.copies):
        for path, kind in gone.items():
            is_folder, target = kind is FileKind.DIR, rule.target_for(path)
            sync, (index, owned) = syncs.get(target), owners.get(target, (rule.index, None))
            # A sync of the same kind from another path replaces the target.
            is_replaced = sync is not None and sync.source != path and sync.folder is is_folder
            # The target belongs to a later rule, or is a folder that an earlier rule has, too.
            is_kept = index > rule.index or (index < rule.index and owned is not None and owned.folder and is_folder)
            if not (is_replaced or is_kept or rule.is_mounted(target)):
                deletes[target] = Delete(target, shown(path, directory), directory=is_folder)
    return tuple(sorted(deletes.values(), key=lambda delete: (-delete.target.count("/"), delete.target)))


def _execs(hits: Iterable[_Hits], directory: str) -> Iterator[Exec]:
    for hit in hits:
        cause = _cause([hit], (Action.SYNC_EXEC,), directory)
        if cause and hit.rule.rule.exec:
            yield Exec(hit.rule.rule.exec, cause)


def _cause(hits: Iterable[_Hits], actions: Collection[Action], directory: str) -> str:
    """The first path that starts one of the actions, and the number of others; "" if none does."""
    paths = list(dict.fromkeys(path for hit in hits if hit.rule.rule.action in actions for path in hit.triggers))
    if not paths:
        return ""
    first = shown(paths[0], directory)
    return first if len(paths) == 1 else f"{first} (+{len(paths) - 1} more)"


def shown(path: str, directory: str) -> str:
    """The path relative to the folder, if it is below it."""
    return relative_to(path, directory) or path
