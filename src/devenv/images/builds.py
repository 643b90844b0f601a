"""Builds of services, and why one failed in words that help."""

from __future__ import annotations

from collections.abc import Sequence

from devenv.engine.compose import BuildError, Compose
from devenv.images.outcomes import known_failure, named_host
from devenv.images.runfaults import explain
from devenv.model.events import Emit, Step


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
