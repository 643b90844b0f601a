"""Image names, options for getting images, and layers with advice to make an image smaller."""

from __future__ import annotations

import re

from devenv.lazy_dataclass import dataclass

HUB = "docker.io"
STAND_IN_REGISTRY = "stand-in.devenv"
STAND_IN_LABEL = "devenv.stand-in"
DERIVED_REGISTRY = "inside.devenv"
SETTINGS_LABEL = "devenv.inside"  # the settings in an image, such as "ca,npm"; inherited by images built on it
BUILT_ON = "devenv.built-on"
LOCAL = (f"{STAND_IN_REGISTRY}/", f"{DERIVED_REGISTRY}/")
# Labels of images that are only valid on this machine -> what they mean.
MARKS = {
    STAND_IN_LABEL: "a stand-in",
    SETTINGS_LABEL: "settings of this machine",
    BUILT_ON: "built on an image made here",
}
LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|\[::1\]")  # hosts that mean this machine


def canonical(reference: str) -> str:
    """The reference in full: `node` is `docker.io/library/node:latest`; a digest needs no tag."""
    repository, tag, digest = split(reference)
    head, slash, rest = repository.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        head, rest = HUB, repository
    if head in ("index.docker.io", "registry-1.docker.io"):
        head = HUB
    if head == HUB and "/" not in rest:
        rest = f"library/{rest}"
    end = (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    return f"{head}/{rest}{end or ':latest'}"


def familiar(reference: str) -> str:
    """The reference as people write it: `docker.io/library/node:22` is `node:22`."""
    name = canonical(reference)
    return name.removeprefix(f"{HUB}/library/").removeprefix(f"{HUB}/")


def split(reference: str) -> tuple[str, str | None, str | None]:
    """Repository (with the registry, if written), tag and digest."""
    rest, _, digest = reference.partition("@")
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        return rest, None, digest or None
    return head, tag, digest or None


def registry(reference: str) -> str:
    """The registry that a pull would use; `docker.io` if the reference has none."""
    return canonical(reference).partition("/")[0]


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What this run may do, in addition to the user's settings file."""

    stand_ins: bool = False
    host_settings: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: its instruction, the bytes that it adds, and the time of its build (seconds since 1970).

    `id` is its diff-id, or empty if unknown; `shared` names the other images that begin with this layer and all below
    it. `cached`: whether the last `up` had the layer already, otherwise its build took `took` seconds; None if
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

    The first `inherited` layers are those of `base`, the largest other image that this image begins with. `note`
    says, for example, that the image is a stand-in.
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
    """A change, and its savings in bytes of the image and seconds of a build; `layer` counts from 1."""

    code: str
    message: str
    hint: str
    layer: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """One image with advice, or two images that share their first `common` layers.

    `unread` says why the files of the layers were not read; empty if they were, and for two images.
    """

    images: tuple[Anatomy, ...]
    common: int = 0
    advice: tuple[Advice, ...] = ()
    unread: str = ""
