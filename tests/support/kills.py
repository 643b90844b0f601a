"""Rounds of kill -9 at random moments, on a stack that records what its volume must hold.

The service `db` writes a file of random bytes and a random owner into its volume each time it starts, named after
both, and records in a folder of the host what it found there before and what it wrote.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import tarfile
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devenv.model.snapshot import Snapshot
from devenv.volumes.store import Store
from support import docker_cli
from support.cli import Devenv, StartDevenv
from support.stack import Stack, idle_service

Content = frozenset[str]

WITNESS = """
cd /data && id=$(cat /proc/sys/kernel/random/uuid)
{ find . -name '*.m' -printf '%U %P\\n'; find . -name '*.m' -exec sha256sum {} +; } >/witness/$id
mv /witness/$id /witness/$id.begin
owner=$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')
head -c 40000 /dev/urandom >new && chown $owner new
name=$(sha256sum new | cut -c1-20).$owner.m
mv new $name && echo $name >/witness/$id && mv /witness/$id /witness/$id.end
exec sleep infinity
"""
GUARDIAN = "devenv.run.cleanup.guardian"
SETTLED = 60.0  # seconds after which a clean-up counts as stuck, however slow the machine


@dataclass(frozen=True)
class Moment:
    """A moment at which a run is killed: after an event (None: after its start), and up to so many seconds."""

    event: str | None
    at_most: float
    match: dict[str, Any] = field(default_factory=dict)
    ends: str = ""  # how the run is ended before that: by a signal, or by `down`


def _step(name: str, at_most: float) -> Moment:
    return Moment("step", at_most, {"name": name, "state": "begin"})


MOMENTS = {
    "load": _step("load", 0.6),
    "check": _step("check", 0.3),
    "restore": _step("restore", 0.6),
    "create": _step("create", 1.0),
    "sync": _step("sync", 0.3),
    "start": _step("start", 0.8),
    "ready": Moment("ready", 1.5),
    "watch": Moment("synced", 0.3, {"service": "web"}),
    "stopping": Moment("stopping", 1.0, ends="INT"),
    "save": Moment("removed", 0.6, {"kind": "network"}, ends="INT"),
    "saved": Moment("saved", 0.1, ends="TERM"),
    "down": Moment(None, 2.5, ends="down"),
    "any": Moment(None, 6.0),
}


@dataclass(frozen=True)
class Plan:
    """One round, which follows from its seed and number alone."""

    moment: str
    delay: float
    guardian: str  # the guardian is spared, killed "with it", or "later"
    lives: float  # seconds until a guardian is killed "later"
    recovery: str  # what ends the run without a guardian; "killed up" is killed, too, before a `down`
    fresh: bool


def turn(seed: int, number: int, moments: Collection[str]) -> tuple[random.Random, str]:
    """The chance of a round, and its moment: each moment once in as many rounds, in an order of the seed's."""
    order = random.Random(f"{seed}:{number // len(moments)}").sample(sorted(moments), len(moments))
    return random.Random(f"{seed}:{number}"), order[number % len(moments)]


