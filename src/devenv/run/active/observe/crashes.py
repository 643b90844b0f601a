"""Reports of services that end while the project is up; a crash loop is reported once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from devenv.errors import DevenvError
from devenv.events import Emit, Problem
from devenv.run.active.observe.view import LASTING, ProjectView
from devenv.run.active.phases import Phase, Standing, optional

ASKED = (130, 143)  # exit codes of what ended by INT and TERM


@dataclass
class CrashReports:
    """Reports ends that nothing else reports: after the project was up (`is_up`), or of services that may fail.

    `failure` gives the error of a service that failed.
    """

    emit: Emit
    view: ProjectView
    failure: Callable[[Standing], Awaitable[DevenvError]]
    is_up: bool = False
    _reported: set[str] = field(default_factory=set)

    def is_crash(self, standing: Standing, now: float) -> bool:
        """Whether the end of a service is a problem, and not the last end of it once more."""
        if standing.phase is not Phase.EXITED or standing.service in self.view.stopped:
            return False
        failed = [c for c in self.view.state.of(standing.service) if c.exit_code not in (0, *ASKED)]
        lasted = max((self.view.lasted(c, now) for c in failed), default=0.0)
        is_new = standing.service not in self._reported or lasted >= LASTING
        return bool(failed) and is_new and (self.is_up or standing.service in optional(self.view.project))

    async def report(self, standing: Standing) -> None:
        """Report the end with its cause."""
        self._reported.add(standing.service)
        error = await self.failure(standing)
        message = error.said.replace(f"service {standing.service} failed: ", "", 1)
        self.emit(Problem(message, error.hint, standing.service))
