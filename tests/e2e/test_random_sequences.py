"""Random sequences of devenv, crashes and plain Compose on a real engine: no data is lost or silently outdated."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devenv.state.verified_archive import Unpacked
from support import cli, docker_cli
from support.cli import Devenv
from support.docker_cli import BASE_IMAGE, docker
from support.kills import GUARDIAN
from support.stack import NewStack, Stack, idle_service
from support.upper import Up

pytestmark = [pytest.mark.engine, pytest.mark.long]

SEQUENCES = int(os.environ.get("DEVENV_TEST_ROUNDS", "100"))
LENGTH = 6
SERVICES = {"db": idle_service(volumes=["data:/data"], stop_grace_period="1s"), "web": idle_service()}


@dataclass
class Sequence:
    """Two folders of one project name; `seen` is what the user of each saw last, `lost` what was dropped on purpose.

    `users` are the folders whose data the volume has; a volume that plain Compose created (`is_plain`) is for all.
    """

    stacks: dict[str, Stack]
    up: Up
    state: dict[str, str]
    random: random.Random
    done: list[str] = field(default_factory=list)
    seen: dict[str, str | None] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    is_plain: bool = False
    count: int = 0

    @property
    def any(self) -> Stack:
        """Either stack: the engine has the same for both."""
        return self.stacks["a"]

    @property
    def created(self) -> str:
        """The creation time of the volume; empty if there is none."""
        name = f"{self.any.name}_data"
        return (
            docker("volume", "inspect", "-f", "{{.CreatedAt}}", name)
            if docker_cli.succeeds("volume", "inspect", name)
            else ""
        )

    @property
    def content(self) -> str | None:
        """The content of the volume; None if it is empty or does not exist."""
        if not self.created:
            return None
        mount = f"{self.any.name}_data:/v:ro"
        return docker("run", "--rm", "-v", mount, BASE_IMAGE, "sh", "-c", "cat /v/x 2>/dev/null || true") or None

    def saved(self) -> set[str]:
        """The contents of the snapshots."""
        contents = set[str]()
        for path in Path(self.state["XDG_STATE_HOME"]).rglob("*.tar.gz"):
            with path.open("rb") as file, tarfile.open(fileobj=Unpacked(file), mode="r|") as tar:
                for member in tar:
                    if member.name.endswith("/x") and (content := tar.extractfile(member)):
                        contents.add(content.read().decode().strip())
        return contents

    def write(self, name: str, *, before: str) -> None:
        """Write something new as the user of the folder; `before` is the creation time of the volume before."""
        if self.created != before:
            self.users, self.is_plain = {name}, False
        elif self.is_plain:
            self.users.add(name)
        self.count += 1
        text = f"{name}{self.count}"
        self.any.execute("db", "sh", "-c", f"echo {text} >/data/x")
        self.seen |= dict.fromkeys(self.users, text)

    def check_kept(self, before: str | None, run: Devenv | None = None) -> None:
        """Check that the content before still exists, is saved, or was dropped on purpose."""
        kept = before is None or before in self.lost or self.content == before or before in self.saved()
        assert kept, (f"lost: {before}", self.done, run and run.report())

    def pick(self) -> tuple[str, Stack]:
        """A folder."""
        name = self.random.choice("aaab")
        return name, self.stacks[name]

    # --- steps ------------------------------------------------------------------------------------------------

    def run(self, *args: str, end: Callable[[Devenv], object] | None = None) -> None:
        """A run: look, write, and an end of some kind."""
        name, stack = self.pick()
        before, created = self.content, self.created
        run = self.up(stack, *args)
        if not (docker_cli.until(lambda: run.all("ready") or run.all("error"), timeout=120) and run.all("ready")):
            assert run.wait() == 3, run.report()
            self.check_kept(before, run)
            return
        if stack.containers("db"):
            text, messages = stack.read("db", "/data/x"), str([*run.all("notice"), *run.all("problem")])
            text = text and text.strip()
            known = text == self.seen.get(name) or self.seen.get(name) in self.lost or "data" in messages
            fresh = "--fresh" in args
            assert known or fresh or (created and text), (text, self.seen, self.done, run.report())
            self.check_kept(before, run)
            self.write(name, before=created)
            before = self.content
        if end is None:
            assert run.stop() == 130, run.report()
        else:
            end(run)
        self.check_kept(before, run)

    def session(self) -> None:
        """Up, write, Ctrl-C."""
        self.run()

    def fresh(self) -> None:
        """`up` with an empty volume."""
        self.run("--fresh")

    def detached(self) -> None:
        """Up, write, left running."""
        self.run("-d", end=lambda run: run.wait())

    def kill_both(self) -> None:
        """Up, write, kill -9 of devenv and guardian."""
        self.run(end=_killed)

    def kill_devenv(self) -> None:
        """Up, write, kill -9 of devenv; the guardian ends it."""

        def end(run: Devenv) -> None:
            os.killpg(run.process.pid, signal.SIGKILL)
            docker_cli.until(run.survivors, lambda left: not left, timeout=60)

        self.run(end=end)

    def crash(self) -> None:
        """Kill a start at any moment."""
        name, stack = self.pick()
        before, created, run = self.content, self.created, self.up(stack)
        step = self.random.choice(("check", "restore", "create", "start", "healthy"))
        docker_cli.until(lambda: run.all("step", name=step) or run.process.poll() is not None)
        if run.process.poll() is None:
            _killed(run)
        if self.created != created:
            self.users, self.is_plain = {name}, False
        self.check_kept(before, run)

    def command(self, *args: str) -> None:
        """Run a command to its end."""
        _, stack = self.pick()
        before = self.content
        done = cli.run(*args, cwd=stack.folder, env={**stack.env, **self.state})
        assert done.returncode in (0, 1, 3), done.stderr
        self.check_kept(before)

    def down(self) -> None:
        """`devenv down`."""
        self.command("down")

    def gc(self) -> None:
        """`devenv gc`."""
        self.command("gc")

    def plain_up(self) -> None:
        """Bring it up with plain Compose, and write."""
        name, stack = self.pick()
        before = self.created
        if stack.compose("up", "-d").returncode == 0:
            self.write(name, before=before)
            self.is_plain |= self.created != before

    def plain_down(self) -> None:
        """Take it down with plain Compose."""
        self.any.compose("down")

    def plain_down_volumes(self) -> None:
        """Take it down with plain Compose, with its volumes."""
        before = self.content
        self.any.compose("down", "-v")
        if before is not None and self.content != before:
            self.lost |= {before, *(str(self.seen.get(name)) for name in self.users)}

    def rename(self) -> None:
        """Rename the folder."""
        name, stack = self.pick()
        self.count += 1
        stack.folder = stack.folder.rename(stack.folder.with_name(f"{name}-{self.count}"))


STEPS = (
    Sequence.session,
    Sequence.session,
    Sequence.fresh,
    Sequence.detached,
    Sequence.kill_both,
    Sequence.kill_devenv,
    Sequence.crash,
    Sequence.down,
    Sequence.gc,
    Sequence.plain_up,
    Sequence.plain_down,
    Sequence.plain_down_volumes,
    Sequence.rename,
)


def _killed(run: Devenv) -> None:
    """Kill the guardian first, which would act at once, then the run and its processes."""
    alive = run.survivors(0)
    for pid in sorted(alive, key=lambda pid: GUARDIAN not in alive[pid]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    docker_cli.until(run.survivors, lambda left: not left)


@pytest.mark.parametrize("number", range(SEQUENCES))
def test_random_sequences_lose_no_data(new_stack: NewStack, up: Up, state_env: dict[str, str], number: int) -> None:
    """Random steps from a printed seed keep all data, and a foreign container is unchanged at the end."""
    seed = int(os.environ.get("DEVENV_TEST_SEED") or random.SystemRandom().randrange(10**9))
    stacks = {name: new_stack(folder=name) for name in "ab"}
    for stack in stacks.values():
        stack.name, stack.env = stacks["a"].name, dict(stacks["a"].env)
        stack.compose_file(SERVICES, volumes={"data": {}})
    sequence = Sequence(stacks, up, state_env, random.Random(seed))
    stranger = docker("create", "--label", f"{docker_cli.PROJECT_LABEL}={sequence.any.name}", BASE_IMAGE, "true")
    try:
        for _ in range(LENGTH):
            step = sequence.random.choice(STEPS)
            sequence.done.append(f"{step.__name__} (seed {seed})")
            step(sequence)
            docker("inspect", stranger)
        cli.run("down", cwd=sequence.any.folder, env={**sequence.any.env, **state_env})
    finally:
        docker("rm", "-f", stranger)
        sequence.any.remove()
