"""Why an image could not be pulled or built, and what to do about it, from tables of causes.

Also notices about secrets in build arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from functools import partial

from devenv.docker.compose_failures import BuildError, short
from devenv.errors import ConfigError, DevenvError, EngineError, closest
from devenv.events import Notice
from devenv.explain import table
from devenv.explain.table import Explanation, TableEntry
from devenv.images.dockerfile_parser import instruction_line
from devenv.lazy_dataclass import dataclass
from devenv.model.images import HUB, canonical, registry, split

PULL_TABLE, NETWORK_TABLE, STEP_TABLE, DOCKERFILE_TABLE = "pull", "build_network", "build_step", "dockerfile"
TOKEN = re.compile(r"failed to fetch (?:oauth|anonymous) token")
# Builds by the engine need no token, since their images were pulled before. Other builders pull images themselves.
OWN_BUILDER = "BUILDX_BUILDER=default devenv up"
MIRROR = "use a mirror: devenv doctor --fix --mirror HOST, or: devenv images load FILE"
GIVE = "devenv up --host-settings"
BOOT, BUILDER_IMAGE = "booting buildkit", "moby/buildkit:buildx-stable-1"  # of Buildx
_TELLING = (
    r"https?://(?:[^/@\s]*@)?|host='|resolv(?:e|ing)(?: host)?(?: address)?:? '?|(?:ENOTFOUND|EAI_AGAIN|lookup) "
)
_HOST = re.compile(rf"(?i)(?:{_TELLING})(?P<host>[\w-]+(?:\.[\w-]+)+)")
_LOGIN = r"\bE401\b|\b401 (?:Unauthorized|Client Error)|HTTP (?:error )?401\b|\b407 Proxy Authentication"
_SECRET_HINT = "Give it as a secret: `secrets:` of the build, and RUN --mount=type=secret,id={id} in the Dockerfile."  # noqa: S105
_SECRET = re.compile(
    r"(?i)(?:^|_)(?:pass|passwd|password|passphrase|token|secret|(?:api|access|private)?_?key|credentials?|auth)(?:_|$)"
)
_URL = re.compile(r"(https?://([^/\s\"]+))[^\s\"]*")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image could not be pulled or a step failed, and the command that helps, if any.

    `impossible`: no registry answered, so a stand-in can help. `passing`: another try may succeed soon. `absent`: the
    registry has no such image. `of_file`: the file that names the image is wrong.
    """

    cause: str
    impossible: bool = False
    passing: bool = False
    absent: bool = False
    hint: str | None = None
    of_file: bool = False

    @property
    def elsewhere(self) -> bool:
        """Whether another source may have the image."""
        return self.impossible or self.passing


SILENT = Failure("no answer in time", impossible=True)  # after devenv's time limit


def known_failure(text: str, reference: str = "") -> Failure | None:
    """The failure for an error of the engine, BuildKit or a registry; None if no entry of the table matches.

    Without `reference`, the first address in the text is taken as the registry.
    """
    host = registry(reference) if reference else named_host(text) or HUB
    name = re.escape(split(reference)[0])  # the name may contain words of the patterns
    message = re.sub(rf"(?<![\w-]){name}(?=[:@,]| not found)", "", _URL.sub(r"\1", text))
    explanation = table.explain(table.load(PULL_TABLE), message, lambda *_: {"host": host})
    if explanation is None:
        return None
    options = explanation.entry.options
    impossible, passing = options.get("no_answer", False), options.get("passing", False)
    absent = options.get("absent", False)
    command = OWN_BUILDER if impossible and TOKEN.search(message) else explanation.hint.removesuffix(f" {HUB}")
    return Failure(explanation.cause, impossible, passing, absent, command or None, options.get("of_file", False))


