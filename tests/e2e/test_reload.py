"""The project's own files edited while it runs: only what differs is made anew, whatever state they are saved in."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from support import engine
from support.cli import Devenv
from support.stack import Stack, built_service, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine

SYNC = {"action": "sync", "path": "./src", "target": "/src"}
NOTHING: dict[str, Any] = {}


@dataclass
class Site:
    """A project of several files that is up, as it is written now, and the run that follows it."""

    stack: Stack
    up: Up
    chance: random.Random
    services: dict[str, Any] = field(default_factory=dict)
    run: Devenv = field(init=False)
    count: int = 0

    def __post_init__(self) -> None:
        self.services = {
            "web": idle_service(env_file="web.env", environment={}, develop={"watch": [dict(SYNC)]}),
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
        """Write compose.yml as the services are now."""
        self.stack.compose_file(self.services, include=["part.yml"])

    def part(self, file: str, service: str, number: int) -> None:
        """Write another file with one service."""
        text = yaml.safe_dump({"services": {service: idle_service(environment={"N": number})}})
        self.stack.write(file, text)

    def number(self) -> int:
        """A number that was not there before."""
        self.count += 1
        return self.count

    def ids(self) -> dict[str, set[str]]:
        """Service -> ids of its containers."""
        label = '{{.ID}} {{.Label "com.docker.compose.service"}}'
        project = f"--filter=label={engine.PROJECT_LABEL}={self.stack.name}"
        found: dict[str, set[str]] = {}
        for line in engine.docker("ps", "-a", project, f"--format={label}").splitlines():
            identity, service = line.split()
            found.setdefault(service, set()).add(identity)
        return found

    def after(self, edit: Callable[[Site], dict[str, Any]]) -> None:
        """Do the edit and see that exactly what it says comes of it, in events and on the engine."""
        before, since = self.ids(), self.run.mark()
        expected = edit(self)
        if "problem" in expected:
            told = self.run.wait_for("problem", since=since, timeout=10)
            assert expected["problem"] in told["message"], told
        elif expected:
            told = self.run.wait_for("reloaded", since=since, timeout=20)
            empty = dict.fromkeys(("recreated", "added", "scaled", "removed"), [])
            assert {key: told[key] for key in (*empty, "rules")} == {**empty, "rules": False, **expected}, told
            assert told["files"], told
        else:
            time.sleep(0.8)
        events = self.run.events[since:]
        assert sum(one["event"] in ("reloaded", "problem") for one in events) == bool(expected), events
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
    return {"recreated": ["db"], "rules": True}  # no rule copies a compose file, and it is one


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
    site.run.wait_for("notice", since=since, message=lambda said: "valid again" in said)
    return NOTHING


CHANGES = (environment, env_file, dotenv, included, extended, override, by_rename, half_first, rules, worker, scale)
EDITS = (*CHANGES, touch, comment, broken)


def test_twenty_five_edits(stack: Stack, up: Up) -> None:
    """Valid or not, half-written or by rename, in any of the files: only services that differ get new containers."""
    site = Site(stack, up, random.Random(63))
    edits = [*EDITS, *site.chance.choices(EDITS, k=25 - len(EDITS))]
    site.chance.shuffle(edits)
    for edit in edits:
        site.after(edit)
        if edit is broken:
            site.after(mended)
    assert site.run.stop() == 130
    assert stack.leftovers() == {}
