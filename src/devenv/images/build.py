"""Builds of services: which builder makes them, and why a build failed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from typing import Any

from devenv.docker.compose import Compose
from devenv.docker.compose_failures import BuildError
from devenv.docker.context import config_folder
from devenv.docker.endpoint import Endpoint
from devenv.events import Emit, Notice, Step
from devenv.images.build_errors import explain
from devenv.images.pull_errors import known_failure, named_host


async def build(compose: Compose, services: Sequence[str], emit: Emit, *, host_settings: bool) -> None:
    """Build the images of these services. `host_settings`: the builds get this host's settings.

    Raises as `Compose.build`; if a registry or a package could not be reached, the error has its cause and a hint.
    """
    try:
        await compose.build(services, lambda line: emit(Step("build", "detail", line)))
    except BuildError as error:
        raise _explained(error, host_settings=host_settings) from error


def _explained(error: BuildError, *, host_settings: bool) -> BuildError:
    if error.in_step:
        fault = explain(
            (error.reason, *error.lines), host_settings=host_settings
        )  # curl names no host, and its command does
        reason = f"{error.reason}: {fault.what}" if fault else error.reason
        return BuildError(error.subject, reason, error.lines, in_step=True, hint=fault.hint if fault else None)
    failure = known_failure(error.reason)
    if failure is None:
        return error
    silent = f"{named_host(error.reason) or 'a server'} does not answer: " if failure.impossible else ""
    return BuildError(error.subject, f"{silent}{failure.cause}", hint=failure.hint)


def foreign_builder(endpoint: Endpoint) -> Notice | None:
    """A notice if the selected builder does not see the engine's images; None if the engine itself builds."""
    name, instance = selected(endpoint)
    driver = instance.get("Driver")
    if driver in (None, "docker"):
        return None
    message = f"the builder {name} ({driver}) does not see the engine's images: it asks registries by itself"
    return Notice(message, "BUILDX_BUILDER=default devenv up")


def selected(endpoint: Endpoint) -> tuple[str, dict[str, Any]]:
    """The selected builder's name, empty if there is none, and its stored description.

    Source of the files: buildx, store/store.go.
    """
    current = _read(selection_file())
    counts = current.get("Global") or current.get("Key") in (endpoint.context, endpoint.host)
    name = os.environ.get("BUILDX_BUILDER") or (str(current.get("Name") or "") if counts else "")
    instance = os.path.join(os.path.dirname(selection_file()), "instances", os.path.basename(name))
    return name, _read(instance) if name else {}


def selection_file() -> str:
    """The path of the file that names the selected builder."""
    folder = os.environ.get("BUILDX_CONFIG") or os.path.join(config_folder(), "buildx")
    return os.path.join(folder, "current")


def _read(path: str) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        content = json.load(file)
        return content if isinstance(content, dict) else {}
    return {}
