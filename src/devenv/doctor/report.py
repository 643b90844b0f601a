"""The doctor's report as a file for others: without secrets, user names and the home folder. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from devenv.doctor.diagnose import shown
from devenv.doctor.facts import Facts, Registry
from devenv.model.finding import Finding

CONTENTS = """# devenv doctor: report

What is in this file: versions of the tools, the kind and address of the engine, addresses of proxies (without user
names and passwords), names of the registries, images, services, files and ports that a finding is about, limits and
free space of the machine, and every finding. No value of another variable, no login. Your home folder is `~`. Read it
before you send it.
"""


def report(facts: Facts, findings: Sequence[Finding], versions: Mapping[str, str], home: str) -> str:
    """The report as Markdown; `versions` are those of devenv, Python and the system."""
    text = "\n".join(
        [CONTENTS, *_findings(findings), "## Facts", "", *(f"- {line}" for line in _facts(facts, versions)), ""]
    )
    return re.sub(rf"{re.escape(home)}(?=/|\s|`|$)", "~", text) if home.strip("/") else text


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    yield "## Findings"
    yield ""
    for finding in findings:
        yield f"- **{finding.severity}** `{finding.code}`: {' '.join(finding.message.split())}"
    yield "" if findings else "None.\n"


def _facts(facts: Facts, versions: Mapping[str, str]) -> Iterator[str]:
    yield from (f"{name}: {value}" for name, value in versions.items())
    yield f"Compose: {facts.tools.compose or 'none'}, Buildx: {facts.tools.buildx or 'none'}"
    yield _engine(facts)
    yield _proxies("environment", facts.proxies.environment)
    yield _proxies("engine", facts.engine.proxies)
    yield _proxies("docker CLI", facts.client.proxies)
    yield from map(_registry, facts.images.registries)
    machine = facts.machine
    yield from (f"free for {disk.what}: {disk.free / 10**9:.1f} GB" for disk in machine.disks)
    yield f"inotify: {machine.watches} watches, {machine.instances} instances"
    yield f"largest packet on the way out: {machine.mtu or 'unknown'}"


def _engine(facts: Facts) -> str:
    engine, context = facts.engine, facts.connection.context or "default"
    address = re.sub(r"//\S*@", "//***@", facts.connection.host)
    return f"engine: {engine.version or 'none'} {engine.kind}, {engine.platform}, at {address}, context {context}"


def _proxies(layer: str, proxies: Mapping[str, str]) -> str:
    given = ", ".join(f"{name} {shown(value)}" for name, value in proxies.items() if name != "noProxy")
    return f"proxies of the {layer}: {given or 'none'}"


def _registry(registry: Registry) -> str:
    engine = registry.failure.cause if registry.failure else "answers"
    tokens = registry.route.token or "answers" if registry.route.token_host else "none wanted"
    return (
        f"registry {registry.host}: engine: {engine}; here: {registry.route.registry or 'answers'}; tokens: {tokens}"
    )