def read_failure(text: str, reference: str = "", verb: str = "pull") -> Failure:
    """Like `known_failure`, or a failure with the last line of the text."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = re.sub(r"^Error response from daemon: ", "", lines[-1])[:160] if lines else "no reason given"
    return known_failure(text, reference) or Failure(last, hint=f"docker {verb} {reference}" if reference else None)


def named_host(text: str) -> str:
    """The host of the first address in the text, without a login; empty if there is no address."""
    match = _URL.search(text)
    host = match[2].rpartition("@")[2] if match else ""
    return HUB if host.endswith(f".{HUB}") else host


def substitute(failure: Failure, *, local: bool, recipe: bool, consent: bool) -> str | None:
    """The substitute for an image that could not be pulled: "stand-in", or "local" for a failed update."""
    if failure.impossible and local:
        return "local"
    return "stand-in" if failure.impossible and recipe and consent else None


def explain(
    failed: Mapping[str, Failure], lines: Mapping[str, Sequence[str]], *, instead: Mapping[str, str], consent: bool
) -> DevenvError:
    """The error for images that are not available: the `lines` that name each, why it failed, and what to type.

    `instead`: reference -> what to use in its place, if it has no stand-in. A ConfigError if only the files are
    wrong.
    """
    causes = [f"  {name} ({', '.join(lines[name])}): {cause(name, failure)}" for name, failure in failed.items()]
    head = "an image is" if len(failed) == 1 else f"{len(failed)} images are"
    guesses = {name: f"did you mean `{guess}`?" for name in failed if (guess := _guess(name))}
    others = {name: text for name, text in instead.items() if name not in guesses}
    hints = [*guesses.values(), *filter(None, [_hint(failed, others, consent=consent)])]
    kind = ConfigError if all(failure.of_file for failure in failed.values()) else EngineError
    hint = "; or ".join(hints).replace("?; or ", "? Or: ")
    return kind("\n".join([f"{head} not available:", *causes]), hint=hint or None)


def _guess(reference: str) -> str | None:
    """The reference with the name of an official image that is very similar, but not the same."""
    name, tag, _ = split(canonical(reference))
    repository = name.removeprefix(f"{HUB}/library/")
    official = table.read(PULL_TABLE)["official"].split()
    close = closest(repository, (name for name in official if name[:1] == repository[:1]))
    if close is None or close == repository or abs(len(close) - len(repository)) > 1:
        return None
    return f"{close}:{tag}" if tag else close


def cause(reference: str, failure: Failure) -> str:
    """Why the reference could not be pulled, with the name of a registry that did not answer."""
    return f"{registry(reference)} does not answer: {failure.cause}" if failure.impossible else failure.cause


def _hint(failed: Mapping[str, Failure], instead: Mapping[str, str], *, consent: bool) -> str | None:
    silent = [reference for reference, failure in failed.items() if failure.impossible]
    known = next((failure.hint for failure in failed.values() if failure.hint), None)
    if without_stand_in := [instead[reference] for reference in silent if reference in instead]:
        return known or "\n  ".join([*without_stand_in, f"or {MIRROR}"])
    offered = "devenv up --stand-ins" if silent and not consent else None
    return "; or ".join(filter(None, (known, offered))) or None


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """The facts about a build. `directory` is the project's folder, `dockerfile` is empty for an inline one.

    `stand_in` names the base image if a stand-in replaces it. `files` lists a folder of the build context;
    `ignore_file` is the name and the text of its .dockerignore.
    """

    directory: str = ""
    dockerfile: str = ""
    text: str = ""
    stand_in: str = ""
    host_settings: bool = False
    files: Callable[[str], Sequence[str]] = lambda _: ()
    ignore_file: tuple[str, str] = ("", "")


def explain_build(error: BuildError, facts: BuildFacts) -> DevenvError:
    """The error with the line of the Dockerfile, cause and hint: a ConfigError for a wrong Dockerfile or context."""
    if error.instruction == BOOT:
        return _unstarted_builder(error)
    line = instruction_line(facts.text, error.instruction) if error.instruction else None
    step = f"`{short(error.instruction)}`: " if error.instruction else ""
    explanation = table.explain(table.load(DOCKERFILE_TABLE), error.reason, partial(_dockerfile_words, error, facts))
    if explanation is not None:
        return _file_error(explanation, step, int(explanation.words.get("line") or 0) or line, error.service, facts)
    reason, lines, hint = error.reason, error.lines, error.hint
    if error.in_step:
        fault = _explain_step(error, facts)
        reason, hint = f"{reason}: {fault.cause}" if fault.cause else reason, fault.hint
    elif failure := known_failure(reason):
        host = named_host(reason) or _host(reason) or named_host(error.instruction)
        silent = f"{host or 'a server'} does not answer: " if failure.impossible else ""
        reason, lines = f"{step}{silent}{failure.cause}", ()
        hint = f"curl -I https://{host}" if failure.impossible and step and host else failure.hint
    return BuildError(error.service, reason, lines, hint=hint, place=(facts.dockerfile or None, line))


def _unstarted_builder(error: BuildError) -> BuildError:
    """The error for a builder in a container, such as Buildx starts with Podman: its own image may be missing."""
    failure = known_failure(error.reason, BUILDER_IMAGE)
    if failure is None:
        reason = f"the builder, a container of {BUILDER_IMAGE}, does not start: {error.reason}"
        return BuildError(error.service, reason, hint="docker buildx inspect --bootstrap")
    silent = f"{named_host(error.reason) or HUB} does not answer: " if failure.impossible else ""
    reason = f"the builder's own image {BUILDER_IMAGE} cannot be pulled: {silent}{failure.cause}"
    hint = f"docker pull {BUILDER_IMAGE}, or load it from a file: docker load -i FILE"
    return BuildError(error.service, reason, hint=f"{hint}; Docker builds without it: {OWN_BUILDER}")


def _file_error(
    explanation: Explanation, step: str, line: int | None, service: str, facts: BuildFacts
) -> ConfigError:
    file = "" if explanation.words.get("context") else facts.dockerfile
    inline = f"the dockerfile_inline of `{service}`: " if facts.text and not facts.dockerfile else ""
    cause = f"{f'line {line} of ' if line and inline else ''}{inline}{step}{explanation.cause}"
    return ConfigError(cause, hint=explanation.hint, file=file or None, line=line if file else None)


def _dockerfile_words(
    error: BuildError, facts: BuildFacts, _: TableEntry, groups: Mapping[str, str], _line: int
) -> dict[str, str]:
    source = re.search(r" --from=(\S+)", error.instruction)
    folder, name = os.path.split(groups.get("missing", ""))
    names = facts.files(folder) if name and not source else ()
    close = closest(name, names)
    return {
        **{key: text.removeprefix(facts.directory.rstrip("/") + "/") for key, text in groups.items()},
        "service": f"`{error.service}`" if error.service else "a service",
        "stage": groups.get("stage") or (source[1] if source else ""),
        "ignored": _ignoring(groups["missing"], facts.ignore_file) if name in names else "",
        "close": os.path.join(folder, close) if close else "",
    }


def _ignoring(path: str, ignore_file: tuple[str, str]) -> str:
    """The file that excludes the path from the context, and the line of its last matching pattern."""
    file, text = ignore_file
    parts, line_suffix = path.split("/"), ""
    paths = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    for number, line in enumerate(text.splitlines(), start=1):
        pattern = line.strip().strip("/").removeprefix("**/")
        if any(fnmatch(own, pattern) for own in (*paths, *parts)):
            line_suffix = f":{number}"
    return f"{file}{line_suffix}" if file else ""


def _explain_step(error: BuildError, facts: BuildFacts) -> Failure:
    """Why a RUN step failed; the cause is empty if it is unknown."""
    # curl's message has no host, but its command in the reason has
    if network := explain_step((error.reason, *error.lines), host_settings=facts.host_settings):
        return network

    def words(_: TableEntry, groups: Mapping[str, str], _line: int) -> dict[str, str]:
        return {"stand_in": facts.stand_in, **groups}

    explanation = table.explain(table.load(STEP_TABLE), "\n".join(error.lines), words)
    if explanation is None:
        return Failure("", hint=f"devenv build {error.service}".rstrip() + "   (shows the whole output)")
    return Failure(explanation.cause, hint=explanation.hint)


def explain_step(lines: Sequence[str], *, host_settings: bool) -> Failure | None:
    """The failure shown by the last lines of a failed step; None if it was not the network.

    The command of the step may be the first of `lines`, since some tools name no host. `host_settings`: the builds
    have this host's settings already. An unreachable name without a dot is another service or the step itself, not a
    fault of the network.
    """
    text = "\n".join(lines)
    hosts = [host for line in text.split("\n") if (host := _host(line))]
    if hosts and re.search(_LOGIN, text):
        cause = f"{hosts[0]} requires a login, which the build does not have"
        return Failure(cause, hint=_SECRET_HINT.format(id="login"))

    def words(_: TableEntry, groups: Mapping[str, str], line: int) -> dict[str, str]:
        host = _host(text.split("\n")[line]) or next(iter(hosts), "a server")
        return {"host": host, "proxy": groups.get("proxy") or "on 127.0.0.1", "named": "".join(hosts)}

    explanation = table.explain(table.load(NETWORK_TABLE), text, words)
    hint = explanation.hint if explanation and host_settings else GIVE
    return Failure(explanation.cause, hint=hint) if explanation else None


def _host(line: str) -> str | None:
    match = _HOST.search(line)
    return match["host"] if match and not re.fullmatch(r"127\.[\d.]+", match["host"]) else None


def secret_arguments_notice(service: str, arguments: Iterable[tuple[str, str]]) -> Notice | None:
    """A notice about build arguments that look like secrets, since the history of the image keeps them."""
    names = [name for name, value in arguments if value and _SECRET.search(name) and "public" not in name.lower()]
    if not names:
        return None
    subject = f"the image of `{service}` keeps its build {'argument' if len(names) == 1 else 'arguments'}"
    return Notice(f"{subject} {', '.join(names)} in its history", _SECRET_HINT.format(id=names[0].lower()))
