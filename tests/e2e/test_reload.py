"""Edits of the project's own files during a run: only services that differ are recreated, in any saved state."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from support import docker_cli
from support.cli import Devenv
from support.stack import Stack, built_service, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine

SYNC = {"action": "sync", "path": "./src", "target": "/src"}
NOTHING: dict[str, Any] = {}


@dataclass
class Site:
    """A project of several files that is up, its current services, and the run that watches it."""

    stack: Stack
    up: Up
    chance: random.Random
    services: dict[str, Any] = field(default_factory=dict)
    run: Devenv = field(init=False)
    count: int = 0

    def __post_init__(self) -> None:
        self.services = {
            "seed": {**idle_service(), "command": ["true"]},
            "web": idle_service(
                env_file="web.env",
                environment={},
                depends_on={"seed": {"condition": "service_completed_successfully"}},
                develop={"watch": [dict(SYNC)]},
            ),
            "api": idle_service(extends={"file": "base.yml", "service": "base"}, environment={}),
            "db": idle_service(environment={"WORD": "${WORD}"}),
        }
        for path, text in {".env": "WORD=0\n", "web.env": "X=0\n", "src/a": "a", "src/b.log": "b"}.items():
            self.stack.write(path, text)
        self.part("base.yml", "base", 0)
        self.part("part.yml", "side", 0)
        self.save()
        self.run = self.up.ready(self.stack)

    def save(self) -> None:
        """Write the services to compose.yml."""
        self.stack.compose_file(self.services, include=["part.yml"])

    def part(self, file: str, service: str, number: int) -> None:
        """Write another file with one service."""
        text = yaml.safe_dump({"services": {service: idle_service(environment={"N": number})}})
        self.stack.write(file, text)

    def number(self) -> int:
        """A number that was not used before."""
        self.count += 1
        return self.count

    def ids(self) -> dict[str, set[str]]:
        """Service -> ids of its containers."""
        label = '{{.ID}} {{.Label "com.docker.compose.service"}}'
        project = f"--filter=label={docker_cli.PROJECT_LABEL}={self.stack.name}"
        ids: dict[str, set[str]] = {}
        for line in docker_cli.docker("ps", "-a", project, f"--format={label}").splitlines():
            identity, service = line.split()
            ids.setdefault(service, set()).add(identity)
        return ids

    def after(self, edit: Callable[[Site], dict[str, Any]]) -> None:
        """Do the edit and check that exactly its expected effect happens, in events and on the engine."""
        before, since = self.ids(), self.run.mark()
        expected = edit(self)
        if "problem" in expected:
            event = self.run.wait_for("problem", since=since, timeout=10)
            assert expected["problem"] in event["message"], event
        elif expected:
            event = self.run.wait_for("reloaded", since=since, timeout=20)
            empty: dict[str, Any] = {"recreated": [], "added": [], "scaled": [], "removed": [], "rules": False}
            assert {key: event[key] for key in empty} == empty | expected, event
            assert event["files"], event
        else:
            time.sleep(0.8)
        # A slow save may be reported as incomplete before it is complete.
        reloads = [event for event in self.run.events[since:] if event["event"] == "reloaded"]
        assert len(reloads) == (bool(expected) and "problem" not in expected), self.run.events[since:]
        now = self.ids()
        touched = {name for key in ("recreated", "added", "scaled", "removed") for name in expected.get(key, ())}
        assert {n: i for n, i in now.items() if n not in touched} == {
            n: i for n, i in before.items() if n not in touched
        }
        assert all(not (now[name] & before[name]) for name in expected.get("recreated", ()))


def touch(site: Site) -> dict[str, Any]:
    os.utime(site.stack.folder / "compose.yml")
    return NOTHING


def comment(site: Site) -> dict[str, Any]:
    with (site.stack.folder / site.chance.choice(["compose.yml", "part.yml"])).open("a") as file:
        file.write(f"# {site.number()}\n")
    return NOTHING


def environment(site: Site) -> dict[str, Any]:
    name = site.chance.choice(["web", "api", "db"])
    site.services[name]["environment"]["N"] = site.number()
    site.save()
    return {"recreated": [name]}


def env_file(site: Site) -> dict[str, Any]:
    site.stack.write("web.env", f"X={site.number()}\n")
    return {"recreated": ["web"]}


def dotenv(site: Site) -> dict[str, Any]:
    site.stack.write(".env", f"WORD={site.number()}\n")
    return {"recreated": ["db"]}


def included(site: Site) -> dict[str, Any]:
    site.part("part.yml", "side", site.number())
    return {"recreated": ["side"]}


def extended(site: Site) -> dict[str, Any]:
    site.part("base.yml", "base", site.number())
    return {"recreated": ["api"]} if "N" not in site.services["api"]["environment"] else NOTHING


def override(site: Site) -> dict[str, Any]:
    path = site.stack.folder / "compose.override.yml"
    if path.exists():
        path.unlink()
    else:
        path.write_text("services: {db: {labels: {a: b}}}\n", encoding="utf-8")
    return {"recreated": ["db"], "rules": True}  # no rule copies a Compose file, which this is


def rules(site: Site) -> dict[str, Any]:
    site.services["web"]["develop"]["watch"][0]["ignore"] = [f"{site.number()}/"]
    site.save()
    return {"rules": True}


def worker(site: Site) -> dict[str, Any]:
    there = site.services.pop("worker", None)
    if there is None:
        site.services["worker"] = idle_service(develop={"watch": [dict(SYNC)]})
    site.save()
    return {"removed" if there else "added": ["worker"], "rules": True}


def scale(site: Site) -> dict[str, Any]:
    site.services["api"]["scale"] = 3 - site.services["api"].get("scale", 1)
    site.save()
    return {"scaled": ["api"]}


def by_rename(site: Site) -> dict[str, Any]:
    path = site.stack.folder / "compose.yml"
    expected = environment(site)
    os.rename(path, path.with_suffix(".moved"))
    time.sleep(0.02)
    os.rename(path.with_suffix(".moved"), path)
    return expected


def half_first(site: Site) -> dict[str, Any]:
    path = site.stack.folder / "compose.yml"
    expected = environment(site)
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: len(text) // 2], encoding="utf-8")
    time.sleep(0.03)
    path.write_text(text, encoding="utf-8")
    return expected


def broken(site: Site) -> dict[str, Any]:
    text, place = site.chance.choice(
        [
            ("services: {web: [", "compose.yml:2"),
            ("services:\n  web:\n    imaje: x\n", "compose.yml:3"),
            ("services:\n  web: {image: x, ports: [a]}\n", "compose.yml:2"),
            ("", "compose.yml"),
        ]
    )
    site.stack.write("compose.yml", text)
    return {"problem": place}


def mended(site: Site) -> dict[str, Any]:
    since = site.run.mark()
    site.save()
    site.run.wait_for("notice", since=since, message=lambda message: "valid again" in message)
    return NOTHING


CHANGES = (environment, env_file, dotenv, included, extended, override, by_rename, half_first, rules, worker, scale)
EDITS = (*CHANGES, touch, comment, broken)


def test_edits_recreate_only_services_that_differ(stack: Stack, up: Up) -> None:
    """Valid, invalid or half-written edits, also by rename, in any of the files, recreate only services that differ.

    Each kind of edit once; the long run has more, in other orders.
    """
    site = Site(stack, up, random.Random(63))
    edits = [*EDITS, *(site.chance.choices(EDITS, k=20) if "DEVENV_TEST_LONG" in os.environ else ())]
    site.chance.shuffle(edits)
    seeded = docker_cli.inspect(stack.container("seed"))["State"]
    for edit in edits:
        site.after(edit)
        if edit is broken:
            site.after(mended)
    assert docker_cli.inspect(stack.container("seed"))["State"] == seeded, "what had ended was begun again"
    assert site.run.stop() == 130
    assert stack.leftovers() == {}


def test_changed_rules_apply_without_new_containers(stack: Stack, up: Up) -> None:
    """Other rules, targets and .dockerignore lines apply; no file saved in between is lost."""
    watch: list[dict[str, Any]] = [{**SYNC, "ignore": ["*.ignored"]}, {"action": "restart", "path": "./conf"}]
    services = {"web": built_service("RUN mkdir /src", develop={"watch": watch}), "db": idle_service()}
    for number in range(40):
        stack.write(f"src/{number}", "first")
    stack.write(".dockerignore", "**/*.secret\n")
    stack.write("conf", "1")
    stack.compose_file(services)
    run = up.ready(stack)
    ids = {*stack.containers()}
    for turn in range(3):
        watch[0]["ignore"] = ["*.ignored", f"{turn}.never"]
        stack.compose_file(services)
        for number in range(40):
            stack.write(f"src/{turn}.{number}", "new")
            stack.write(f"src/{number}", f"turn {turn}")
        for number in range(turn, 40, 4):
            (stack.folder / f"src/{number}").unlink()
        stack.write("src/a.ignored", "x")
        stack.write("src/a.secret", "x")
    wanted = {path.name for path in (stack.folder / "src").iterdir()} - {"a.ignored", "a.secret"}
    docker_cli.until(
        lambda: wanted ^ {*stack.execute("web", "ls", "/src").split()}, lambda differ: not differ, timeout=10
    )
    stack.write(".dockerignore", "nothing\n")
    docker_cli.until(lambda: stack.read("web", "/src/a.secret"), lambda text: text == "x", timeout=10)
    watch[0]["target"] = "/other"
    began = docker_cli.inspect(stack.container("web"))["State"]["StartedAt"]
    stack.write("conf", "2")  # a restart that is due when the rules change
    stack.compose_file(services)
    docker_cli.until(lambda: stack.read("web", "/other/2.1"), lambda text: text == "new", timeout=10)
    docker_cli.until(lambda: docker_cli.inspect(stack.container("web"))["State"]["StartedAt"], lambda at: at > began)
    assert {*stack.containers()} == ids
    assert run.all("problem") == []
    assert run.stop() == 130


def test_changed_images_volumes_and_networks_are_applied(stack: Stack, up: Up) -> None:
    """A changed build is built and run, new objects are ours to remove, and a failed build changes nothing."""
    services: dict[str, Any] = {"web": built_service("RUN echo 1 > /version"), "db": idle_service()}
    stack.compose_file(services)
    run = up.ready(stack)
    first = {name: stack.container(name) for name in services}
    services["web"] = built_service("RUN false")
    stack.compose_file(services)
    assert "RUN false" in run.wait_for("problem")["message"]
    assert {name: stack.container(name) for name in services} == first
    services["web"] = built_service("RUN echo 2 > /version", volumes=["data:/data"], networks=["inner"])
    stack.compose_file(services, volumes={"data": {}}, networks={"inner": {}})
    assert run.wait_for("reloaded")["recreated"] == ["web"]
    assert stack.read("web", "/version") == "2\n"
    assert docker_cli.volumes(stack.name) == [f"{stack.name}_data"]
    second = stack.container("web")
    model = {"name": stack.name, "services": services, "networks": {"inner": {}}, "volumes": {"data": {}}}
    stack.write("compose.yml", yaml.safe_dump(model | {"volumes": {"data": {"labels": {"a": "b"}}}}, sort_keys=False))
    assert "volume" in run.wait_for("problem", message=lambda message: message.startswith("compose.yml:"))["message"]
    assert (stack.container("web"), stack.container("db")) == (second, first["db"])
    assert run.stop() == 130
    assert stack.leftovers() == {}


def test_no_watch_ignores_edits(stack: Stack, up: Up) -> None:
    """`--no-watch` leaves everything unchanged, edits of compose.yml too."""
    stack.compose_file({"web": idle_service()})
    run = up.ready(stack, "--no-watch")
    web = stack.container("web")
    stack.compose_file({"web": idle_service(environment={"A": "1"})})
    time.sleep(1)
    assert stack.container("web") == web
    assert run.all("reloaded") == []
    assert run.stop() == 130


def test_rebuild_interrupted_by_changed_rules_is_done(stack: Stack, up: Up) -> None:
    """The rebuild is done by the new rules."""
    watch: list[dict[str, Any]] = [dict(SYNC), {"action": "rebuild", "path": "./version"}]
    web = built_service("COPY version /version\nRUN [ $(cat /version) = 1 ] || sleep 3", develop={"watch": watch})
    stack.write("version", "1")
    stack.write("src/a", "1")
    stack.compose_file({"web": web})
    run = up.ready(stack)
    stack.write("version", "2")
    run.wait_for("step", name="rebuild", state="begin")
    watch[0]["target"] = "/other"
    stack.compose_file({"web": web})
    assert run.wait_for("reloaded")["recreated"] == []
    assert not run.all("rebuilt"), "the build was over before the rules changed"
    run.wait_for("rebuilt", service="web")
    assert (stack.read("web", "/version"), stack.read("web", "/other/a")) == ("2", "1")
    assert run.all("problem") == []
    assert run.stop() == 130


def test_service_scaled_by_plain_compose_is_not_changed(stack: Stack, up: Up) -> None:
    """Containers scaled by plain Compose are neither removed nor recreated on an edit, and a line says so."""
    stack.compose_file({"web": idle_service()})
    run = up.ready(stack)
    assert stack.compose("up", "-d", "--no-recreate", "--scale", "web=2", "web").returncode == 0
    before = set(stack.compose("ps", "-q").stdout.split())
    stack.compose_file({"web": idle_service(environment={"Q": "1"})})
    run.wait_for("notice", message=lambda text: "web stays as it is" in text)
    time.sleep(1)
    assert set(stack.compose("ps", "-q").stdout.split()) == before
    assert len(before) == 2
    assert run.stop() == 130
    stack.compose("down")
