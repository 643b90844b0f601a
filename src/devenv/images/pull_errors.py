"""Why images could not be pulled, by the table of causes `pull`, and what to do about all of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from devenv.errors import EngineError
from devenv.explain import table
from devenv.images.needs import Need
from devenv.model.image_ref import HUB, familiar, registry, split

TABLE = "pull"
TOKEN = re.compile(r"failed to fetch (?:oauth|anonymous) token")
# Builds by the engine need no token, since their images were pulled before. Another builder pulls by itself.
TOKEN_COMMAND = "BUILDX_BUILDER=default devenv up"  # noqa: S105 - not a password
_URL = re.compile(r"(https?://([^/\s\"]+))[^\s\"]*")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image could not be pulled, and the command that helps, if there is one.

    `impossible`: no registry answered, so a stand-in can help. `passing`: another try may succeed soon. `absent`: the
    registry has no such image.
    """

    cause: str
    impossible: bool = False
    passing: bool = False
    absent: bool = False
    hint: str | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether another source may have the image."""
        return self.impossible or self.passing


SILENT = Failure("no answer in time", impossible=True)  # after the time limit of devenv


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about images that could not be pulled: make stand-ins, use older images, or fail."""

    stand_ins: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    failed: Mapping[str, Failure] = field(default_factory=dict)


def known_failure(text: str, reference: str = "") -> Failure | None:
    """The failure for an error of the engine, BuildKit or a registry; None if no entry of the table matches.

    Without `reference`, the first address in the text is that of the registry.
    """
    host = registry(reference) if reference else named_host(text) or HUB
    name = re.escape(split(reference)[0])  # it may contain words of the patterns
    message = re.sub(rf"(?<![\w-]){name}(?=[:@,]| not found)", "", _URL.sub(r"\1", text))
    explanation = table.explain(table.load(TABLE), message, lambda *_: {"host": host})
    if explanation is None:
        return None
    options = explanation.entry.options
    impossible, passing = options.get("no_answer", False), options.get("passing", False)
    absent = options.get("absent", False)
    command = TOKEN_COMMAND if impossible and TOKEN.search(message) else explanation.hint.removesuffix(f" {HUB}")
    return Failure(explanation.cause, impossible, passing, absent, command or None)


def read_failure(text: str, reference: str = "", verb: str = "pull") -> Failure:
    """As `known_failure`, or a failure with the last line of the text."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = re.sub(r"^Error response from daemon: ", "", lines[-1])[:160] if lines else "no reason given"
    return known_failure(text, reference) or Failure(last, hint=f"docker {verb} {reference}" if reference else None)


def named_host(text: str) -> str:
    """The host of the first address in the text, without a login; empty if there is no address."""
    match = _URL.search(text)
    host = match[2].rpartition("@")[2] if match else ""
    return HUB if host.endswith(f".{HUB}") else host


def decide(
    failures: Mapping[str, Failure], *, here: Collection[str], recipes: Collection[str], consent: bool
) -> Decision:
    """For each reference that failed: its stand-in, the older local image, or an error.

    A local image that was only to be updated (`pull_policy: always`) is used if no registry answers.
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
    """The error for images that are not available: who needs each, why it failed, and what to type."""
    by_reference = {need.reference: need for need in needs}
    lines = [
        f"  {reference} ({', '.join(by_reference[reference].users)}): {cause(reference, failure)}"
        for reference, failure in failed.items()
    ]
    is_single = len(failed) == 1
    message = "\n".join([f"{'an image is' if is_single else f'{len(failed)} images are'} not available:", *lines])
    return EngineError(message, hint=_hint(failed, recipes=recipes, consent=consent))


def cause(reference: str, failure: Failure) -> str:
    """Why the reference could not be pulled, with the registry if it did not answer."""
    return f"{registry(reference)} does not answer: {failure.cause}" if failure.impossible else failure.cause


def _hint(failed: Mapping[str, Failure], *, recipes: Collection[str], consent: bool) -> str | None:
    silent = [reference for reference, failure in failed.items() if failure.impossible]
    known = next((failure.hint for failure in failed.values() if failure.hint), None)
    if not silent:
        return known
    without = [familiar(reference) for reference in silent if reference not in recipes]
    if without:
        hint = "name a mirror in your settings ([registry] mirrors), or `devenv images load FILE`"
        return known or f"there is no stand-in for {', '.join(without)}: {hint}"
    offered = None if consent else "devenv up --stand-ins"
    return "; or ".join(filter(None, (known, offered))) or None
