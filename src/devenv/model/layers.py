"""The layers of an image, and advice to make it smaller: the result of `devenv layers`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: its instruction, the bytes that it adds, and the time of its build (seconds since 1970).

    `id` is its diff-id, or empty if it is unknown; `shared` names the other images that begin with this layer and all
    below it. `cached`: whether the last `up` had the layer already, else its build took `took` seconds; None if
    unknown.
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

    The first `inherited` layers are those of `base`, the largest other image that this image begins with. `note` says
    if the image is a stand-in, for example.
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
        """The time of its newest layer, 0 without layers."""
        return max((layer.created for layer in self.layers), default=0)


@dataclass(frozen=True, slots=True)
class Advice:
    """A change and what it saves, in bytes of the image and seconds of a build; `layer` counts from 1."""

    code: str
    message: str
    hint: str
    layer: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """One image with advice, or two images that have the first `common` layers in common.

    `unread` says why the files of the layers were not read; empty if they were, and for two images.
    """

    images: tuple[Anatomy, ...]
    common: int = 0
    advice: tuple[Advice, ...] = ()
    unread: str = ""
