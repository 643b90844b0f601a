"""What has to be done in a running project when its model changes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devenv.lazy_dataclass import dataclass
from devenv.model.containers import ProjectState

# Compose's hash of a container leaves these out: a change of them replaces no container.
_ELSEWHERE = frozenset({"depends_on"})
_IMAGE = ("image", "build", "platform")
SHARING = ("network_mode", "pid", "ipc")

Model = Mapping[str, Any]
Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Names of services. `touched`: new or changed; `images`: touched services whose image may have changed."""

    touched: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.touched or self.gone)

    def outcome(self, before: ProjectState, after: ProjectState) -> tuple[Names, Names, Names]:
        """The touched services that were recreated, added, and scaled."""
        ids = [(name, {c.id for c in before.of(name)}, {c.id for c in after.of(name)}) for name in self.touched]
        return (
            tuple(name for name, was, now in ids if was - now and now - was),
            tuple(name for name, was, now in ids if now and not was),
            tuple(name for name, was, now in ids if was and (was < now or now < was)),
        )


def between(before: Mapping[str, Model], after: Mapping[str, Model]) -> Difference:
    """The difference between the services of two run models. Sharing a namespace with a touched service counts."""
    changed = {name for name in after if name not in before or _container(before[name]) != _container(after[name])}
    while more := {name for name in after if changed & set(shares(after[name]))} - changed:
        changed |= more
    touched = sorted(changed)
    return Difference(
        touched=tuple(touched),
        images=tuple(name for name in touched if _image(before.get(name)) != _image(after[name])),
        gone=tuple(sorted(before.keys() - after.keys())),
    )


def fixed(before: Model, after: Model) -> tuple[tuple[str, ...], str] | None:
    """The first difference of two resolved models that a running project cannot adopt: its path, and why."""
    if before["name"] != after["name"]:
        return ("name",), f"the project's name is `{after['name']}` now"
    for kind in ("network", "volume"):
        old, new = (model.get(f"{kind}s") or {} for model in (before, after))
        for name in sorted(old.keys() & new.keys()):
            if old[name] != new[name]:
                return (f"{kind}s", name), f"the {kind} `{name}` is defined otherwise now"
    return None


def shares(service: Model) -> Iterator[str]:
    """The services to whose containers this service's container refers by id: it is replaced together with them."""
    for key in SHARING:
        kind, _, name = str(service.get(key) or "").partition(":")
        if kind == "service":
            yield name
    for entry in service.get("volumes_from") or ():
        yield str(entry).partition(":")[0]


def _container(service: Model) -> dict[str, Any]:
    return {key: value for key, value in service.items() if key not in _ELSEWHERE}


def _image(service: Model | None) -> tuple[Any, ...] | None:
    return None if service is None else tuple(service.get(key) for key in _IMAGE)
