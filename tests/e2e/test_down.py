"""`devenv down` finds the run that it has to end, however the files have changed, and at any time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml

from support import cli, docker_cli
from support.cli import Devenv, StartDevenv, kill
from support.phases import DATA
from support.stack import Stack, built_service, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine


def without_web(model: dict[str, dict[str, object]]) -> None:
    """Remove a service, its volume and its network."""
    del model["services"]["web"], model["volumes"]["more"], model["networks"]["extra"]


def called_otherwise(model: dict[str, object]) -> None:
    """Change the name of the project."""
    model["name"] = f"{model['name']}-new"


def broken(model: dict[str, object]) -> None:
    """Make the file invalid."""
    model["services"] = "none"


def gone(_: dict[str, object]) -> None:
    """Delete the file."""


@pytest.mark.parametrize(
    "edit",
    [*(pytest.param(edit, marks=pytest.mark.long) for edit in (without_web, broken)), called_otherwise, gone],
    ids=lambda edit: edit.__name__,
)
def test_down_ends_a_detached_run_whose_files_have_changed(
    stack: Stack, devenv: StartDevenv, edit: Callable[[dict[str, object]], None]
) -> None:
    """Everything is removed and volumes are saved, even if the files do not describe them any more."""
    services = {
        "db": idle_service(**DATA),
        "web": idle_service(volumes=["more:/more"], networks=["default", "extra"]),
    }
    file = stack.compose_file(services, volumes={"data": {}, "more": {}}, networks={"extra": {}})
    env = {**stack.env, "COMPOSE_PROJECT_NAME": None}
    assert devenv("up", "-d", cwd=stack.folder, env=env).wait() == 0
    model = yaml.safe_load(file.read_text())
    edit(model)
    file.unlink() if edit is gone else file.write_text(yaml.safe_dump(model))
    down = devenv("down", cwd=stack.folder, env=env)
    assert down.wait() == 0, down.report()
    assert {saved["volume"] for saved in down.all("saved")} == {"data", "more"}
    assert stack.leftovers() == {}


def test_down_can_run_repeatedly_and_concurrently(stack: Stack, up: Up, devenv: StartDevenv) -> None:
    """Two `down` at once and a third succeed without errors; so does `down` while `up` is starting."""
    stack.compose_file({"db": idle_service(**DATA), "web": idle_service(depends_on=["db"])}, volumes={"data": {}})
    run = up(stack)
    run.wait_for("step", name="create", state="begin")
    ended = [devenv("down", cwd=stack.folder, env=stack.env) for _ in range(2)]
    assert run.wait() == 130, run.report()
    for down in (*ended, devenv("down", cwd=stack.folder, env=stack.env)):
        assert down.wait() == 0, down.report()
        assert not down.all("problem"), down.report()
        assert down.stderr == ""
    assert stack.leftovers() == {}


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.long)])
def test_recreated_containers_leave_no_anonymous_volume(stack: Stack, up: Up, rounds: int) -> None:
    """Anonymous volumes of image and file are removed with their containers, however often these are recreated."""
    stack.write("version", "0")
    web = built_service(
        "VOLUME /of-image\nCOPY version /",
        volumes=["/of-file"],
        develop={"watch": [{"path": "./version", "action": "rebuild"}]},
    )
    stack.compose_file({"web": web})
    run = up.ready(stack)
    anonymous: set[str] = set()
    for number in range(1, rounds + 1):
        anonymous |= mounted(stack)
        since = run.mark()
        stack.write("version", str(number))
        run.wait_for("rebuilt", since=since)
    anonymous |= mounted(stack)
    assert len(anonymous) >= 2
    assert run.stop() == 130, run.report()
    assert anonymous.isdisjoint(docker_cli.volumes())


def mounted(stack: Stack) -> set[str]:
    """The names of the volumes that `web` uses."""
    return {mount["Name"] for mount in docker_cli.inspect(stack.container("web"))["Mounts"]}


@pytest.fixture
def ending(stack: Stack, up: Up, devenv: StartDevenv, state_env: dict[str, str]) -> tuple[Devenv, Devenv]:
    """A run in the background whose container takes three seconds to stop, and the `down` that is ending it."""
    deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
    stack.compose_file({"db": idle_service(command=deaf, stop_grace_period="3s", **DATA)}, volumes={"data": {}})
    run = up(stack, "-d")
    assert run.wait() == 0
    docker_cli.until(lambda: len(run.keepers()) == len(run.guardians()) == 1, timeout=30)
    env = {**stack.env, **state_env}
    docker_cli.until(lambda: cli.run("settle", cwd=stack.folder, env=env).returncode == 0, timeout=30)
    down = devenv("down", cwd=stack.folder, env=stack.env)
    down.wait_for("stopping")
    return run, down


def test_gc_finishes_a_down_that_was_killed(
    stack: Stack, ending: tuple[Devenv, Devenv], state_env: dict[str, str]
) -> None:
    """`gc` removes what is left if all processes were killed, even though the run had been detached."""
    run, down = ending
    kill(*run.keepers(), *run.guardians(), down.process.pid)
    assert stack.leftovers()
    swept = cli.run("gc", cwd=stack.folder, env={**stack.env, **state_env})
    assert swept.returncode == 0, swept.stdout
    assert stack.leftovers() == {}
    assert "data is saved" in swept.stdout


@pytest.mark.parametrize("victims", ["command", "keeper", "both"])
def test_a_run_that_is_ending_ends_if_a_process_is_killed(
    stack: Stack, ending: tuple[Devenv, Devenv], state_env: dict[str, str], victims: str
) -> None:
    """The keeper goes on without the command, the command without the keeper, and the guardian without both."""
    run, down = ending
    kill(*([] if victims == "command" else run.keepers()), *([] if victims == "keeper" else [down.process.pid]))
    assert stack.leftovers()
    assert victims != "keeper" or down.wait() == 0, down.report()
    assert run.survivors(20) == {}
    assert stack.leftovers() == {}
    saved = cli.run("snapshot", "list", cwd=stack.folder, env={**stack.env, **state_env})
    assert "data" in saved.stdout
