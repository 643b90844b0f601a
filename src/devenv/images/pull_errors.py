"""What the words of a failed pull mean, and what follows from all of them together."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from devenv.errors import EngineError
from devenv.images.needs import Need
from devenv.model.image_ref import HUB, familiar, registry, split

ABSENT = "there is no such image or tag"

# The first pattern that fits decides. The network comes first: a registry's name server may fail while the engine
# asks for a token, and that text says "unauthorized" too. {host} is the registry.
NO_ANSWER = (
    (
        r"http\.docker\.internal",
        "Docker Desktop's own proxy does not let it through",
        "Docker Desktop: Settings, Resources, Proxies",
    ),
    (
        r"proxyconnect|proxy authentication",
        "the proxy does not let it through",
        "docker info shows the engine's proxy (HTTP Proxy, HTTPS Proxy); it is set where the engine is",
    ),
    (r"no such host|server misbehaving|name resolution|name or service not known", "its name is not found (DNS)", ""),
    (r"connection refused", "connection refused", ""),
    (r"no route to host|network is unreachable|host is down", "no route to it", ""),
    (
        r"x509|certificate",
        "its certificate is not trusted",
        "put the authority's certificate where the engine looks for it: /etc/docker/certs.d/{host}/ca.crt",
    ),
    (
        r"server gave http response to https client|first record does not look like a tls handshake",
        "it does not speak HTTPS",
        'give it a certificate, or name it in the engine\'s daemon.json: "insecure-registries": ["{host}"]',
    ),
    (r"i/o timeout|timeout|deadline ?exceeded|request canceled|nothing came for", "no answer in time", ""),
    (r"error parsing http 40[37] response|unexpected http status:? 403", "something on the way blocks it (403)", ""),
    (
        r"content-type header|invalid character '|unmarshalling|text/html",
        "what answers there is no registry",
        "the network may want you to sign in first; what is there: curl -i https://{host}",
    ),
)
PASSING = (
    (
        r"(?:status:?|request to \S+) 50[0234]|bad gateway|service unavailable|http 50[0234]",
        "it is out of service",
        "",
    ),
    (r"tls: |connection reset|broken pipe|unexpected eof|: eof$|short read", "the connection broke", ""),
)
LIMITS = (
    (
        r"toomanyrequests|rate limit|too many requests|\b429\b",
        "the registry's limit of pulls is reached",
        "docker login {host}",
    ),
)
REFUSALS = (
    (
        r"error getting credentials|docker-credential-",
        "the docker CLI's credential helper cannot be used",
        "take `credsStore` out of ~/.docker/config.json and log in again: docker login {host}",
    ),
    (
        r"verification failed|digest mismatch|does not match (?:the )?(?:expected )?digest|failed commit on ref",
        "what came is not what its digest says, and was thrown away",
        "correct the digest, or ask who runs the registry",
    ),
    (
        r"no matching manifest|no match for platform|does not match the specified platform",
        "there is no such image for this processor",
        "choose one that there is: `platform: linux/amd64` at the service",
    ),
    (
        r"incorrect username or password|invalid username/password",
        "the registry does not know the user and password that docker keeps",
        "docker login {host}",
    ),
    (
        r"denied|unauthorized|no basic auth|forbidden|authentication required|insufficient.scope",
        "access is denied",
        "docker login {host}",
    ),
    (r"does not exist locally", "there is no such image here", "devenv build"),
    (
        r"manifest unknown|no such manifest|name unknown|name_unknown|: not found",
        ABSENT,
        "devenv images shows where the name is written",
    ),
    (r"no space left", "the engine's disk is full", "docker system df"),
    (
        r"too large|status:? 413",
        "a layer is larger than the registry takes",
        "ask who runs the registry for a higher limit, or make the layer smaller: devenv layers",
    ),
    (
        r"invalid reference format|must be lowercase",
        "that is not an image's name",
        "devenv images shows where the name is written",
    ),
)
# Rows, whether it is no registry's word, and whether the same may work in a moment.
KINDS = ((NO_ANSWER, True, False), (LIMITS, False, True), (PASSING, True, True), (REFUSALS, False, False))
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
    for patterns, impossible, passing in KINDS:
        for pattern, cause, hint in patterns:
            if re.search(pattern, told, re.IGNORECASE | re.MULTILINE):
                command = TOKEN_COMMAND if impossible and TOKEN.search(told) else hint.replace("{host}", host)
                return Failure(cause, impossible, passing, command.removesuffix(f" {HUB}") or None)
    return None


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
    message = "\n".join([f"{'an image' if one else f'{len(failed)} images'} cannot be had:", *lines])
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
