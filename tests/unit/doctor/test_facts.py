"""The report for others to read."""

from __future__ import annotations

from dataclasses import replace

from devenv.doctor.diagnose import finding
from devenv.doctor.facts import (
    ClientConfig,
    DoctorFacts,
    EngineAddress,
    ImageSources,
    Machine,
    Proxies,
    Registry,
    Route,
    Tools,
    report,
)
from devenv.images.failures import Failure
from devenv.model.answers import Disk

FACTS = DoctorFacts(
    tools=Tools(compose="2.40.3"),
    address=EngineAddress(host="ssh://ann@far.example"),
    proxies=Proxies(environment={"HTTPS_PROXY": "http://ann:s3cret@proxy.example:3128"}),
    client=ClientConfig(proxies={"httpProxy": "http://p.example", "noProxy": "secret.example"}),
    images=ImageSources(
        registries=(
            Registry("docker.io", "node:22", (), None, Route("", "", "auth.docker.io")),
            Registry("r.example", "r.example/x", (), Failure("connection refused"), Route("no answer in time")),
        )
    ),
    machine=Machine(disks=(Disk("the engine's disk", "/var", 5 * 10**9, 0.5, "", ""),)),
)


def test_the_report() -> None:
    """The report begins with a list of its parts, and contains neither a password nor the home directory."""
    findings = (finding("crlf", files="/home/ann/x/run.sh", first="/home/ann/x/run.sh"),)
    text = report(FACTS, findings, {"devenv": "1"}, "/home/ann")
    assert text.startswith("# devenv doctor: report\n\nWhat is in this file:")
    assert "- **warning** `crlf`: ~/x/run.sh: the first line" in text
    assert "- registry docker.io: engine: answers; here: answers; tokens: answers\n" in text
    assert "- registry r.example: engine: connection refused; here: no answer in time; tokens: none wanted\n" in text
    assert "HTTPS_PROXY http://***@proxy.example:3128" in text
    assert not [word for word in ("s3cret", "ann", "secret.example", "/home") if word in text]
    assert "None." in report(replace(FACTS, address=EngineAddress(host="")), (), {}, "/")
