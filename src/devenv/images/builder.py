"""The builder that Compose will use, where it is not the engine's own."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from devenv.engine.endpoint import Endpoint, config_folder
from devenv.model.events import Notice


def foreign_builder(endpoint: Endpoint) -> Notice | None:
    """What is to be said of a builder that does not see the engine's images; None where the engine itself builds.

    Source of the files: buildx, store/store.go.
    """
    folder = os.environ.get("BUILDX_CONFIG") or os.path.join(config_folder(), "buildx")
    current = _read(os.path.join(folder, "current"))
    counts = current.get("Global") or current.get("Key") in (endpoint.context, endpoint.host)
    name = os.environ.get("BUILDX_BUILDER") or (str(current.get("Name") or "") if counts else "")
    driver = _read(os.path.join(folder, "instances", os.path.basename(name))).get("Driver") if name else None
    if driver in (None, "docker"):
        return None
    said = f"the builder {name} ({driver}) does not see the engine's images: it asks registries by itself"
    return Notice(said, "BUILDX_BUILDER=default devenv up")


def _read(path: str) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        found = json.load(file)
        return found if isinstance(found, dict) else {}
    return {}
