"""Whether a container equals the tree: both are read now, whatever was known or done before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import anyio

from devenv.docker.client import Engine
from devenv.sync import planner, reconcile
from devenv.sync.container import readback
from devenv.sync.container.readback import Seen
from devenv.sync.host import links, scan
from devenv.sync.host.manifest import FileState, Kind
from devenv.sync.rules import rules
from devenv.sync.rules.rules import BoundRule


@dataclass(frozen=True, slots=True)
class Verdict:
    """`files`: how many paths the container is to hold. `different` are container paths."""

    files: int
    seen: Seen

    @property
    def different(self) -> tuple[str, ...]:
        """The container paths that differ from the host, or could not be read."""
        return self.seen.different


def host(bound: Sequence[BoundRule]) -> dict[str, FileState]:
    """The host as it is now, as far as the rules go. Blocking."""
    return links.settled_all(scan.scan(rules.roots(bound), lambda folder: rules.prune(bound, folder)))


async def compare(engine: Engine, container_id: str, bound: Sequence[BoundRule], placed: Collection[str]) -> Verdict:
    """Compare a container of a service with its rules: kind, content, mode and link of everything that they copy.

    Names in `placed` that the host has not as a file, folder or link must not exist, nor anything under the name of
    a pipe, socket, device or loop. All else that only the container has is its own.
    """
    now = await anyio.to_thread.run_sync(host, bound)
    syncs = planner.initial(now, bound)
    unwanted = reconcile.leftovers(placed, bound, now) | _names_of_others(now, bound, {s.target for s in syncs})
    tops = reconcile.readback_roots([*(s.target for s in syncs), *unwanted], bound)
    return Verdict(len(syncs), await readback.look(engine, container_id, syncs, tops, unwanted))


def _names_of_others(
    now: Mapping[str, FileState], bound: Sequence[BoundRule], targets: Collection[str]
) -> frozenset[str]:
    others = [path for path, state in now.items() if state.kind is Kind.OTHER]
    found = {rule.target_for(path) for path in others for rule in bound if rule.copies and rule.matches(path)}
    return frozenset(found.difference(targets))
