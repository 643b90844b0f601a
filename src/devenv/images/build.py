"""Builds of services, and why one failed in words that help."""

from __future__ import annotations

from collections.abc import Sequence

from devenv.docker.compose import BuildError, Compose
from devenv.events import Emit, Step
from devenv.images.build_errors import explain
from devenv.images.pull_errors import known_failure, named_host


async def build(compose: Compose, services: Sequence[str], emit: Emit, *, given: bool) -> None:
    """The images of these services. `given`: the builds know this host's settings.

    Raises as `Compose.build`; what kept a build from a registry or a package is said with a cause and a command.
    """
    try:
        await compose.build(services, lambda line: emit(Step("build", "detail", line)))
    except BuildError as error:
        raise _told(error, given=given) from error


def _told(error: BuildError, *, given: bool) -> BuildError:
    if error.in_step:
        fault = explain((error.reason, *error.lines), given=given)  # curl names no host, and its command does
        reason = f"{error.reason}: {fault.what}" if fault else error.reason
        return BuildError(error.subject, reason, error.lines, in_step=True, hint=fault.hint if fault else None)
    failure = known_failure(error.reason)
    if failure is None:
        return error
    silent = f"{named_host(error.reason) or 'a server'} does not answer: " if failure.impossible else ""
    return BuildError(error.subject, f"{silent}{failure.cause}", hint=failure.hint)
