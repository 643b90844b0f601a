"""Whether a container equals the tree: both looked at now, whatever was believed or done before."""

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
        """Every path that is not what it is on the host, or could not be read."""
        return self.seen.different


def host(bound: Sequence[BoundRule]) -> dict[str, FileState]:
    """Everything that the rules are for, as it is now. Blocking."""
    return links.settled_all(scan.scan(rules.roots(bound), lambda folder: rules.prune(bound, folder)))


async def compare(engine: Engine, container_id: str, bound: Sequence[BoundRule], placed: Collection[str]) -> Verdict:
    """One service's rules against one of its containers: kind, content, mode and link of everything they copy.

    What the host has not (or no file, folder or link) must not be there: of the names in `placed`, and under the name
    of each pipe, socket, device and loop. What only the container has is its own.
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
