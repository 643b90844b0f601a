"""The events of an observer, on an engine in memory."""

from __future__ import annotations

# ruff: noqa: D102 - the observer's words are its own
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.docker import client
from devenv.docker.containers import Usage
from devenv.errors import DevenvError, EngineError
from devenv.events import Event, Log, Problem, ServiceState, Synced, Waiting
from devenv.model import status
from devenv.model.containers import PROJECT_LABEL, Container, ProjectState
from devenv.model.project import Condition, Dependency, Project, Service
from devenv.run.active.failures import FailureReporter
from devenv.run.active.observe import observer as observing
from devenv.run.active.observe import reactions, view
from devenv.run.active.observe.observer import Observer
from devenv.sync import code_health
from support.engine import MemoryEngine, MemoryHost
from support.memory import verbs
from support.memory.played import placed

pytestmark = pytest.mark.anyio


def container(name: str, state: str = "running", *, started: str = "t1", **more: Any) -> Container:
    """A container of the service that it is named after; `started` is a second or a time."""
    at = f"2026-01-01T00:00:0{started[1:]}Z" if started.startswith("t") else started
    return Container(id=f"id-{name}", name=name, service=name, state=state, ours=True, started_at=at, **more)


class PlayedEngine(MemoryEngine):
    """Shows these containers, all of them ours; `change` shows others and sends an event.

    `asked` are the times since when logs were asked for.
    """

    def __init__(self, *containers: Container) -> None:
        super().__init__(MemoryHost())
        self.is_ours = lambda _: True
        self.asked: list[str] = []
        self._said: dict[str, list[str]] = {}
        self._health = ""
        self.logs, self.containers.logs = self.containers.logs, self._logs  # type: ignore[method-assign]
        self.show(*containers)

    def show(self, *containers: Container) -> None:
        """Replace the containers, without an event."""
        self.shown = containers
        self.host.containers.clear()
        for container in containers:
            placed_container = placed(
                self.host,
                container.service,
                container.state,
                id=container.id,
                name=container.name,
                health=container.health,
            )
            placed_container.started, placed_container.finished = (
                nanoseconds(container.started_at),
                nanoseconds(container.finished_at),
            )
            placed_container.exit_code = container.exit_code
        self.said, self.health = self._said, self._health

    @property
    def said(self) -> dict[str, list[str]]:
        """The lines that each container has printed since its start."""
        return self._said

    @said.setter
    def said(self, said: dict[str, list[str]]) -> None:
        self._said = said
        for container in self.host.containers.values():
            container.log = [(1, container.started, line) for line in said.get(container.name, ())]

    @property
    def health(self) -> str:
        """The output of the last failed health check."""
        return self._health

    @health.setter
    def health(self, output: str) -> None:
        self._health = output
        for container in self.host.containers.values():
            container.health_log = [{"ExitCode": 1, "Output": output}]

    async def change(self, *containers: Container) -> None:
        """Replace the containers, with an event."""
        self.show(*containers)
        self.host.emit_event("container", "start", "id", {PROJECT_LABEL: "p"})

    async def restart_events(self, *containers: Container) -> None:
        """Replace the containers, and begin the stream of events again."""
        self.show(*containers)
        self.host.lives += 1
        self.host.wake()

    def _logs(self, container: Container, *, since: str = "", **options: Any) -> AsyncIterator[tuple[str, str]]:
        """As the engine has them; the times are kept."""
        if options.get("follow", True):
            self.asked.append(since)
        return self.logs(container, since=since, **options)


def nanoseconds(at: str) -> int:
    """Unix nanoseconds of an engine's time; 0 for never."""
    return round(dt.datetime.fromisoformat(at).timestamp() * 1e9) if at > "0002" else 0


