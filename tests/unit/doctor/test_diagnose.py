"""Facts -> findings: each kind in a case of its own, with its text in findings.txt; healthy facts give none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripts import reference

from devenv.doctor.diagnose import ENGINE_KINDS, diagnose, finding, kinds
from devenv.doctor.facts import (
    Builder,
    ClientConfig,
    DoctorFacts,
    EngineAddress,
    EngineInfo,
    Files,
    ImageSources,
    Machine,
    OtherMachine,
    Proxies,
    Registry,
    Route,
    Tools,
    Tree,
)
from devenv.errors import ConfigError
from devenv.host.ports import Taken, WantedPort
from devenv.images.failures import Failure
from devenv.model.answers import Disk, Finding

GOLDEN = Path(__file__).parent / "findings.txt"
ROOT = Path(__file__).parents[3]
HOST = "unix:///var/run/docker.sock"
TOOLS = DoctorFacts(tools=Tools(compose="2.40.3", buildx="0.29.1"))
GONE = Failure("no answer in time", impossible=True)
FINE = Route("", "", "auth.docker.io")
PROXY = "http://ann:s3cret@proxy.example:3128"
CONFIG = "/home/ann/.docker/config.json"
GB = 10**9


def engine(state: str, *elsewhere: tuple[str, str]) -> DoctorFacts:
    """An engine that does not answer, and others that do."""
    return DoctorFacts(
        address=EngineAddress(HOST, None, state, start="sudo systemctl start docker", elsewhere=elsewhere)
    )


def error(code: str, message: str, hint: str, file: str | None = None, line: int | None = None) -> DoctorFacts:
    """The message of a DevenvError."""
    return DoctorFacts(errors=((code, ConfigError(message, hint=hint, file=file, line=line)),))


def hub(
    failure: Failure | None,
    route: Route,
    *missing: str,
    recipes: tuple[str, ...] = (),
    consent: bool = False,
    mirrors: tuple[tuple[str, str, Failure | None], ...] = (),
    **more: Any,
) -> DoctorFacts:
    """A registry with this result for node:22."""
    asked_registry = Registry("docker.io", "node:22", ("client/Dockerfile:1",), failure, route, missing, recipes)
    return DoctorFacts(images=ImageSources((asked_registry,), mirrors, consent=consent), **more)


def disk(free: int, inodes: float = 0.5) -> DoctorFacts:
    """The engine's disk with so much room."""
    return DoctorFacts(
        machine=Machine(
            disks=(
                Disk("the engine's disk", "/var/lib/docker", free, inodes, "images do not fit", "docker system df"),
            )
        )
    )


