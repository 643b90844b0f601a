"""When a service has settled: every save is in its containers, and what followed from it has ended. Pure.

Times are in seconds of one clock. A service is proven by what began after the last effect on it: its health check, or
an answer of its port. An error in its log since then is a failure, whatever the proof says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Literal

from devenv.explain.log_lines import PATTERNS
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import bare
from devenv.model.status import BAD, GOOD, Phase, Standing

NOTICED = 1.0  # seconds after a sync in which a program that watches its files has to show that it noticed it; and
# after that, in which it may show that it has loaded again: many do not, and their check has to show it
NOTICED_LATE = 3.0  # the same for a program whose log says that it watches: some poll, or wait for quiet
COMPLETE = 0.2  # seconds after the last line of an error until the error is complete
STILL_OLD = 0.2  # seconds after a sync in which an error may be of a request that the old code answers
LINES, BEFORE = 10, 5  # lines of the log that explain an error, and how many of them are before its message
LOGGED = 0.03  # seconds that a line may need from the program to us

State = Literal["synced", "restarted", "healthy", "unverified"]
Kind = Literal["", "synced", "restarted"]


@dataclass(frozen=True, slots=True)
class Effect:
    """The last effect on a service: its files were synced, or its process was started.

    `failure`: what went wrong at `failed_at`; a process that was started later has nothing to do with it.
    """

    kind: Kind = ""
    at: float = -math.inf
    failure: str = ""
    failed_at: float = -math.inf

    def started(self, at: float) -> Effect:
        """The effect, given that the newest process of the service was started then."""
        last = Effect("restarted", at) if at > self.at else self
        return replace(last, failure="" if at > self.failed_at else self.failure, failed_at=self.failed_at)


@dataclass(frozen=True, slots=True)
class Proof:
    """A check that we ran: when it began, and why it failed; `is_possible` is False if the service has none."""

    began: float = -math.inf
    failure: str = ""
    is_possible: bool = True


@dataclass(frozen=True, slots=True)
class ReloadSigns:
    """What the log shows since the last effect: when the program noticed the change, and when it had loaded."""

    noticed: float = -math.inf
    loaded: float = -math.inf


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a service. `seen`: when the look began that its standing is from.

    `error`: the last error in its log since the effect, which came at `error_at`. `is_reloader`: its log says that it
    watches its files. `is_busy`: changes, commands or restarts are under way.
    """

    standing: Standing
    effect: Effect
    seen: float = -math.inf
    is_busy: bool = False
    problem: str = ""
    error: str = ""
    error_at: float = -math.inf
    reload: ReloadSigns = ReloadSigns()
    is_reloader: bool = False
    proof: Proof = Proof()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`state` if the service has settled, `failure` if it has failed; with neither, `waits` says what for."""

    state: State | None = None
    failure: str = ""
    waits: str = ""
    needs: Literal["", "look", "proof"] = ""  # a look or a check that has to begin now
    is_logged: bool = True  # the lines of its log may explain the failure; else only those of the failure itself


_RELOAD = Verdict(waits="a reload")
_RELOADING = Verdict(waits="the end of its reload")


def verdict(facts: Facts, now: float) -> Verdict:
    """Whether the service has settled or failed, else what it waits for."""
    verdicts = (rule(facts, now) for rule in (_is_synced, _is_looked_at, _has_error, _has_reloaded, _is_proven))
    return next(found for found in verdicts if found is not None)


def synced(facts: Facts, _: float) -> Verdict:
    """Whether the service has settled or failed if only its files count."""
    return _is_synced(facts, 0.0) or Verdict("synced")


def _is_synced(facts: Facts, _: float) -> Verdict | None:
    if facts.is_busy:
        return Verdict(waits=facts.problem or "changes that are under way")
    failure = facts.problem or facts.effect.failure
    if (cause := facts.error.partition(": ")[2]) and cause in failure:  # a process that ended, and its last lines
        return Verdict(failure=facts.error)
    return Verdict(failure=failure, is_logged=False) if failure else None


def _begin(facts: Facts) -> float:
    """When the last effect on the process was seen; what proves it has to begin later."""
    return max(facts.effect.at, facts.reload.noticed, facts.reload.loaded)


def _is_looked_at(facts: Facts, _: float) -> Verdict | None:
    if facts.seen < _begin(facts):
        return Verdict(waits="a look at its containers", needs="look")
    return Verdict("synced") if facts.standing.phase in (Phase.COMPLETED, Phase.STOPPED) else None


def _has_error(facts: Facts, now: float) -> Verdict | None:
    if facts.error_at >= max(facts.effect.at - LOGGED, facts.reload.noticed):
        if _may_be_old(facts) and now < facts.effect.at + NOTICED_LATE:
            return _RELOAD
        is_complete = now >= facts.error_at + COMPLETE and facts.error
        return Verdict(failure=facts.error) if is_complete else Verdict(waits="the rest of an error in its log")
    is_bad = facts.standing.phase in BAD - {Phase.UNHEALTHY}  # the check of the engine may be older than the save
    return Verdict(failure=facts.standing.how) if is_bad else None


def _may_be_old(facts: Facts) -> bool:
    """Whether the error may be of the code before the sync, since the program has not loaded the new code."""
    is_unnoticed = facts.effect.kind == "synced" and facts.reload.noticed < facts.effect.at - LOGGED
    return facts.is_reloader and is_unnoticed and facts.error_at < facts.effect.at + STILL_OLD


def _has_reloaded(facts: Facts, now: float) -> Verdict | None:
    effect, reload = facts.effect, facts.reload
    if effect.kind != "synced":
        return None
    if reload.noticed > reload.loaded:
        return None if now >= reload.noticed + NOTICED else _RELOADING
    patience = NOTICED_LATE if facts.is_reloader else NOTICED
    is_over = reload.loaded >= effect.at or now >= effect.at + patience
    return None if is_over else _RELOAD


def _is_proven(facts: Facts, now: float) -> Verdict:
    proof, begin = facts.proof, _begin(facts) + LOGGED
    if proof.began < begin or proof.failure:
        return Verdict(waits=proof.failure or "its check", needs="proof" if now >= begin else "")
    if proof.is_possible:
        return Verdict("healthy")
    if facts.standing.phase not in GOOD:
        return Verdict(waits=facts.standing.how, needs="look")
    is_loading = facts.effect.kind == "synced" and facts.reload.noticed > facts.reload.loaded
    if is_loading and now < facts.reload.noticed + NOTICED_LATE:  # only an error in its log could show something
        return _RELOADING
    was_loaded = facts.effect.kind == "restarted" or (facts.reload.loaded >= facts.effect.at and not is_loading)
    return Verdict("restarted" if was_loaded else "unverified")


def reload_shown(lines: Iterable[tuple[float, str]], since: float) -> ReloadSigns:
    """What the lines, each with its time, show of a reload since then."""
    noticed = loaded = -math.inf
    for at, line in lines:
        if at < since - LOGGED:
            continue
        if PATTERNS["reloads"].search(line) or PATTERNS["restarts"].search(line):
            noticed = at
        elif PATTERNS["reloaded"].search(line):
            loaded = at
    return ReloadSigns(noticed, loaded)


def failed(name: str, found: Verdict, lines: Iterable[tuple[float, str]], since: float) -> SettledService:
    """A service with a failure, and with the lines of its log since then, or of the failure, that explain it."""
    first, *rest = found.failure.splitlines()
    log = excerpt(lines, since, first) if found.is_logged else tuple(plain(line) for line in rest[-LINES:])
    return SettledService(name, "failed", plain(first), log)


def excerpt(lines: Iterable[tuple[float, str]], since: float, error: str) -> tuple[str, ...]:
    """The lines that explain the error: those around the first one that has its message, else the last ones."""
    new = [line for at, line in lines if at >= since - LOGGED]
    message = error.partition(": ")[2] or error
    first = next((index for index, line in enumerate(new) if message and message in line), len(new))
    begin = max(0, min(first - BEFORE, len(new) - LINES))
    return tuple(map(plain, new[begin : begin + LINES]))


def plain(line: str) -> str:
    """The line without colours and characters that could change a terminal."""
    return "".join(char if char.isprintable() else " " for char in bare(line).replace("\t", "    "))


@dataclass(frozen=True, slots=True)
class SettledService:
    """What is known of a service: why it failed, and the last lines of its log."""

    service: str
    state: Annotated[
        Literal["synced", "restarted", "healthy", "unverified", "failed", "waiting"],
        "synced: it has no process to prove; unverified: it has no check and no port that answers",
    ]
    failure: Annotated[str, "empty unless it failed, or did not settle in time"] = ""
    log: Annotated[tuple[str, ...], "the last lines of its log if it failed"] = ()


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer of `devenv settle`."""

    settled: Annotated[bool, "every save before the command is in effect, and every service works"]
    seconds: float
    services: tuple[SettledService, ...]

    @property
    def lines(self) -> Iterator[str]:
        """The answer for people."""
        width = max((len(service.service) for service in self.services), default=0)
        for service in self.services:
            yield f"{service.service:{width}}  {service.failure or service.state}"
            yield from (f"{'':{width}}  | {line}" for line in service.log)
