"""Keep the content of a rule's folder that vanished or was replaced: a folder that is not mounted is not deleted.

Mutagen halts if a root was emptied, deleted or changed its type; here everything else goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from devenv.paths import is_below, is_within
from devenv.sync.host.manifest import FileState, Kind

Fresh = dict[str, FileState | None]


def suppress_root_loss(
    before: Mapping[str, FileState], fresh: Fresh, roots: Iterable[str], held: frozenset[str]
) -> tuple[Fresh, frozenset[str]]:
    """`fresh` without the paths that went together with a rule's root, and the roots that are held by now.

    A root is held if it does not exist, if it is no folder any more, or if it is another folder (by inode) that lacks
    more than half of what was known in it. It is held until a look finds otherwise.
    """
    now_held = set(held)
    for root in roots:
        if root not in before or (root not in fresh and root not in held):
            continue
        if root in fresh and _is_back(before, fresh, root):
            now_held.discard(root)
            continue
        now_held.add(root)
        fresh = {path: state for path, state in fresh.items() if not _goes_with(path, state, root)}
    return fresh, frozenset(now_held)


def _is_back(before: Mapping[str, FileState], fresh: Fresh, root: str) -> bool:
    old, now = before[root], fresh[root]
    if now is None or old.kind is not Kind.DIR:
        return now is not None
    if now.kind is not Kind.DIR or now.inode == old.inode:
        return now.kind is Kind.DIR
    known = [path for path in before if is_below(path, root)]
    lost = sum(1 for path in known if path in fresh and fresh[path] is None)
    return 2 * lost <= len(known)


def _goes_with(path: str, state: FileState | None, root: str) -> bool:
    return path == root or (state is None and is_within(path, root))