ALONE = Route("no answer in time", "no answer in time", "auth.docker.io")
DENIED = Failure("access is denied", hint="docker login")
CASES: dict[str, DoctorFacts] = {
    "no docker": DoctorFacts(tools=Tools(docker=False)),
    "no Compose, no Buildx": DoctorFacts(tools=Tools(compose=None, buildx=None), built=("web", "api")),
    "Buildx for a newer Compose": replace(TOOLS, tools=replace(TOOLS.tools, buildx="0.13.1+ds1")),
    "another devenv": replace(TOOLS, tools=replace(TOOLS.tools, other="/nix/bin/devenv")),
    "DOCKER_HOST": error(
        "engine-address", "cannot reach the engine at http://***@x: it is no address", "unset DOCKER_HOST"
    ),
    "nothing there": engine("engine-missing"),
    "nobody answers": engine("engine-stopped"),
    "forbidden": engine("engine-forbidden"),
    "silent": engine("engine-silent"),
    "remote": DoctorFacts(
        address=EngineAddress(
            host="ssh://ann@far.example", context="far", state="engine-unreachable", start="docker context ls"
        )
    ),
    "old": error("engine-unusable", "the engine is too old: it speaks API 1.40", "upgrade Docker to 20.10 or newer"),
    "elsewhere": engine("engine-missing", ("Colima", "unix:///c.sock")),
    **{kind: DoctorFacts(engine=EngineInfo(kind=kind)) for kind in ENGINE_KINDS},
    "no registry": hub(GONE, ALONE, "node:22", "mysql:9"),
    "no registry, nothing missing": hub(GONE, ALONE),
    "no registry, recipes": hub(GONE, ALONE, "node:22", recipes=("node:22",)),
    "no registry, recipes and consent": hub(GONE, ALONE, "node:22", recipes=("node:22",), consent=True),
    "no registry, a recipe for one": hub(GONE, ALONE, "node:22", "mongo:7", recipes=("node:22",)),
    "no registry, a recipe for another version": DoctorFacts(
        images=ImageSources(
            (
                Registry(
                    "docker.io",
                    "python:3.10-alpine",
                    ("Dockerfile:1",),
                    GONE,
                    ALONE,
                    ("python:3.10-alpine",),
                    others=("stand-ins of python: 3.11; Dockerfile:1 would need python:3.11-slim",),
                ),
            )
        )
    ),
    "no registry, outside of a project": DoctorFacts(
        images=ImageSources((Registry("docker.io", "library/hello-world", (), GONE, ALONE),))
    ),
    "no registry, and a mirror": hub(
        GONE, ALONE, "node:22", mirrors=(("a.example", "yours", DENIED), ("b.example", "yours", None))
    ),
    "the engine alone": hub(GONE, FINE, "node:22"),
    "the engine alone, without the proxy": hub(
        GONE, FINE, "node:22", proxies=Proxies(environment={"HTTPS_PROXY": PROXY}, exceptions="localhost,127.0.0.1")
    ),
    "the client alone": hub(None, ALONE),
    "the client alone, without the proxy": hub(None, ALONE, engine=EngineInfo(proxies={"HTTPS_PROXY": PROXY})),
    "refused": hub(DENIED, FINE, "node:22"),
    "refused, not needed": hub(DENIED, FINE),
    "intercepted": hub(None, replace(FINE, issuer="Example Corp")),
    "dead mirror": DoctorFacts(images=ImageSources(mirrors=(("mirror.example", "the engine's", GONE),))),
    "no helper": DoctorFacts(client=ClientConfig(path=CONFIG, missing_helpers=("docker-credential-desktop",))),
    "a failed helper": error("helper-failed", "`docker-credential-x` failed for docker.io", "docker login"),
    "broken settings": error("docker-config", "is not JSON", "docker login writes it again", CONFIG),
    "no proxy's address": error("proxy-invalid", "HTTP_PROXY is no proxy's address: x", "HTTP_PROXY=http://x:3128"),
    "a dead proxy": DoctorFacts(proxies=Proxies(environment={"HTTPS_PROXY": PROXY}, exceptions="*", dead=(PROXY,))),
    "loopback by proxy": DoctorFacts(
        proxies=Proxies(environment={"HTTP_PROXY": PROXY}, exceptions=".example, 10.0.0.0/8")
    ),
    "loopback by proxy, inside": DoctorFacts(
        client=ClientConfig(path=CONFIG, proxies={"httpProxy": PROXY, "noProxy": "example.com"})
    ),
    "a proxy on 127.0.0.1, inside": DoctorFacts(
        client=ClientConfig(
            path=CONFIG, proxies={"httpsProxy": "http://127.0.0.1:3128", "noProxy": "localhost,127.0.0.1"}
        )
    ),
    "another machine": DoctorFacts(
        engine=EngineInfo(version="28.5.2"), other=OtherMachine("far", 0.0184, -62.3, 31 * GB, 10)
    ),
    "another machine without a line": DoctorFacts(
        address=EngineAddress("ssh://far", lack="there is no line to far, so each request logs in by itself: ...")
    ),
    "another machine, little known": DoctorFacts(other=OtherMachine("far", 0.06, 0.4)),
    "a builder of its own": DoctorFacts(builder=Builder(name="box", driver="docker-container")),
    "a builder that is gone": DoctorFacts(
        builder=Builder(name="box", is_gone=True, selection="/home/ann/.docker/buildx/current")
    ),
    "a builder that is gone, by variable": DoctorFacts(builder=Builder(name="box", is_gone=True)),
    "full": disk(10**8),
    "no inodes": disk(5 * GB, 0.0),
    "nearly full": disk(GB),
    "few inodes": disk(5 * GB, 0.01),
    "ports": DoctorFacts(
        taken=(
            Taken(WantedPort("web", ("127.0.0.1", "::1"), 80, 8080), "pid 7 (nginx)", 8081),
            Taken(WantedPort("db", ("",), 3306, 3306), None, 3307),
        )
    ),
    "inotify": DoctorFacts(machine=Machine(watches=8192, instances=16), tree=Tree(folders=12345)),
    "no events": DoctorFacts(tree=Tree(eventless="9p")),
    "small packets": DoctorFacts(
        engine=EngineInfo(here=True),
        machine=Machine(interface="tun0", mtu=1400),
        networks={"default": 1500, "small": 1400},
    ),
    "name servers": DoctorFacts(engine=EngineInfo(here=True), machine=Machine(servers=("127.0.0.53", "::1"))),
    "no names inside": DoctorFacts(images=ImageSources(unresolved="registry.example")),
    "a wrong project": error("project-wrong", "unknown key `imagee`", "Did you mean `image`?", "compose.yml", 4),
    "another processor": DoctorFacts(
        engine=EngineInfo(platform="linux/amd64"),
        images=ImageSources(
            foreign=(("a:1", "linux/arm64", False), ("b:1", "linux/arm64", True), ("c:1", "wasi/wasm", False))
        ),
    ),
    "line ends": DoctorFacts(tree=Tree(crlf=("web/entrypoint.sh", "web/start.sh"))),
    "files elsewhere": DoctorFacts(
        files=Files(
            replaced=("compose.yml:4: ./src is synced into web in place of the bind mount", "compose.yml:9: b"),
            refused=("compose.yml:5: `db` writes its data into ./data",),
        )
    ),
    "late": DoctorFacts(unchecked=("registries", "tools")),
}
WELL = hub(
    None,
    FINE,
    tools=Tools(compose="2.40.3", buildx="0.29.1"),
    address=EngineAddress(host=HOST),
    engine=EngineInfo(version="28.5.2", platform="linux/amd64", here=True, proxies={"HTTPS_PROXY": PROXY}),
    proxies=Proxies(environment={"HTTPS_PROXY": PROXY}, exceptions="localhost,127.0.0.1"),
    client=ClientConfig(path=CONFIG, proxies={"httpProxy": PROXY, "noProxy": "*"}),
    builder=Builder(name="default", driver="docker"),
    machine=Machine(
        disks=disk(50 * GB).machine.disks,
        watches=524288,
        instances=1024,
        interface="eth0",
        mtu=1500,
        servers=("10.0.0.2", "127.0.0.53"),
    ),
    built=("web",),
    networks={"default": 1500},
    tree=Tree(folders=300),
)