def planned(seed: int, number: int) -> Plan:
    """The plan of a round: moments take turns in an order of the seed's, all else is random."""
    chance, moment = turn(seed, number, MOMENTS)
    return Plan(
        moment,
        chance.uniform(0, MOMENTS[moment].at_most),
        chance.choice(("with it", "later")) if (number + number // len(MOMENTS)) % 2 else "spared",
        chance.uniform(0, 2.5),
        chance.choice(("down", "up", "killed up", "down" if moment == "down" else "gc")),
        fresh=chance.random() < 0.05,
    )


class Campaign:
    """One stack, killed again and again; after every round the engine holds nothing of it."""

    def __init__(self, stack: Stack, start: StartDevenv, state: Path) -> None:
        self.stack = stack
        self.took: list[float] = []  # seconds from a kill until the guardian had removed everything
        self._start = start
        self._store = Store(str(state / "devenv-compose/snapshots"))
        self._contents: dict[tuple[str, str], Content] = {}
        self._seen: set[str] = set()
        self._must: Content = frozenset()  # the last content of the volume
        (stack.folder / "witness").mkdir()
        stack.write("src/file", "0")
        rule = {"path": "./src", "action": "sync", "target": "/app"}
        db = {"command": ["sh", "-c", WITNESS.replace("$", "$$")], "volumes": ["data:/data", "./witness:/witness"]}
        quick = {"init": True, "stop_grace_period": "1s"}
        stack.compose_file(
            {
                "db": idle_service(**db, **quick),
                "web": idle_service(
                    develop={"watch": [rule]}, volumes=["/cache"], networks=["default", "extra"], depends_on=["db"]
                ),
            },
            volumes={"data": {}},
            networks={"extra": {}},
        )

    def round(self, plan: Plan) -> None:
        """Kill a run as planned and check everything. Raises AssertionError."""
        before = self._newest()
        run = self._brought_to(plan)
        self._kill(run, plan)
        if plan.guardian == "spared" and plan.moment != "down":
            began = time.monotonic()
            docker_cli.until(lambda: run.survivors(0), lambda left: not left, timeout=SETTLED)
            self.took.append(time.monotonic() - began)
            print(f"  all gone after {self.took[-1]:.1f} s", flush=True)  # noqa: T201 - a figure to report
        else:
            self._recover(plan.recovery, plan.lives)
        docker_cli.until(lambda: run.survivors(0), lambda left: not left, timeout=SETTLED)
        assert self.stack.leftovers() == {}
        self._look(before, fresh=plan.fresh)

    def finish(self) -> None:
        """Bring the stack up and down once more, undisturbed, and check its content and that nothing is left."""
        before = self._newest()
        self._recover("up")
        assert self.stack.leftovers() == {}
        self._look(before, fresh=False)

    # --- one round ------------------------------------------------------------------------------------------------

    def _brought_to(self, plan: Plan) -> Devenv:
        moment = MOMENTS[plan.moment]
        if moment.ends == "down":
            self._command("up", "-d", *["--fresh"] * plan.fresh)
            return self._start("down", cwd=self.stack.folder, env=self.stack.env)
        run = self._start("up", *["--fresh"] * plan.fresh, cwd=self.stack.folder, env=self.stack.env)
        if plan.moment == "watch":
            run.wait_for("ready")
            for number in range(200):
                self.stack.write(f"src/{number % 7}/{number}", f"{plan.delay}")
        if moment.ends:
            run.wait_for("ready")
            time.sleep(plan.delay)
            run.send_signal(signal.Signals[f"SIG{moment.ends}"])
        if moment.event is not None and run.process.poll() is None:
            run.wait_for(moment.event, **moment.match)
        return run

    def _kill(self, run: Devenv, plan: Plan) -> None:
        time.sleep(plan.delay)
        _kill([*_alive(run), *(_guardians(run) if plan.guardian == "with it" else ())])
        if plan.guardian == "later":
            time.sleep(plan.lives)
            _kill(_guardians(run))
        run.wait()

    def _recover(self, how: str, after: float = 0.0) -> None:
        if how in ("down", "gc"):
            self._command(how)
            return
        run = self._start("up", cwd=self.stack.folder, env=self.stack.env)
        if how == "killed up":
            time.sleep(after)
            _kill([*_alive(run), *_guardians(run)])
            run.wait()
            self._command("down")
            return
        run.wait_for("ready")
        assert run.stop(signal.SIGTERM) == 128 + signal.SIGTERM, run.report()
        assert not run.all("problem"), run.report()

    def _command(self, *args: str) -> None:
        done = self._start(*args, cwd=self.stack.folder, env=self.stack.env)
        assert done.wait() == 0, done.report()

    # --- what must hold -------------------------------------------------------------------------------------------

    def _look(self, before: Content, *, fresh: bool) -> None:
        """Check that each start of `db` found everything, and that the last content is in a snapshot."""
        known = {before, frozenset[str]() if fresh else before}
        stored = {self._content(snapshot) for snapshot in self._store.all()}
        for before_start, added in self._starts():
            assert before_start in known | stored, f"a start found {_told(before_start, self._must, before)}"
            self._must = before_start | added
            known = {self._must, before_start}  # a recreated container continues with the same volume
        assert any(self._must <= content for content in (*stored, Content())), f"lost: {_told(self._must, before)}"

    def _starts(self) -> Iterator[tuple[Content, Content]]:
        """For each start since the last check: the content of the volume, and what was added."""
        folder = self.stack.folder / "witness"
        new = [path for path in folder.glob("*.begin") if path.name not in self._seen]
        for path in sorted(new, key=lambda path: path.stat().st_mtime_ns):
            self._seen.add(path.name)
            ended = path.with_suffix(".end")
            yield _witnessed(path.read_text()), frozenset(ended.read_text().split() if ended.exists() else ())

    def _newest(self) -> Content:
        settled = [snapshot for snapshot in self._store.all() if snapshot.settled]
        return self._content(settled[-1]) if settled else frozenset()

    def _content(self, snapshot: Snapshot) -> Content:
        """The files of a snapshot, each checked."""
        key = (snapshot.id, snapshot.volume)
        if key not in self._contents:
            with tarfile.open(self._store.archive(snapshot)) as archive:
                self._contents[key] = frozenset(_checked(archive))
        return self._contents[key]


def _kill(leaders: Iterable[int]) -> None:
    """Kill the process groups."""
    for pid in leaders:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _alive(run: Devenv) -> list[int]:
    """The pid of the run, unless it has ended: the number may be another process by then."""
    return [run.process.pid] if run.process.poll() is None else []


def _guardians(run: Devenv) -> list[int]:
    return [pid for pid, command in run.survivors(0).items() if GUARDIAN in command]


def _checked(archive: tarfile.TarFile) -> Iterator[str]:
    for member in archive:
        if member.name.endswith(".m") and (content := archive.extractfile(member)) is not None:
            name = os.path.basename(member.name)
            assert name == _name(hashlib.sha256(content.read()).hexdigest(), str(member.uid)), f"{name} is damaged"
            yield name


def _witnessed(text: str) -> Content:
    """Names of files, each checked against its content."""
    pairs = [line.split() for line in text.splitlines()]
    sums = {name.removeprefix("./"): digest for digest, name in pairs if len(digest) == 64}
    owners = {name: owner for owner, name in pairs if len(owner) < 64}
    assert sums.keys() == owners.keys()
    for name, digest in sums.items():
        assert name == _name(digest, owners[name]), f"{name} came back damaged"
    return frozenset(sums)


def _name(digest: str, owner: str) -> str:
    return f"{digest[:20]}.{owner}.m"


def _told(*contents: Content) -> str:
    return " / ".join(f"{len(content)} files {sorted(content)[:3]}" for content in contents)
