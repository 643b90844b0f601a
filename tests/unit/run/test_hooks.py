"""Hooks, on the real host, and in services on an engine in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.docker.process import OnOutput
from devenv.errors import DevenvError
from devenv.events import Event, HookLine, Notice, Problem, Step
from devenv.model.project import SHELL, Hook, Moment, Project, ProjectHook
from devenv.run import hooks as room
from devenv.run.consent import require_trust
from devenv.run.hooks import Hooks
from support.engine import MemoryEngine, MemoryHost
from support.memory.played import placed

# ruff: noqa: D102 - the fake's methods are the engine's, and the rig is small
pytestmark = pytest.mark.anyio
UP, HEALTHY, DOWN = Moment.BEFORE_UP, Moment.AFTER_HEALTHY, Moment.BEFORE_DOWN

FIX = "Fix the command, or remove it from `x-devenv.hooks.before_up`."


class Recorder(MemoryEngine):
    """Three containers of `db`, the first of which has ended; records the commands, which print one line each."""

    def __init__(self) -> None:
        host = MemoryHost()
        super().__init__(host)
        for number, state in enumerate(("exited", "running", "running"), 1):
            placed(host, "db", state, number=number)
        self.code = 0
        self.asked: list[tuple[str, Sequence[str], dict[str, Any]]] = []
        self.run, self.exec.run = self.exec.run, self._record  # type: ignore[method-assign]
        host.execution = lambda _, __, ___: (self.code, [(2, b"inside\n")])

    async def _record(
        self, container_id: str, argv: Sequence[str], *, on_line: OnOutput = lambda _, __: None, **more: Any
    ) -> tuple[int, str]:
        self.asked.append((container_id, argv, dict(more)))
        return await self.run(container_id, argv, on_line=on_line, **more)


@dataclass
class Rig:
    """Hooks of a project in a folder of its own, and their events."""

    folder: Path
    engine: Recorder = field(default_factory=Recorder)
    events: list[Event] = field(default_factory=list)

    def hooks(self, *hooks: ProjectHook, names: Sequence[str] = ("db", "web")) -> Hooks:
        project = Project("p", str(self.folder), (), (), hooks=hooks)
        return Hooks(self.engine, project, names, self.events.append)

    def lines(self) -> list[str]:
        return [event.line for event in self.events if isinstance(event, HookLine)]

    def problems(self) -> list[Problem]:
        return [event for event in self.events if isinstance(event, Problem)]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """The rig uses a state folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "p").mkdir()
    return Rig(tmp_path / "p")


def shell(moment: Moment, text: str) -> ProjectHook:
    """A line for the host's shell."""
    return ProjectHook(moment, Hook((*SHELL, text)), where="compose.yml:7")


def inside(moment: Moment, service: str = "db") -> ProjectHook:
    """A command in a service."""
    hook = Hook(("seed", "it"), "me", "/w", (("A", "1"),), privileged=True)
    return ProjectHook(moment, hook, service, "compose.yml:9")


async def test_host_commands_run_in_the_projects_folder(rig: Rig) -> None:
    """Only those of the moment run, in order; a list is not run by a shell; each line is reported at once."""
    listed = ProjectHook(UP, Hook(("printf", "%s\\n", "$HOME; echo x")))
    hooks = rig.hooks(shell(DOWN, "echo no"), shell(UP, "pwd; echo err >&2"), listed)
    await hooks.run(UP)
    assert sorted(rig.lines()) == sorted([str(rig.folder), "err", "$HOME; echo x"])
    assert rig.lines()[-1] == "$HOME; echo x"
    assert HookLine("before_up", "err", None, "stderr") in rig.events


async def test_lines_of_hooks_have_their_level(rig: Rig) -> None:
    """As those of services have: a traceback is an error to its last line."""
    await rig.hooks(shell(UP, "echo 'Traceback (most recent call last):'; echo '  x'; echo 'a.B: c'; echo d")).run(UP)
    assert [event.level for event in rig.events if isinstance(event, HookLine)] == ["error", "error", "error", ""]


async def test_failing_command_ends_the_hooks(rig: Rig) -> None:
    """The error has its place, command, end and last lines; the next hook does not run."""
    hooks = rig.hooks(shell(UP, "seq 20; exit 3"), shell(UP, "touch ran"))
    with pytest.raises(DevenvError) as caught:
        await hooks.run(UP)
    first, *last = str(caught.value).splitlines()
    assert first == "compose.yml:7: before_up: `seq 20; exit 3` ended with exit code 3"
    assert last == [f"  {number}" for number in range(9, 21)]
    assert (caught.value.exit_code, caught.value.hint) == (1, FIX)
    assert not (rig.folder / "ran").exists()


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (shell(UP, "kill -9 $$"), "`kill -9 $$` was ended by signal 9"),
        (shell(UP, "false\n"), "`false` ended with exit code 1"),
        (shell(UP, "echo\nfalse"), "`echo …` ended with exit code 1\n  "),
        (
            ProjectHook(UP, Hook(("no-such-thing",)), where="compose.yml:7"),
            "`no-such-thing` failed: `no-such-thing` is not installed, or not on PATH",
        ),
    ],
)
async def test_other_failures_of_hooks(rig: Rig, hook: ProjectHook, message: str) -> None:
    """All are failures of the hook, exit code 1."""
    with pytest.raises(DevenvError) as caught:
        await rig.hooks(hook).run(UP)
    assert (str(caught.value), caught.value.hint) == (f"compose.yml:7: before_up: {message}", FIX)
    assert caught.value.exit_code == 1


