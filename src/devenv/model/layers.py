"""What an image is made of, and what would make it smaller: what `devenv layers` answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: what made it, the bytes that it adds, when it was made (seconds since 1970).

    `id` is its diff-id, empty where nobody knows which one it is; `shared` names the other images that begin with it
    and all below it. `cached`: whether the last `up` had it already, else its build took so many seconds;
    None where nobody knows.
    """

    instruction: str
    size: int
    created: int
    id: str = ""
    shared: tuple[str, ...] = ()
    cached: bool | None = None
    took: float = 0.0


@dataclass(frozen=True, slots=True)
class Anatomy:
    """An image and its layers, the lowest first; `size` in bytes.

    The first `inherited` ones are those of `base`, the largest other image that it begins with. `note`: what it is
    beside what it is called, such as a stand-in.
    """

    reference: str
    id: str
    size: int
    layers: tuple[Layer, ...]
    base: str = ""
    inherited: int = 0
    note: str = ""

    @property
    def created(self) -> int:
        """When its last layer was made, 0 where it has none."""
        return max((layer.created for layer in self.layers), default=0)


@dataclass(frozen=True, slots=True)
class Advice:
    """What to change and what it saves, in bytes of the image and seconds of a build; `layer` counts from 1."""

    code: str
    message: str
    hint: str
    layer: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """One image with advice, or two images side by side that begin with `common` layers alike.

    `unread`: why the files of the layers were not looked at; empty where they were, and for two images.
    """

    images: tuple[Anatomy, ...]
    common: int = 0
    advice: tuple[Advice, ...] = ()
    unread: str = ""
