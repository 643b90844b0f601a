"""The output of `devenv` without arguments, in every state of a project."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from devenv.__main__ import main
from devenv.cli import main as app
from devenv.docker.endpoint import Endpoint
from devenv.errors import EngineError
from devenv.inspect import status
from devenv.model.answers import STATES, Here
from devenv.model.containers import Container, Network, ProjectState, Volume
from devenv.state.identity import Place, VolumeRecord, engine_key
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, place_of
from support.schemas import checked_document

ENGINE = "unix:///here"
IDENTITY = ("id", "/var/lib/docker")
KEY = engine_key([IDENTITY], ENGINE)
SERVICES = "services: {web: {image: a}, db: {image: b}}\n"


class Machine:
    """An engine with one running container, or one that does not answer in time or at all."""

    endpoint = Endpoint(ENGINE)
    project_state_of = ProjectState((Container("1", "shop-web-1", "web", "running", ours=True),))
    trouble: EngineError | None = None
    pause = 0.0
    is_ours: Callable[[Container | Network], bool]

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls) -> AsyncIterator[Machine]:
        """It, or its trouble."""
        await anyio.sleep(cls.pause)
        if cls.trouble:
            raise cls.trouble
        yield cls()

    async def identity(self) -> tuple[str, str]:
        """The same each time."""
        return IDENTITY

    async def project_state(self, project: str) -> ProjectState:
        """The project state of these containers."""
        assert project in ("shop", "mine", "theirs")
        return self.project_state_of


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a project that we are in, and a machine."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PWD", str(folder))
    for name in ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_ENV_FILES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    (folder / "compose.yml").write_text(SERVICES)
    monkeypatch.setattr(status, "Engine", Machine)
    yield folder
    Machine.trouble, Machine.pause = None, 0.0
    Machine.project_state_of = ProjectState((Container("1", "shop-web-1", "web", "running", ours=True),))


def printed(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[Here, list[str]]:
    """The JSON and the lines for people; both name the same commands."""
    assert app.run([*arguments, "--output", "json"]) == 0
    answer = checked_document("devenv", capfd.readouterr().out)
    assert app.run([*arguments]) == 0
    lines = capfd.readouterr().out.splitlines()
    commands = [command["command"] for command in answer.pop("commands")]
    assert [line for line in lines if line.startswith("  devenv")] == [
        line for line in lines if line.strip().startswith(tuple(commands))
    ]
    assert len(commands) == sum(line.startswith("  devenv") for line in lines)
    answer.pop("v")
    answer = {key: tuple(value) if isinstance(value, list) else value for key, value in answer.items()}
    return Here(**answer), lines


def begun(folder: Path, phase: str = "up", *, ready: bool = True, name: str = "shop", machine: str = "") -> Run:
    """A run that began there; `machine` has its ports."""
    ledger = Ledger(name, Place(str(folder)), KEY, ENGINE, None, 1000.0, 1, phase)
    run = Run.open(KEY, Endpoint(ENGINE), name)
    run.write(ledger)
    last = {"urls": ["http://localhost:8080/"], "began": 1000.0 if ready else 900.0, "forwarded_from": machine}
    run.remember(last)
    return run


def test_no_project(capfd: pytest.CaptureFixture[str], shop: Path) -> None:
    """The hint is the command that creates a project; the engine is not asked."""
    (shop / "compose.yml").unlink()
    Machine.trouble = EngineError("nobody may ask")
    answer, lines = printed(capfd)
    assert (answer.state, lines[0]) == ("none", f"no compose file in {shop}")
    assert lines[1].startswith("  devenv new ")


def test_a_broken_project(capfd: pytest.CaptureFixture[str], shop: Path) -> None:
    """The message has the place of the error."""
    (shop / "compose.yml").write_text("services: [")
    answer, lines = printed(capfd)
    assert answer.state == "broken"
    assert lines[0].startswith("compose.yml:")
    assert lines[1].startswith("  devenv config --validate")


def test_services_with_a_profile_are_not_missed(capfd: pytest.CaptureFixture[str], shop: Path) -> None:
    """They need not be up; unless every service has a profile."""
    Machine.project_state_of = ProjectState()
    (shop / "compose.yml").write_text("services: {web: {image: x}, test: {image: x, profiles: [test]}}")
    answer, lines = printed(capfd)
    assert (answer.services, lines[0]) == (("test", "web"), "shop is not up: web")
    (shop / "compose.yml").write_text("services: {test: {image: x, profiles: [test]}}")
    assert printed(capfd)[1][0] == "shop is not up: test"


def test_a_run_of_which_nothing_runs(capfd: pytest.CaptureFixture[str], shop: Path) -> None:
    """Its process exists, but the project does not count as up."""
    stopped = Container("1", "shop-web-1", "web", "exited", ours=True, exit_code=0)
    Machine.project_state_of = ProjectState((stopped,))
    run = begun(shop)
    with run.lock.hold():
        assert "but none of its containers is running" in printed(capfd)[1][0]


@pytest.mark.parametrize("phase", [None, "left", "up"])
def test_a_project_that_is_not_up(capfd: pytest.CaptureFixture[str], shop: Path, phase: str | None) -> None:
    """The services and the command that starts them are shown, also after a run without remains."""
    if phase:
        begun(shop, phase)
        Machine.project_state_of = ProjectState()
    answer, lines = printed(capfd)
    assert (answer.state, answer.services, lines[0]) == ("down", ("db", "web"), "shop is not up: db, web")
    assert lines[-1].startswith("  devenv --help")
    assert "devenv up" in lines[-4]


@pytest.mark.parametrize("is_held", [True, False])
def test_addresses_of_another_machine(capfd: pytest.CaptureFixture[str], shop: Path, *, is_held: bool) -> None:
    """The machine is named, as long as a process forwards the ports."""
    run = begun(shop, "detached", machine="far")
    with run.lock.hold() if is_held else contextlib.nullcontext():
        answer, lines = printed(capfd)
    assert answer.forwarded_from == ("far" if is_held else "")
    assert lines[1] == f"  http://localhost:8080/{' (forwarded from far)' if is_held else ''}"


@pytest.mark.parametrize(
    ("ready", "state", "first"), [(True, "up", "devenv logs -f"), (False, "starting", "devenv ps")]
)
def test_status_of_a_live_run(
    capfd: pytest.CaptureFixture[str], shop: Path, *, ready: bool, state: str, first: str
) -> None:
    """The project is up, with its URLs once it was ready; URLs of an earlier run do not count."""
    run = begun(shop, ready=ready)
    with run.lock.hold():
        answer, lines = printed(capfd)
    assert (answer.state, answer.running) == (state, 1)
    assert answer.urls == (("http://localhost:8080/",) if ready else ())
    assert ("  http://localhost:8080/" in lines) is ready
    assert first in lines[2 if ready else 1]
    with run.lock.hold(cleaning=True):
        assert printed(capfd)[0].state == "ending"


def test_why_a_project_has_no_containers(shop: Path) -> None:
    """While a run starts or stops, `devenv up` is not suggested."""
    run = begun(shop)
    assert status.without_containers("shop", str(shop)) == "shop is not up (devenv up)"
    with run.lock.hold():
        assert status.without_containers("shop", str(shop)).startswith(
            "the containers of shop were removed by somebody"
        )
        begun(shop, ready=False)
        assert status.without_containers("shop", str(shop)) == "shop is starting: no containers yet"
        assert status.without_containers("other", "/") == "other is not up (devenv up)"
    with run.lock.hold(cleaning=True):
        assert status.without_containers("shop", str(shop)) == "shop is being cleaned up"


def test_status_of_a_detached_run(capfd: pytest.CaptureFixture[str], shop: Path) -> None:
    """It is up without a process of ours, until its containers stop."""
    begun(shop, "detached")
    assert printed(capfd)[0].state == "up"
    begun(shop, "kept")
    Machine.project_state_of = ProjectState(
        tuple(replace(container, state="exited") for container in Machine.project_state_of.containers)
    )
    answer, lines = printed(capfd)
    assert (answer.state, answer.running) == ("stopped", 0)
    assert "devenv up" in lines[1]


def test_a_service_that_is_not_well_is_named(capfd: pytest.CaptureFixture[str], shop: Path) -> None:
    """A stopped service and a removed one are named; without a running container there is no address."""
    run = begun(shop)
    run.remember({"urls": ["http://localhost:8080/"], "began": 1000.0, "images": {"web": "i", "db": "i"}})
    (web,) = Machine.project_state_of.containers
    with run.lock.hold():
        answer, _ = printed(capfd)
        assert answer.said.endswith(", with 1 container; db removed")
        Machine.project_state_of = ProjectState((replace(web, state="exited", publishes=True),))
        answer, _ = printed(capfd)
    assert answer.said.endswith(", but none of its containers is running; db removed, web stopped (0)")
    assert (answer.state, answer.urls) == ("up", ())


def test_a_dead_run(capfd: pytest.CaptureFixture[str], shop: Path, tmp_path: Path) -> None:
    """One line counts the remains, and `down` is first; for another project, `gc` is added."""
    begun(shop)
    answer, lines = printed(capfd)
    assert (answer.state, answer.others) == ("dead", ())
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1000.0))
    assert lines[0] == f"the run of shop that began at {began} has died and left 1 container behind (devenv down)"
    assert lines[2].startswith("  devenv down ")
    assert not any("devenv gc" in line for line in lines)
    Run.open(KEY, Endpoint(ENGINE), "shop").clear()
    begun(tmp_path, name="other")
    answer, lines = printed(capfd)
    assert (answer.state, answer.others) == ("down", ("other",))
    assert any("devenv gc" in line and "other" in line for line in lines)


def test_a_run_that_died_on_another_machine(capfd: pytest.CaptureFixture[str], shop: Path) -> None:
    """The current engine has nothing of it: the machine is named, and the command that reaches it."""
    run = Run.open("far", Endpoint("ssh://far"), "shop")
    run.write(Ledger("shop", Place(str(shop)), "far", "ssh://far", None, 1000.0, 1, "up"))
    answer, lines = printed(capfd)
    assert (answer.state, answer.said) == ("down", "shop is not up; its run on far has died")
    assert lines[1] == "left on far: what was created of shop; devenv down shop"


def test_status_of_a_volume_that_could_not_be_saved(
    capfd: pytest.CaptureFixture[str], shop: Path, tmp_path: Path
) -> None:
    """The run has ended and its volume still exists: reported here and elsewhere, with the command."""
    Machine.project_state_of = ProjectState((), (), (Volume("shop_data", "shop", "data"),))
    run = begun(shop, "left")
    ledger = run.read()
    assert ledger is not None
    run.write(replace(ledger, volumes=(VolumeRecord("shop_data"),)))
    begun(tmp_path, "left", name="other")
    answer, lines = printed(capfd)
    assert (answer.state, answer.running, answer.others) == ("left", 0, ("other",))
    assert lines[0] == "an earlier run of shop left 1 volume behind (devenv down)"
    assert lines[1].startswith("  devenv down ")
    assert any("devenv gc" in line and "other" in line for line in lines)


def test_an_engine_that_does_not_answer(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is the doctor, after a short wait."""
    Machine.trouble = EngineError("no engine answers at x")
    answer, lines = printed(capfd)
    assert (answer.state, lines[0]) == ("unreachable", "no engine answers at x")
    assert lines[1].startswith("  devenv doctor")
    monkeypatch.setattr(status, "LIMIT", 0.05)
    Machine.trouble, Machine.pause = None, 60.0
    assert printed(capfd)[0].state == "unreachable"