async def test_script_without_an_interpreter_is_an_error(rig: Rig) -> None:
    """A script without an interpreter line cannot be run without a shell."""
    (rig.folder / "gen").write_text("echo x\n")
    (rig.folder / "gen").chmod(0o755)
    with pytest.raises(DevenvError, match=r"before_up: `./gen` failed: Exec format error"):
        await rig.hooks(ProjectHook(UP, Hook(("./gen",)))).run(UP)


async def test_command_runs_in_a_service(rig: Rig) -> None:
    """It runs in one running container, with the hook's options; hooks of services not chosen do not run."""
    await rig.hooks(inside(HEALTHY), inside(HEALTHY, "off")).run(HEALTHY)
    ((container, argv, more),) = rig.engine.asked
    assert (container, argv) == ("id-db-2", ("seed", "it"))
    timeout = more.pop("timeout")
    assert timeout == float("inf")
    assert more == {"user": "me", "working_dir": "/w", "environment": {"A": "1"}, "privileged": True}
    assert rig.events == [HookLine("after_healthy", "inside", "db", "stderr")]


async def test_a_command_in_a_service_that_fails(rig: Rig) -> None:
    """The error has the command and its end; a service without a running container is an error, too."""
    rig.engine.code = 2
    with pytest.raises(DevenvError) as caught:
        await rig.hooks(inside(HEALTHY)).run(HEALTHY)
    message = "compose.yml:9: after_healthy: `devenv exec db seed it` ended with exit code 2\n  inside"
    assert (str(caught.value), caught.value.hint) == (message, FIX.replace("before_up", "after_healthy"))
    with pytest.raises(DevenvError, match="failed: web is not running"):
        await rig.hooks(inside(HEALTHY, "web")).run(HEALTHY)


async def test_before_down_tries_all_hooks(rig: Rig) -> None:
    """A hook that fails is a problem, and the next hook runs; an untrusted hook does not run."""
    rig.engine.code = 1
    hooks = rig.hooks(shell(DOWN, "exit 4"), inside(DOWN), shell(DOWN, "touch ran"))
    await hooks.before_down(anyio.Event())
    assert not (rig.folder / "ran").exists()
    assert [problem.service for problem in rig.problems()] == [None, "db", None]
    assert "nobody has allowed yet" in rig.problems()[0].message
    rig.events.clear()
    require_trust(hooks.project, trust=True)
    await hooks.before_down(anyio.Event(), "so")
    assert (rig.folder / "ran").exists()
    assert [problem.message.splitlines()[0] for problem in rig.problems()] == [
        "compose.yml:7: before_down: `exit 4` ended with exit code 4",
        "compose.yml:9: before_down: `devenv exec db seed it` ended with exit code 1",
    ]
    assert rig.events[0] == Step("before_down", "begin", "so")
    end = rig.events[-1]
    assert isinstance(end, Step)
    assert end.state == "end"


async def test_no_events_without_before_down_hooks(rig: Rig) -> None:
    """Without hooks there are no events."""
    await rig.hooks(shell(UP, "x"), inside(DOWN, "off")).before_down(anyio.Event())
    assert rig.events == []


async def test_before_down_is_skipped(rig: Rig) -> None:
    """The hook that runs is ended, and the others are not started."""
    skip = anyio.Event()
    hooks = rig.hooks(shell(DOWN, "echo begun; exec sleep 60"), shell(DOWN, "touch ran"))
    require_trust(hooks.project, trust=True)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hooks.before_down, skip)
            while rig.lines() != ["begun"]:  # noqa: ASYNC110 - an event is only in a list
                await anyio.sleep(0.01)
            skip.set()
    assert Notice("before_down was cut short") in rig.events
    assert not (rig.folder / "ran").exists()


async def test_before_down_has_a_time_limit(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that does not end is ended, with a problem, and the run still ends."""
    monkeypatch.setattr(room, "DOWN_LIMIT", 0.2)
    hooks = rig.hooks(shell(DOWN, "exec sleep 60"))
    require_trust(hooks.project, trust=True)
    with anyio.fail_after(20):
        await hooks.before_down(anyio.Event())
    assert [problem.message for problem in rig.problems()] == ["before_down took more than 0 s and was ended"]


async def test_before_down_needs_trust_for_a_privileged_command(rig: Rig) -> None:
    """A hook in a service needs it, too: an untrusted command does not run, and the next hook does."""
    plain = replace(inside(DOWN), hook=Hook(("bye",)))
    hooks = rig.hooks(inside(DOWN), plain)
    await hooks.before_down(anyio.Event())
    assert [argv for _, argv, _ in rig.engine.asked] == [("bye",)]
    assert "privileged" in rig.problems()[0].message
    require_trust(hooks.project, trust=True)
    await hooks.before_down(anyio.Event())
    assert [argv for _, argv, _ in rig.engine.asked[1:]] == [("seed", "it"), ("bye",)]
