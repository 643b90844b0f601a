"""What the words of a failed pull mean, and what follows from all of them together."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from devenv.errors import EngineError
from devenv.explain import matcher, table
from devenv.images.needs import Need
from devenv.model.image_ref import HUB, familiar, registry, split

ABSENT = "image or tag not found"

TABLE = "pull"
TOKEN = re.compile(r"failed to fetch (?:oauth|anonymous) token")
# Builds on the engine ask for no token: what they need is here before. Another builder asks by itself.
TOKEN_COMMAND = "BUILDX_BUILDER=default devenv up"  # noqa: S105 - no password
_URL = re.compile(r"(https?://([^/\s\"]+))[^\s\"]*")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image could not be had, and the command that helps, if one does.

    `impossible`: no registry answered, so that a stand-in is a cure. `passing`: the same may work in a moment.
    """

    cause: str
    impossible: bool = False
    passing: bool = False
    hint: str | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether another source may give what this one does not."""
        return self.impossible or self.passing


SILENT = Failure("no answer in time", impossible=True)  # of who was waited for as long as we wait


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about images that are not here: make stand-ins for some, use the present ones for others."""

    stand_ins: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    failed: Mapping[str, Failure] = field(default_factory=dict)


def known_failure(text: str, reference: str = "") -> Failure | None:
    """What the engine, BuildKit or a registry says of an image, in our words; None where nobody has foreseen it.

    Without the reference that was asked for, the first address in the text is taken for the registry.
    """
    host = registry(reference) if reference else named_host(text) or HUB
    name = re.escape(split(reference)[0])  # it may hold any of the words
    told = re.sub(rf"(?<![\w-]){name}(?=[:@,]| not found)", "", _URL.sub(r"\1", text))
    explanation = matcher.explain(table.load(TABLE), told, lambda *_: {"host": host})
    if explanation is None:
        return None
    options = explanation.entry.options
    impossible, passing = options.get("no_answer", False), options.get("passing", False)
    command = TOKEN_COMMAND if impossible and TOKEN.search(told) else explanation.hint.removesuffix(f" {HUB}")
    return Failure(explanation.cause, impossible, passing, command or None)


def read_failure(text: str, reference: str = "", verb: str = "pull") -> Failure:
    """As `known_failure`; the last words of the text where nobody has foreseen it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = re.sub(r"^Error response from daemon: ", "", lines[-1])[:160] if lines else "no reason given"
    return known_failure(text, reference) or Failure(last, hint=f"docker {verb} {reference}" if reference else None)


def named_host(text: str) -> str:
    """The host of the first address in the text, without a login; empty where there is none."""
    found = _URL.search(text)
    host = found[2].rpartition("@")[2] if found else ""
    return HUB if host.endswith(f".{HUB}") else host


def decide(
    failures: Mapping[str, Failure], *, here: Collection[str], recipes: Collection[str], consent: bool
) -> Decision:
    """Per failed reference: its stand-in, the older image that is here, or an error.

    An image that was only to be renewed (`pull_policy: always`) is used as it is when no registry answers.
    """
    stand_ins, stale, failed = [], [], {}
    for reference, failure in failures.items():
        if failure.impossible and reference in here:
            stale.append(reference)
        elif failure.impossible and consent and reference in recipes:
            stand_ins.append(reference)
        else:
            failed[reference] = failure
    return Decision(tuple(stand_ins), tuple(stale), failed)


def explain(
    failed: Mapping[str, Failure], needs: Sequence[Need], *, recipes: Collection[str], consent: bool
) -> EngineError:
    """The error for images that cannot be had: each with who needs it and why not, and what to type."""
    by_reference = {need.reference: need for need in needs}
    lines = [
        f"  {reference} ({', '.join(by_reference[reference].users)}): {cause(reference, failure)}"
        for reference, failure in failed.items()
    ]
    one = len(failed) == 1
    message = "\n".join([f"{'an image is' if one else f'{len(failed)} images are'} not available:", *lines])
    return EngineError(message, hint=_hint(failed, recipes=recipes, consent=consent))


def cause(reference: str, failure: Failure) -> str:
    """Why the reference could not be pulled, and by which registry where none answered."""
    return f"{registry(reference)} does not answer: {failure.cause}" if failure.impossible else failure.cause


def _hint(failed: Mapping[str, Failure], *, recipes: Collection[str], consent: bool) -> str | None:
    silent = [reference for reference, failure in failed.items() if failure.impossible]
    told = next((failure.hint for failure in failed.values() if failure.hint), None)
    if not silent:
        return told
    without = [familiar(reference) for reference in silent if reference not in recipes]
    if without:
        way = "name a mirror in your settings ([registry] mirrors), or `devenv images load FILE`"
        return told or f"there is no stand-in for {', '.join(without)}: {way}"
    offered = None if consent else "devenv up --stand-ins"
    return "; or ".join(filter(None, (told, offered))) or None