class Observed:
    """An observer at work, and everything that it reported."""

    def __init__(self, engine: PlayedEngine, *services: Service, logs: bool = True) -> None:
        self.engine = engine
        self.events: list[Event] = []
        self.started: list[str] = []
        self.gone: list[str] = []
        self.fallen: list[str] = []
        self.failing = 0
        project = Project("p", "/p", (), services)
        reporter = FailureReporter(engine, Loaded(project, {}), Selection("/p"))
        self.observer = Observer(
            engine,
            project,
            frozenset(s.name for s in services),
            emit=self.events.append,
            logs=logs,
            on_start=self._start,
            on_gone=self._drop,
            on_return=self._resume,
            reporter=lambda: reporter,
        )

    async def _start(self, container: Container) -> None:
        self.started.append(f"{container.name}@t{int(container.started_at[17:19])}")
        if self.failing:
            self.failing -= 1
            raise EngineError("the shell in the container has ended")

    async def _drop(self, container_id: str) -> None:
        self.gone.append(container_id)

    async def _resume(self, containers: tuple[Container, ...]) -> None:
        self.fallen += [c.name for c in containers]

    async def until(self, met: Any) -> None:
        with anyio.fail_after(20):
            while not met():  # noqa: ASYNC110 - the world tells no event
                await anyio.sleep(0.005)

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(e.service, e.state) for e in self.events if isinstance(e, ServiceState)]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process has to last, unless a test is about that."""
    monkeypatch.setattr(view, "STEADY", 0.0)


WEB, DB, JOB = Service("web"), Service("db", has_healthcheck=True), Service("job", restart="on-failure")


async def test_each_state_is_reported_once() -> None:
    """Every change is an event, and looks without a change are silent."""
    engine = PlayedEngine(container("db", health="starting"))
    seen = Observed(engine, DB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.states)
        await engine.change(*engine.shown)
        await engine.change(container("db", health="healthy"))
        with anyio.fail_after(20):
            await seen.observer.until_ready()
        tasks.cancel_scope.cancel()
    assert seen.states == [("db", "starting"), ("db", "healthy")]


async def test_a_service_that_somebody_stopped_during_the_start() -> None:
    """It is not a failure, and the others start without it."""
    engine = PlayedEngine(container("db", health="starting"), container("web"))
    seen = Observed(engine, DB, WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: len(seen.states) == 2)
        with seen.observer.view.ending(engine.shown[:1]):
            await engine.change(container("db", "exited", exit_code=143), container("web"))
            seen.observer.view.watch.stopped(engine.shown)
        with anyio.fail_after(20):
            await seen.observer.until_ready()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("code", [0, 143])
async def test_a_container_that_ended_before_counts_as_created_until_all_is_started(code: int) -> None:
    """Until all services are started it is neither up nor failed, then it counts as it is."""
    ended = container("web", "exited", exit_code=code)
    engine = PlayedEngine(ended)
    seen = Observed(engine, WEB)
    seen.observer.view.forget([ended, container("db")])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.states)
        with anyio.move_on_after(0.05) as early:
            await seen.observer.until_ready()
        assert early.cancelled_caught
        await engine.change(container("web", started="t2"))
        with anyio.fail_after(20):
            await seen.observer.until_ready()
        engine.show(ended)
        seen.observer.view.all_started()
        await seen.until(lambda: len(seen.states) == 3)
        tasks.cancel_scope.cancel()
    assert seen.states == [("web", "created"), ("web", "started"), ("web", "stopped" if code else "completed")]


async def test_containers_that_ended_with_their_engine_are_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that shuts down ends its containers first: the run is not over, and gets them afterwards."""
    monkeypatch.setattr(observing, "OVER_AFTER", 0.2)
    monkeypatch.setattr(observing, "LOOK_EVERY", 0.05)  # an engine that was lost sends no event
    engine = PlayedEngine(container("web"))
    seen = Observed(engine, WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.states)
        await engine.change(container("web", "exited", exit_code=255))
        await seen.until(lambda: len(seen.states) == 2)
        engine.host.is_away = True
        await engine.change(*engine.shown)
        with anyio.move_on_after(0.5) as early:
            await seen.observer.until_over()
        assert early.cancelled_caught
        engine.host.is_away = False
        await engine.change(*engine.shown)
        await seen.until(lambda: seen.fallen)
        tasks.cancel_scope.cancel()
    assert seen.fallen == ["web"]
    assert seen.states == [("web", "started"), ("web", "exited")]


