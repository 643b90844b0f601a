"""The builder that Compose will use, where it is not the engine's own."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from devenv.docker.context import config_folder
from devenv.docker.endpoint import Endpoint
from devenv.events import Notice


def foreign_builder(endpoint: Endpoint) -> Notice | None:
    """What is to be said of a builder that does not see the engine's images; None where the engine itself builds."""
    name, instance = selected(endpoint)
    driver = instance.get("Driver")
    if driver in (None, "docker"):
        return None
    said = f"the builder {name} ({driver}) does not see the engine's images: it asks registries by itself"
    return Notice(said, "BUILDX_BUILDER=default devenv up")


def selected(endpoint: Endpoint) -> tuple[str, dict[str, Any]]:
    """The builder that is chosen, empty where none is, and what is kept of it.

    Source of the files: buildx, store/store.go.
    """
    current = _read(selection_file())
    counts = current.get("Global") or current.get("Key") in (endpoint.context, endpoint.host)
    name = os.environ.get("BUILDX_BUILDER") or (str(current.get("Name") or "") if counts else "")
    instance = os.path.join(os.path.dirname(selection_file()), "instances", os.path.basename(name))
    return name, _read(instance) if name else {}


def selection_file() -> str:
    """Where it is written which builder is chosen."""
    folder = os.environ.get("BUILDX_CONFIG") or os.path.join(config_folder(), "buildx")
    return os.path.join(folder, "current")


def _read(path: str) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        found = json.load(file)
        return found if isinstance(found, dict) else {}
    return {}