@pytest.mark.parametrize(
    ("arguments", "text", "expected"),
    [
        (["-p", "mine"], SERVICES, "mine"),
        ([], f"name: theirs\n{SERVICES}", "theirs"),
        ([], SERVICES, "shop"),
    ],
)
def test_project_name_of_the_status(
    capfd: pytest.CaptureFixture[str], shop: Path, arguments: list[str], text: str, expected: str
) -> None:
    """The command line's, the file's, the folder's."""
    (shop / "compose.yml").write_text(text)
    answer, _ = printed(capfd, *arguments)
    assert answer.project == expected


@pytest.mark.parametrize(("address", "state"), [(ENGINE, "up"), ("unix:///elsewhere", "down")])
def test_a_run_of_devenv_0_1(capfd: pytest.CaptureFixture[str], shop: Path, address: str, state: str) -> None:
    """It is known by the engine's address alone."""
    lists = ("before_containers", "before_networks", "before_volumes", "creates", "keeps", "restoring", "unsettled")
    old = {"v": 1, "project": "shop", "directory": str(shop), "endpoint": address, "context": None, "began": 1000.0,
           "pid": 1, "phase": "detached", **dict.fromkeys((*lists, "anonymous"), ())}  # fmt: skip
    Path(Run.open("another engine", Endpoint(address), "shop").path, "ledger.json").write_text(json.dumps(old))
    answer, _ = printed(capfd)
    assert (answer.state, answer.running) == (state, 1 if state == "up" else 0)