async def test_an_engine_that_restarted_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The restart is detected by the stream of its events, which begins again."""
    monkeypatch.setattr(observing, "LOOK_EVERY", 60.0)
    monkeypatch.setattr(client, "EVENTS_PAUSE", 0.0)
    engine = PlayedEngine(container("web"))
    seen = Observed(engine, WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await engine.restart_events(container("web"))
        await seen.until(lambda: seen.states)
        await engine.restart_events(container("web", "exited", exit_code=255))
        await seen.until(lambda: seen.fallen)
        tasks.cancel_scope.cancel()
    assert seen.fallen == ["web"]
    assert seen.states == [("web", "started")]


async def test_every_start_is_served_once() -> None:
    """A container is adopted at each start of its process, and dropped when it was removed."""
    engine = PlayedEngine(container("web", "created"))
    seen = Observed(engine, WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.states)
        assert seen.started == []
        await engine.change(container("web"))
        await seen.until(lambda: seen.started == ["web@t1"])
        await engine.change(container("web"))
        await engine.change(container("web", started="t2"))
        await seen.until(lambda: seen.started == ["web@t1", "web@t2"])
        await engine.change()
        await seen.until(lambda: seen.gone == ["id-web"])
        tasks.cancel_scope.cancel()


async def test_a_start_that_could_not_be_served_is_served_later() -> None:
    """A container whose first sync failed is tried again."""
    engine = PlayedEngine(container("web"))
    seen = Observed(engine, WEB)
    seen.failing = 1
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.started)
        await engine.change(*engine.shown)
        await seen.until(lambda: len(seen.started) == 2)
        tasks.cancel_scope.cancel()


async def test_a_known_container_is_not_served_again() -> None:
    """What was synced before its start was seen counts as served."""
    engine = PlayedEngine(container("web"))
    seen = Observed(engine, WEB)
    seen.observer.known(engine.shown[0])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.states)
        tasks.cancel_scope.cancel()
    assert seen.started == []


@pytest.mark.parametrize(
    ("service", "failed", "words"),
    [
        (
            WEB,
            container("web", "exited", exit_code=3),
            ["service web failed: ended with exit code 3", "  last words"],
        ),
        (DB, container("db", health="unhealthy"), ["its health check fails", "  health check: no route"]),
    ],
)
async def test_a_failure_is_raised_with_the_output_of_the_service(
    service: Service, failed: Container, words: list[str]
) -> None:
    """The error holds how it ended, what the health check printed, and the last lines of its log."""
    engine = PlayedEngine(failed)
    engine.said = {failed.name: [*(f"line {i}" for i in range(30)), "last words"]}
    engine.health = "first\nno route"
    seen = Observed(engine, service, logs=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        with anyio.fail_after(20), pytest.raises(DevenvError) as caught:
            await seen.observer.until_ready()
        tasks.cancel_scope.cancel()
    assert all(word in caught.value.message for word in words), caught.value.message
    assert "line 0\n" not in caught.value.message
    assert not [e for e in seen.events if isinstance(e, Log)]


async def test_a_service_that_the_engine_restarts_has_not_failed_yet() -> None:
    """`restart: on-failure` is tried again by the engine, and may be up the next time."""
    engine = PlayedEngine(container("job", "restarting", exit_code=1))
    seen = Observed(engine, JOB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.states)
        tasks.start_soon(engine.change, container("job", started="t2"))
        with anyio.fail_after(20):
            await seen.observer.until_ready()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("also", ["nobody", "required"])
async def test_an_optional_dependency_may_fail(also: str) -> None:
    """With `required: false` alone the others start without it; a service that requires it makes it count."""
    need = Dependency("job", Condition.COMPLETED, required=False)
    web, other = Service("web", depends_on=(need,)), Service("required", depends_on=(Dependency("job"),))
    engine = PlayedEngine(container("web"), container("required"), container("job", "exited", exit_code=3))
    seen = Observed(engine, web, Service("job"), *([other] if also == "required" else []))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        with anyio.fail_after(20):
            if also == "required":
                with pytest.raises(DevenvError, match="service job failed: ended with exit code 3"):
                    await seen.observer.until_ready()
            else:
                await seen.observer.until_ready()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("exit_code", [0, 137])
async def test_a_container_that_ended_before_this_run_is_waited_for(exit_code: int) -> None:
    """After a reboot or a crash, its end is neither a failure nor a success."""
    old = container("web", "exited", exit_code=exit_code)
    engine = PlayedEngine(old)
    seen = Observed(engine, WEB)
    seen.observer.view.forget([old])
    is_ready = anyio.Event()

    async def wait() -> None:
        await seen.observer.until_ready()
        is_ready.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        tasks.start_soon(wait)
        await seen.until(lambda: seen.states == [("web", "created")])
        await anyio.sleep(0.05)
        assert not is_ready.is_set()
        await engine.change(container("web", started="t2"))
        with anyio.fail_after(20):
            await is_ready.wait()
        await engine.change(container("web", "exited", started="t2", exit_code=1))
        await seen.until(lambda: seen.states[-1] == ("web", "exited"))
        tasks.cancel_scope.cancel()


async def test_a_restart_is_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between stop and start of its only container the run continues; it ends if no container starts again."""
    engine = PlayedEngine(container("web"))
    seen = Observed(engine, WEB)
    over = anyio.Event()

    async def wait() -> None:
        await seen.observer.until_over()
        over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.states)
        tasks.start_soon(wait)
        await engine.change(container("web", "exited", exit_code=1))
        await seen.until(lambda: ("web", "exited") in seen.states)
        await anyio.sleep(0.1)
        assert not over.is_set()
        await engine.change(container("web", started="t2"))
        await seen.until(lambda: seen.states[-1] == ("web", "started"))
        monkeypatch.setattr(observing, "OVER_AFTER", 0.1)
        await engine.change(container("web", "exited", started="t2"))
        with anyio.fail_after(8):
            await over.wait()
        tasks.cancel_scope.cancel()


