"""What was found, as a file for others to read: nothing in it is a secret, a user's name or a home folder. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from devenv.doctor.diagnose import Facts, shown
from devenv.model.finding import Finding

CONTENTS = """# devenv doctor: report

What is in this file: versions of the tools, the kind and address of the engine, addresses of proxies (without user
names and passwords), names of the registries, images, services, files and ports that a finding is about, limits and
free space of the machine, and every finding. No value of another variable, no login. Your home folder is `~`. Read it
before you send it.
"""


def report(facts: Facts, findings: Sequence[Finding], versions: Mapping[str, str], home: str) -> str:
    """The report as Markdown; `versions` are devenv's own and its surroundings'."""
    text = "\n".join(
        [CONTENTS, *_findings(findings), "## Facts", "", *(f"- {line}" for line in _facts(facts, versions)), ""]
    )
    return re.sub(rf"{re.escape(home)}(?=/|\s|`|$)", "~", text) if home.strip("/") else text


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    yield "## Findings"
    yield ""
    for one in findings:
        yield f"- **{one.severity}** `{one.code}`: {' '.join(one.message.split())}"
    yield "" if findings else "None.\n"


def _facts(facts: Facts, versions: Mapping[str, str]) -> Iterator[str]:
    yield from (f"{name}: {value}" for name, value in versions.items())
    yield f"Compose: {facts.compose or 'none'}, Buildx: {facts.buildx or 'none'}"
    where, by = re.sub(r"//\S*@", "//***@", facts.host), facts.context or "default"
    yield f"engine: {facts.version or 'none'} {facts.kind}, {facts.platform}, at {where}, context {by}"
    layers = {"environment": facts.environment, "engine": facts.engine_proxies, "docker CLI": facts.inside}
    for layer, proxies in layers.items():
        given = ", ".join(f"{name} {shown(value)}" for name, value in proxies.items() if name != "noProxy")
        yield f"proxies of the {layer}: {given or 'none'}"
    for one in facts.registries:
        engine = one.failure.cause if one.failure else "answers"
        tokens = one.route.token or "answers" if one.route.token_host else "none wanted"
        yield f"registry {one.host}: engine: {engine}; here: {one.route.registry or 'answers'}; tokens: {tokens}"
    yield from (f"free for {disk.what}: {disk.free / 10**9:.1f} GB" for disk in facts.disks)
    yield f"inotify: {facts.watches} watches, {facts.instances} instances"
    yield f"largest packet on the way out: {facts.mtu or 'unknown'}"