def test_containers_of_plain_compose_are_reported(capfd: pytest.CaptureFixture[str]) -> None:
    """Containers that run are reported, though no run of devenv made them."""
    Machine.project_state_of = ProjectState((Container("1", "shop-web-1", "web", "running", ours=False),))
    answer, lines = printed(capfd)
    assert (answer.state, answer.running) == ("down", 0)
    assert lines[0] == "shop is not up; 1 container of it, not devenv's, runs (devenv ps)"


def test_the_run_of_a_renamed_folder(
    capfd: pytest.CaptureFixture[str], shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found in the new folder, whose name is another project's."""
    run = begun(shop)
    run.write(replace(run.read() or pytest.fail("no ledger"), place=place_of(str(shop))))
    new = shop.rename(shop.parent / "store")
    monkeypatch.setenv("PWD", str(new))
    monkeypatch.chdir(new)
    with run.lock.hold():
        answer, lines = printed(capfd)
        assert lines[0].startswith("shop is up since")
        assert [line.split("  ")[1] for line in lines[-4:]] == [
            "devenv -p shop logs -f", "devenv -p shop ps", "devenv -p shop down", "devenv --help",
        ]  # fmt: skip
        assert answer.run_options == ("-p", "shop")
        hint = "store is not up; shop is, from this folder (devenv ps -p shop)"
        assert status.without_containers("store", str(new)) == hint


def test_a_long_name_is_whole(capfd: pytest.CaptureFixture[str], shop: Path) -> None:
    """As Compose has it: only a worktree's mark makes a name shorter."""
    Machine.trouble = EngineError("no engine")
    folder = shop / ("x" * 60)
    folder.mkdir()
    (folder / "compose.yml").write_text(SERVICES)
    assert printed(capfd, "--file", str(folder / "compose.yml"))[0].project == "x" * 60


def test_quiet_status_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Quiet status is one line."""
    assert app.run(["-q"]) == 0
    assert capfd.readouterr().out == "shop is not up: db, web\n"


@pytest.mark.parametrize("state", STATES)
def test_each_state_suggests_commands(state: str) -> None:
    """At least the list of all commands."""
    commands = Here(state, "").commands
    assert commands[-1].command == "devenv --help"
    assert json.dumps([one.command for one in commands])


def test_short_status_equals_the_long_one(
    capfd: pytest.CaptureFixture[str], shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short way prints the same, and leaves errors to the long way."""
    assert main([]) == 0
    short = capfd.readouterr().out
    assert app.run([]) == 0
    assert capfd.readouterr().out == short
    monkeypatch.setenv("XDG_STATE_HOME", str(shop / "compose.yml"))
    assert main([]) == 3
    assert capfd.readouterr().err.startswith("error: cannot use ")
