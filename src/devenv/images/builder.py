"""The builder that is selected in Buildx: the engine's own, or one that does not see the engine's images."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from devenv.docker.context import config_folder
from devenv.docker.endpoint import Endpoint
from devenv.events import Notice


def foreign_builder(endpoint: Endpoint) -> Notice | None:
    """A notice if the selected builder does not see the engine's images; None if the engine itself builds."""
    name, instance = selected(endpoint)
    driver = instance.get("Driver")
    if driver in (None, "docker"):
        return None
    message = f"the builder {name} ({driver}) does not see the engine's images: it asks registries by itself"
    return Notice(message, "BUILDX_BUILDER=default devenv up")


def selected(endpoint: Endpoint) -> tuple[str, dict[str, Any]]:
    """The selected builder's name, or empty, and its description (see buildx, store/store.go)."""
    current = _read(selection_file())
    counts = current.get("Global") or current.get("Key") in (endpoint.context, endpoint.host)
    name = os.environ.get("BUILDX_BUILDER") or (str(current.get("Name") or "") if counts else "")
    instance = os.path.join(os.path.dirname(selection_file()), "instances", os.path.basename(name))
    return name, _read(instance) if name else {}


def selection_file() -> str:
    """The path of the file that names the selected builder."""
    return os.path.join(os.environ.get("BUILDX_CONFIG") or os.path.join(config_folder(), "buildx"), "current")


def _read(path: str) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        content = json.load(file)
        return content if isinstance(content, dict) else {}
    return {}