def told(findings: tuple[Finding, ...]) -> str:
    """The findings as the golden file has them."""
    return "".join(
        f"  {finding.severity} {finding.code}: {finding.message}\n    hint: {finding.hint}\n" for finding in findings
    )


def golden() -> str:
    """The expected content of the golden file."""
    return "".join(f"{name}\n{told(diagnose(facts))}" for name, facts in CASES.items())


def test_all_findings_have_the_recorded_texts() -> None:
    """A text changes only together with findings.txt: `python tests/unit/doctor/test_diagnose.py` writes it."""
    assert golden() == GOLDEN.read_text(encoding="utf-8")


def test_every_kind_is_found_by_some_facts() -> None:
    """No row of the table is dead, and none is missing."""
    assert {finding.code for facts in CASES.values() for finding in diagnose(facts)} == set(kinds())


def test_a_healthy_machine_has_no_findings() -> None:
    """There is no finding for a machine that has all it needs, nor for facts that were not collected."""
    assert diagnose(WELL) == ()
    assert diagnose(DoctorFacts()) == ()


def test_errors_come_first() -> None:
    """Errors come first, then warnings, then notes; equal findings are printed once."""
    errors = (("project-wrong", ConfigError("wrong")),)
    facts = replace(WELL, tree=Tree(eventless="nfs", crlf=("a.sh",)), errors=errors)
    assert [finding.code for finding in diagnose(facts)] == ["project-wrong", "crlf", "no-events"]


@pytest.mark.parametrize("name", CASES)
def test_no_finding_shows_a_secret(name: str) -> None:
    """Neither the message nor the hint contains the credentials of an address."""
    assert "s3cret" not in told(diagnose(CASES[name]))


def test_the_page_is_made_of_the_table() -> None:
    """docs/troubleshooting.md is what `scripts/write-pages` writes, with an anchor for every code."""
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    assert page == reference.pages()["docs/troubleshooting.md"]
    for code in kinds():
        assert f'<a id="{code}"></a>' in page
    assert finding("cli-missing").anchor == "troubleshooting#cli-missing"


if __name__ == "__main__":
    GOLDEN.write_text(golden(), encoding="utf-8")
