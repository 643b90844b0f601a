"""What a run has to change so that its images are had: names, builds and environments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from devenv.config.runmodel import BuildChange
from devenv.config.user import user_settings
from devenv.engine.api import Engine
from devenv.images import pantry
from devenv.images.recipes import STAND_IN_REGISTRY
from devenv.images.standins import FOR
from devenv.model.events import Emit
from devenv.model.project import Project

BUILT_ON = "devenv.built-on"
LOCAL = (f"{STAND_IN_REGISTRY}/",)
# What an image has in its labels that belongs to this machine alone, and in words.
MARKS = {FOR: "a stand-in", BUILT_ON: "built on an image made here"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is consented to for this run, besides what the user's own file says."""

    stand_ins: bool = False
    host_settings: bool = False


@dataclass(frozen=True, slots=True)
class Supply:
    """`images`: the `image` of a service, as written -> what is on the engine. `builds`: by service.

    `given`: builds know this host's settings.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    builds: Mapping[str, BuildChange] = field(default_factory=dict)
    given: bool = False

    def beside(self, other: Supply) -> Supply:
        """Both; where both have something to say, this one."""
        return Supply({**other.images, **self.images}, {**other.builds, **self.builds}, self.given)


async def supply(engine: Engine, project: Project, wishes: Wishes, emit: Emit) -> Supply:
    """Every image that the services and their Dockerfiles need is on the engine: present, pulled, or made."""
    settings = user_settings()
    mirrors = (*settings.mirrors, *project.settings.mirrors)
    stand_ins = wishes.stand_ins or settings.stand_ins
    provided = await pantry.provide(engine, project, mirrors=mirrors, stand_ins=stand_ins, emit=emit)
    builds = {name: BuildChange(bases, labels=_labels(bases)) for name, bases in provided.bases.items()}
    return Supply(provided.swaps, builds)


def _labels(bases: Mapping[str, str]) -> dict[str, str]:
    """What marks the image that is built on these as one of this machine."""
    local = sorted({image for image in bases.values() if image.startswith(LOCAL)})
    return {BUILT_ON: ", ".join(local)} if local else {}