async def test_a_container_that_we_end_ourselves_is_neither_reported_nor_a_failure() -> None:
    """A service whose container we restart or replace stays as it was until the next container has started."""
    engine = PlayedEngine(container("web"), container("db", health="starting"))
    seen = Observed(engine, WEB, DB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        tasks.start_soon(seen.observer.until_ready)
        await seen.until(lambda: len(seen.states) == 2)
        with seen.observer.view.ending([engine.shown[0]]):
            await engine.change(container("web", "exited", exit_code=143), container("db", health="healthy"))
            await seen.until(lambda: ("db", "healthy") in seen.states)
            await engine.change(container("web", started="t2"), container("db", health="healthy"))
            await seen.until(lambda: "web@t2" in seen.started)
        assert ("web", "exited") not in seen.states
        await seen.until(lambda: not seen.observer.view._ending)
        await engine.change(container("web", "exited", started="t2", exit_code=1), container("db", health="healthy"))
        await seen.until(lambda: seen.states[-1] == ("web", "exited"))
        tasks.cancel_scope.cancel()


async def test_an_engine_that_is_away_is_looked_at_again() -> None:
    """A look that fails ends nothing."""
    engine = PlayedEngine(container("web"))
    engine.host.is_away = True
    seen = Observed(engine, WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await anyio.sleep(0.05)
        engine.host.is_away = False
        await engine.change(container("web"))
        with anyio.fail_after(20):
            await seen.observer.until_ready()
        tasks.cancel_scope.cancel()


async def test_log_lines_are_reported_with_their_service() -> None:
    """Each log line is one event."""
    engine = PlayedEngine(container("web"))
    engine.said = {"web": ["one", "two"]}
    seen = Observed(engine, WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: sum(isinstance(e, Log) for e in seen.events) == 2)
        tasks.cancel_scope.cancel()
    assert [e for e in seen.events if isinstance(e, Log)] == [Log("web", "one"), Log("web", "two")]


@pytest.mark.parametrize(
    ("state", "finished", "asked"),
    [
        ("running", "2026-01-01T00:00:10.5Z", "1767225610.5"),  # the end of the process before
        ("running", "0001-01-01T00:00:00Z", ""),
        ("exited", "2026-01-01T00:00:10.5Z", ""),  # it ended so soon that the engine noted its start later
        ("exited", "2026-01-01T00:00:12Z", ""),
    ],
)
async def test_log_lines_are_those_since_the_last_process_ended(state: str, finished: str, asked: str) -> None:
    """Each line is reported once, also if the process ended before its start was seen."""
    web = container("web", state, started="2026-01-01T00:00:11Z", finished_at=finished)
    engine = PlayedEngine(web)
    seen = Observed(engine, WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: engine.asked)
        tasks.cancel_scope.cancel()
    assert engine.asked == [asked]


async def test_an_error_waits_for_the_output_of_the_failed_service() -> None:
    """Its last lines are reported before the run ends because of the failure."""
    engine = PlayedEngine(container("web", "exited", exit_code=3))
    engine.said = {"web": ["why"]}
    seen = Observed(engine, WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        with pytest.raises(DevenvError, match="why"):
            await seen.observer.until_ready()
        assert [e for e in seen.events if isinstance(e, Log)] == [Log("web", "why")]
        tasks.cancel_scope.cancel()


async def test_a_process_has_to_last_until_it_counts_as_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without a health check that dies at once was never up."""
    monkeypatch.setattr(view, "STEADY", 1.0)
    engine = PlayedEngine(container("web"), container("db", health="starting"))
    seen = Observed(engine, WEB, DB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.states)
        await anyio.sleep(1.0)
        began = anyio.current_time()
        tasks.start_soon(engine.change, container("web"), container("db", health="healthy"))
        await seen.observer.until_ready()
        assert anyio.current_time() - began < 0.9
        tasks.cancel_scope.cancel()
    again = PlayedEngine(container("web"))
    seen = Observed(again, WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.states)
        tasks.start_soon(again.change, container("web", "exited", exit_code=3))
        with anyio.fail_after(20), pytest.raises(DevenvError, match="ended with exit code 3"):
            await seen.observer.until_ready()
        tasks.cancel_scope.cancel()


async def test_a_container_that_ran_before_has_lasted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that this run did not start counts as up at once."""
    monkeypatch.setattr(view, "STEADY", 60.0)
    engine = PlayedEngine(container("web"))
    seen = Observed(engine, WEB)
    seen.observer.known(engine.shown[0])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        with anyio.fail_after(20):
            await seen.observer.until_ready()
        tasks.cancel_scope.cancel()


async def test_a_crash_after_ready_is_reported_once_with_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash loop is one problem; a crash of a process that had lasted is a new problem."""
    monkeypatch.setattr(status, "STEADY", -60.0)
    engine = PlayedEngine(container("web"))
    engine.said = {"web": ["Error: Cannot find module 'express'"]}
    seen = Observed(engine, WEB)

    def problems() -> list[Problem]:
        return [e for e in seen.events if isinstance(e, Problem)]

    async def crash(start: str) -> None:
        await engine.change(container("web", started=start))
        await seen.until(lambda: f"web@{start}" in seen.started)
        await engine.change(container("web", "restarting", started=start, exit_code=1))
        await seen.until(lambda: seen.states[-1] == ("web", "restarting"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.observer.until_ready()
        await crash("t2")
        await seen.until(problems)
        await crash("t3")
        monkeypatch.setattr(reactions, "LONG", 0.0)
        await crash("t4")
        await seen.until(lambda: len(problems()) == 2)
        tasks.cancel_scope.cancel()
    assert len(problems()) == 2
    first = problems()[0]
    assert first.service == "web"
    said = "ended with exit code 1: the module `express` is not in the container"
    assert first.message == f"{said}\n  Error: Cannot find module 'express'"
    assert str(first.hint).startswith("Install it in the image")


async def test_an_error_after_a_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error is reported at once, even if the health check is good, and so is its end after a good sync."""
    monkeypatch.setattr(code_health, "QUIET", 0.3)
    engine = PlayedEngine(container("db", health="healthy"))
    seen = Observed(engine, DB, logs=False)

    def errors() -> list[tuple[str, str]]:
        return [(e.state, e.error) for e in seen.events if isinstance(e, ServiceState)]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.observer.until_ready()
        (web,) = engine.host.containers.values()
        verbs.write_log(engine.host, web, "ERROR at another time")
        seen.observer.emit(Synced("db", 1, 0, 1, 1.0, ("main.py",)))
        for line in ('  File "/app/main.py", line 63', "    def broken(:", "SyntaxError: invalid syntax"):
            verbs.write_log(engine.host, web, line, 2)
        await seen.until(lambda: len(errors()) == 2)
        seen.observer.emit(Synced("db", 1, 0, 1, 1.0, ("main.py",)))
        await seen.until(lambda: len(errors()) == 3)
        tasks.cancel_scope.cancel()
    assert errors() == [("healthy", ""), ("healthy", "main.py:63: SyntaxError: invalid syntax"), ("healthy", "")]
    assert [type(e) for e in seen.events].count(Synced) == 2


async def test_an_error_that_is_complete_while_a_look_goes_on() -> None:
    """It is reported right after that look: the next look at a healthy project is half a minute later."""
    engine = PlayedEngine(container("db", health="healthy"))
    seen = Observed(engine, DB, logs=False)
    look, rest = engine.project_state, [0.0]

    async def slow_look(project: str) -> ProjectState:
        await anyio.sleep(rest[0])
        return await look(project)

    engine.project_state = slow_look  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.observer.until_ready()
        (web,) = engine.host.containers.values()
        seen.observer.emit(Synced("db", 1, 0, 1, 1.0, ("main.py",)))
        verbs.write_log(engine.host, web, '  File "/app/main.py", line 63', 2)
        await anyio.sleep(code_health.COMPLETE / 4)
        rest[0] = code_health.COMPLETE
        verbs.write_log(engine.host, web, "SyntaxError: invalid syntax", 2)
        with anyio.fail_after(5):
            await seen.until(lambda: any(isinstance(e, ServiceState) and e.error for e in seen.events))
        tasks.cancel_scope.cancel()


async def test_a_failed_service_has_its_last_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last error is shown whenever it was printed; a service that is well again has none."""
    monkeypatch.setattr(code_health, "WINDOW", 0.0)
    engine = PlayedEngine(container("db", health="starting"))
    engine.said = {"db": ["ERROR no room", "bye"]}
    seen = Observed(engine, DB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: len(seen.events) == 3)
        for health in ("unhealthy", "healthy", "unhealthy"):
            await engine.change(container("db", health=health))
            await seen.until(lambda now=health: seen.states[-1] == ("db", now))
        tasks.cancel_scope.cancel()
    states = [(e.state, e.error) for e in seen.events if isinstance(e, ServiceState)]
    assert states == [("starting", ""), ("unhealthy", "ERROR no room"), ("healthy", ""), ("unhealthy", "")]


async def test_a_crash_whose_event_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a new look decides that a process has lasted, since events are late on a busy machine."""
    monkeypatch.setattr(view, "STEADY", 0.1)
    engine = PlayedEngine(container("web"))
    seen = Observed(engine, WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.states)
        engine.show(container("web", "exited", exit_code=3))
        with anyio.fail_after(20), pytest.raises(DevenvError, match="ended with exit code 3"):
            await seen.observer.until_ready()
        tasks.cancel_scope.cancel()


async def test_what_is_busy_is_known_before_the_last_service_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long import may have begun long before the last service is up, and continue."""
    monkeypatch.setattr(view, "STEADY", 0.1)
    engine = PlayedEngine(container("web"), container("db", health="starting"))
    seen = Observed(engine, WEB, DB)
    used, is_busy = iter(range(10**9)), anyio.Event()

    async def usage(container_id: str) -> Usage:
        if seen.observer.view.watch.busy:
            is_busy.set()
        now = next(used)
        return Usage(now, now, 2, 1)

    engine.containers.usage = usage  # type: ignore[method-assign]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        tasks.start_soon(seen.observer.until_ready)
        with anyio.fail_after(20):
            await is_busy.wait()
        await engine.change(container("web"), container("db", health="healthy"))
        await seen.until(lambda: ("db", "healthy") in seen.states)
        with anyio.move_on_after(0.2) as waits:
            await seen.observer.until_ready()
        assert waits.cancelled_caught
        tasks.cancel_scope.cancel()


async def test_an_end_by_a_signal_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop by a signal is not a problem; its next end without a signal is. A paused service counts as up."""
    monkeypatch.setattr(view, "STEADY", 0.1)
    engine = PlayedEngine(container("web", "paused"), container("db", health="healthy"))
    seen = Observed(engine, WEB, DB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        with anyio.fail_after(20):
            await seen.observer.until_ready()
        await engine.change(container("web", "exited", exit_code=143), *engine.shown[1:])
        await seen.until(lambda: ("web", "stopped") in seen.states)
        await engine.change(container("web", "exited", exit_code=143), container("db", "exited", exit_code=1))
        await seen.until(lambda: [e for e in seen.events if isinstance(e, Problem)])
        tasks.cancel_scope.cancel()
    assert [e.service for e in seen.events if isinstance(e, Problem)] == ["db"]


async def test_a_stopped_service_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after its grace period, it is not a problem; the run waits until it is started again."""
    monkeypatch.setattr(observing, "OVER_AFTER", 0.0)
    engine = PlayedEngine(container("web"))
    seen = Observed(engine, WEB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.observer.until_ready()
        with seen.observer.view.ending(engine.shown):
            await engine.change(*engine.shown)
            engine.show(container("web", "exited", exit_code=137))
            seen.observer.view.watch.stopped(engine.shown)
        await seen.until(lambda: ("web", "stopped") in seen.states)
        with anyio.move_on_after(0.2) as waits:
            await seen.observer.until_over()
        assert waits.cancelled_caught
        assert not [e for e in seen.events if isinstance(e, Problem)]
        await engine.change(container("web", started="t2"))
        await seen.until(lambda: seen.states[-1] == ("web", "started"))
        await engine.change(container("web", "exited", started="t2", exit_code=137))
        with anyio.fail_after(20):
            await seen.observer.until_over()
        tasks.cancel_scope.cancel()


async def test_an_optional_service_that_fails_is_a_problem() -> None:
    """With `required: false` nothing waits for it, but the problem is reported."""
    web = Service("web", depends_on=(Dependency("job", required=False),))
    engine = PlayedEngine(container("web"), container("job", "exited", exit_code=3))
    seen = Observed(engine, web, Service("job"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: [e for e in seen.events if isinstance(e, Problem)])
        tasks.cancel_scope.cancel()
    (problem,) = [e for e in seen.events if isinstance(e, Problem)]
    assert problem == Problem(
        "ended with exit code 3", "To look inside: devenv run --rm --no-deps --entrypoint sh job", "job"
    )


async def test_a_wait_is_reported_at_growing_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has the reason, the waiting services and the last output; no waiting service is reported itself."""
    monkeypatch.setattr(reactions, "reminder", lambda reports: 60.0 if reports else 0.0)
    web = Service("web", depends_on=(Dependency("db", Condition.HEALTHY),))
    engine = PlayedEngine(container("web", "created"), container("db", health="starting"))
    engine.said = {"db": ["one", "initializing"]}
    engine.health = "first\nno route"
    seen = Observed(engine, DB, web, logs=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: [e for e in seen.events if isinstance(e, Waiting)])
        await engine.change(*engine.shown)
        await engine.change(container("web"), container("db", health="healthy"))
        await seen.until(lambda: ("db", "healthy") in seen.states)
        tasks.cancel_scope.cancel()
    waits = [e for e in seen.events if isinstance(e, Waiting)]
    assert waits == [Waiting("db", "waits for its health check", 0.0, ("web",), "initializing", "no route")]


async def test_a_service_that_is_started_again_and_again_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its short starts do not count as up, and the wait continues through them."""
    monkeypatch.setattr(view, "STEADY", 60.0)
    monkeypatch.setattr(reactions, "reminder", lambda reports: 60.0 if reports else 0.1)
    engine = PlayedEngine(container("job", "restarting", exit_code=1))
    seen = Observed(engine, JOB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: seen.states)
        await engine.change(container("job", started="t2"))
        await seen.until(lambda: seen.states[-1] == ("job", "started"))
        await anyio.sleep(0.1)
        await engine.change(container("job", "restarting", started="t2", exit_code=1))
        await seen.until(lambda: [e for e in seen.events if isinstance(e, Waiting)])
        tasks.cancel_scope.cancel()
    (wait,) = [e for e in seen.events if isinstance(e, Waiting)]
    assert wait.detail == "ended with exit code 1"


async def test_the_error_when_time_is_up() -> None:
    """It names every service that is not up, with the last output of those that others wait for."""
    web = Service("web", depends_on=(Dependency("db", Condition.HEALTHY),))
    engine = PlayedEngine(container("web", "created"), container("db", health="starting"))
    engine.said, engine.health = {"db": ["initializing"]}, "sh: 1: curl: not found"
    seen = Observed(engine, web, DB)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(seen.observer.run)
        await seen.until(lambda: len(seen.states) == 2)
        error = await seen.observer.late(30)
        tasks.cancel_scope.cancel()
    assert error.message.splitlines() == [
        "not healthy after 30 s: web waits for db to be healthy; db waits for its health check",
        "db waits for its health check: it calls `curl`, which its image does not have",
        "  health check: sh: 1: curl: not found",
        "  initializing",
    ]
    assert error.hint == "Install it in the image, or use a program that it has in `healthcheck.test`."
