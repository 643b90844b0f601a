"""What the words of a failed pull mean, and what follows from all of them together."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from devenv.errors import EngineError
from devenv.images.references import Need, familiar, registry

# The first pattern that fits decides. The network comes first: a registry's name server may fail while the
# engine asks for a token, and that text says "unauthorized" too.
NO_ANSWER = (
    (r"proxyconnect|proxy authentication", "the proxy does not let it through"),
    (r"no such host|server misbehaving|name resolution|name or service not known", "its name is not found (DNS)"),
    (r"connection refused", "connection refused"),
    (r"no route to host|network is unreachable|host is down", "no route to it"),
    (r"x509|certificate", "its certificate is not trusted"),
    (r"server gave http response to https client", "it does not speak HTTPS"),
    (r"i/o timeout|timeout|deadline exceeded|request canceled", "no answer in time"),
    (r"http status:? 50[0234]|bad gateway|service unavailable", "it is out of service"),
    (r"tls: |connection reset|broken pipe|unexpected eof|: eof$", "the connection broke"),
)
REFUSALS = (
    (r"toomanyrequests|rate limit|too many requests", "the registry's limit of pulls is reached"),
    (r"no matching manifest|does not match the specified platform", "there is no such image for this processor"),
    (r"access denied|denied|unauthorized|no basic auth|forbidden|authentication required", "access is denied"),
    (r"manifest unknown|no such manifest|name unknown|: not found", "there is no such image or tag"),
    (r"no space left", "the engine's disk is full"),
    (r"invalid reference format", "that is not an image's name"),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a pull failed; `impossible` where no registry answered, so that trying again elsewhere is no cure."""

    cause: str
    impossible: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about images that are not here: make stand-ins for some, use the present ones for others."""

    stand_ins: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    failed: Mapping[str, Failure] = field(default_factory=dict)


def read_failure(text: str) -> Failure:
    """What `docker pull` said on standard error, in our words; its own last words where we do not know them."""
    for patterns, impossible in ((NO_ANSWER, True), (REFUSALS, False)):
        for pattern, words in patterns:
            if re.search(pattern, text, re.IGNORECASE | re.MULTILINE):
                return Failure(words, impossible)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return Failure(re.sub(r"^Error response from daemon: ", "", lines[-1])[:160] if lines else "no reason given")


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
    message = "\n".join([f"{'an image' if one else f'{len(failed)} images'} cannot be had:", *lines])
    return EngineError(message, hint=_hint(failed, by_reference, recipes=recipes, consent=consent))


def cause(reference: str, failure: Failure) -> str:
    """Why the reference could not be pulled, and by which registry where none answered."""
    return f"{registry(reference)} does not answer: {failure.cause}" if failure.impossible else failure.cause


def _hint(
    failed: Mapping[str, Failure], needs: Mapping[str, Need], *, recipes: Collection[str], consent: bool
) -> str | None:
    silent = [reference for reference, failure in failed.items() if failure.impossible]
    without = [familiar(reference) for reference in silent if reference not in recipes]
    if not silent:
        return next(filter(None, map(_login, failed, failed.values())), None)
    if all(needs[reference].kind == "frontend" for reference in silent):
        return "take the `# syntax=` line out of the Dockerfile: the engine's own builder reads it too"
    if without:
        return f"there is no stand-in for {', '.join(without)}: reach a registry, or `docker load` it from a file"
    return None if consent else "devenv up --stand-ins"


def _login(reference: str, failure: Failure) -> str | None:
    host = registry(reference)
    if "denied" in failure.cause or "limit" in failure.cause:
        return "docker login" if host == "docker.io" else f"docker login {host}"
    return None
