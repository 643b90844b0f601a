"""Which images the engine has, and under which names: their own, a mirror's, or that of a loaded archive."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from devenv.docker.client import Engine
from devenv.docker.images import LocalImage
from devenv.images.mirrors import candidates, exact, loaded
from devenv.images.needs import Need
from devenv.model.image_ref import canonical


@dataclass(frozen=True, slots=True)
class LocalMatch:
    """An image of the engine, and the name under which it serves a reference."""

    name: str
    image: LocalImage


async def local_images(engine: Engine, references: Collection[str]) -> dict[str, LocalImage]:
    """Map each reference (a name or an id) to the engine's image of that name; what is missing is left out."""
    matches: dict[str, LocalImage] = {}
    for image in await engine.images.local_images(references) if references else ():
        names = {canonical(name) for name in image.names}
        matches |= {
            reference: image for reference in references if exact(reference) in names or _is_id(reference, image.id)
        }
    return matches


async def local_matches(engine: Engine, needs: Sequence[Need], mirrors: Sequence[str]) -> dict[str, LocalMatch]:
    """Map each reference as written to what the engine has for it: its own image, a loaded one, or a mirror's.

    An image for another platform than the needed one does not count.
    """
    known = await local_images(engine, [need.reference for need in needs])
    names: dict[str, tuple[str, ...]] = {need.reference: (need.reference,) for need in needs}
    for need in needs:
        if not _fits(need, known.get(need.reference)):
            at_mirrors = (name for mirror in mirrors for name in candidates(need.reference, mirror))
            names[need.reference] += (loaded(need.reference), *at_mirrors)
    known = await local_images(engine, {name for others in names.values() for name in others[1:]}) | known
    matches = {}
    for need in needs:
        fitting = (LocalMatch(name, known[name]) for name in names[need.reference] if _fits(need, known.get(name)))
        if match := next(fitting, None):
            matches[need.reference] = match
    return matches


def _fits(need: Need, image: LocalImage | None) -> bool:
    wanted = "/".join((need.platform or "").split("/")[:2])  # the variant differs between a reference and its image
    return image is not None and (not wanted or not image.platform or image.platform == wanted)


def _is_id(reference: str, image_id: str) -> bool:
    """Return whether the reference is the image's id as an engine shows it: whole, or its first twelve digits."""
    digits = image_id.removeprefix("sha256:")
    return reference in (image_id, digits, digits[:12])
