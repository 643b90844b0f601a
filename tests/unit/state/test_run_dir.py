"""The folder of one project on one engine: its lock, and its ledger."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.errors import StateError
from devenv.model.containers import Container, Network
from devenv.state import run_dir
from devenv.state.home import state_folder
from devenv.state.identity import Window
from devenv.state.ledger import VolumePolicy
from devenv.state.run_dir import Run, address, key_of, open_run
from support.runs import begun, opened

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "devenv-compose"


def test_written_and_read_are_the_same(state_home: Path) -> None:
    """A ledger survives the disk, in files that only the user may read."""
    run = opened()
    assert run.read() is None
    run.write(ledger := begun(phase="detached"))
    assert opened().read() == ledger
    modes = {stat.S_IMODE(path.stat().st_mode) for path in Path(run.path).iterdir()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (state_home, Path(run.path))} == {0o700}
    run.clear()
    run.clear()
    assert run.read() is None


def test_engines_and_projects_have_runs_of_their_own() -> None:
    """Neither the same project on another engine nor another project has the same ledger."""
    opened().write(begun())
    assert opened(key="id /mnt/docker").read() is None
    assert opened("q").read() is None


def test_addresses_of_one_engine_share_a_run() -> None:
    """Lock and ledger are the same for each address of the engine."""
    run, again = opened(), opened(endpoint=Endpoint("tcp://localhost:2375"))
    assert run.path == again.path
    with run.lock.hold(), pytest.raises(StateError, match="already up"), again.lock.hold():
        pass


def test_the_run_at_an_address_is_known_without_the_engine(tmp_path: Path) -> None:
    """Another name of the socket works, too; an unused address has no run."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    real, link = (Endpoint(f"unix://{tmp_path}/{name}/docker.sock") for name in ("real", "link"))
    assert address(real) == address(link)
    run = opened(endpoint=real)
    assert Run.known(link, "p").path == run.path
    for endpoint, project in ((link, "q"), (Endpoint("tcp://x:1"), "p")):
        other = Run.known(endpoint, project)
        assert not os.path.exists(other.path)
        assert other.read() is None
    (Path(opened("p", "another", Endpoint("tcp://x:1")).path) / "about.json").write_text("{")
    assert not os.path.exists(Run.known(Endpoint("tcp://x:1"), "p").path)


def test_what_a_run_brought_up_that_goes_on() -> None:
    """Only a run that continues or was detached counts, not one that is starting or has died."""
    run, ledger = opened("a"), begun("a")
    run.write(ledger)
    run.remember({"began": ledger.began, "images": {"web": "i"}})
    assert run_dir.brought_up(run) == frozenset()
    with run.lock.hold():
        assert run_dir.brought_up(run) == {"web"}
        run.remember({"began": 0.0, "images": {"web": "i"}})
        assert run_dir.brought_up(run) == frozenset()
    run.write(replace(ledger, phase="detached"))
    run.remember({"began": ledger.began, "images": {"web": "i"}})
    assert run_dir.brought_up(run) == {"web"}
    assert run_dir.brought_up(opened("a", "other")) == frozenset()


def test_how_services_ended_is_noted_while_the_run_goes_on() -> None:
    """An unreadable note counts as missing."""
    run = opened("a")
    run.note_standings({"web": ("stopped", "by somebody else", "")})
    assert run.standings() == {}
    with run.lock.hold():
        assert run.standings() == {"web": ("stopped", "by somebody else", "")}
        for text in ("", "[1]", "{", '{"web": 1}'):
            Path(run.path, "standings.json").write_text(text)
            assert run.standings() == {}
        Path(run.path, "standings.json").unlink()
        Path(run.path, "standings.json").mkdir()
        run.note_standings({})
        assert run.standings() == {}


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"v": 3}', '{"v": 1, "nonsense": 1}', "\x00", "\udcff"])
def test_an_unreadable_ledger_is_an_error_that_helps(content: str) -> None:
    """A torn or foreign ledger ends with exit code 3 and a hint, never with a guess."""
    run = opened()
    Path(run.path, "ledger.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(StateError, match="cannot be read") as caught:
        run.read()
    assert caught.value.hint


def test_a_write_that_fails_leaves_the_old_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a write is interrupted, the earlier ledger is kept."""
    run = opened()
    run.write(begun())

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            with pytest.raises(StateError, match=r"ledger.json: No space left on device"):
                run.write(replace(begun(), phase="kept"))
        assert (ledger := run.read()) is not None
        assert ledger.phase == "up"
    assert not [name for name in os.listdir(run.path) if name.endswith(".new")]


def test_volume_policy_is_read_once() -> None:
    """The command that ends the run writes the policy; an unknown value is ignored."""
    run = opened()
    assert run.asked() is None
    run.ask(VolumePolicy.DROP)
    assert [run.asked(), run.asked()] == [VolumePolicy.DROP, None]
    Path(run.path, "wish").write_text("everything")
    assert run.asked() is None


def test_the_last_run_is_remembered() -> None:
    """The record does not depend on the ledger; a newer one replaces it, and an unreadable one counts as missing."""
    run = opened()
    assert run.last() == {}
    run.remember({"seconds": 1})
    run.remember({"seconds": 2})
    run.clear()
    assert opened().last()["seconds"] == 2
    for text in ("", "[1]", '{"v": 0}', "{"):
        Path(run.path, "last.json").write_text(text)
        assert run.last() == {}


def test_an_open_call_survives_the_process() -> None:
    """The next process that opens the run knows what an interrupted call may have created."""
    run = opened()
    window = Window("p", run.made.owner, frozenset({"before"}), {"web": ""}, frozenset())
    run.made.open(window)
    new = Container("new", "p-web-1", "web", "created", ours=False, project="p", number="1", owner=run.made.owner)
    assert opened().made.holds(new)
    assert not opened().made.holds(replace(new, id="before"))


HERE, THERE = Endpoint("unix:///x/docker.sock"), Endpoint("tcp://x:2375")


class Asked:
    """An engine that gives these answers to `GET /info` (the last one repeats), and counts the requests."""

    is_ours: Callable[[Container | Network], bool]

    def __init__(self, *answers: tuple[str, str], endpoint: Endpoint = HERE) -> None:
        self.answers = list(answers)
        self.endpoint = endpoint
        self.count = 0

    async def identity(self) -> tuple[str, str]:
        """The next answer."""
        self.count += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def key(engine: Asked) -> str:
    """The key of the engine."""
    return await key_of(engine)  # type: ignore[arg-type]


async def test_a_stable_engine_is_asked_twice_once() -> None:
    """Once its answer is known to be stable, one request is enough; a new address needs two again."""
    first = Asked(("a", "/d"))
    known = await key(first)
    again = Asked(("a", "/d"))
    other = Asked(("a", "/d"), endpoint=THERE)
    assert (await key(again), await key(other)) == (known, known)
    assert (first.count, again.count, other.count) == (2, 1, 2)


async def test_an_engine_whose_id_changes_each_time() -> None:
    """It is its address, and is asked twice each time."""
    keys = {await key(Asked((f"{n}", "/d"), (f"{n}x", "/d"))) for n in range(3)}
    assert keys == {f"at {HERE.host}"}
    assert await key(Asked(("1", "/d"), ("2", "/d"), endpoint=THERE)) == f"at {THERE.host}"


async def test_another_engine_at_the_same_address() -> None:
    """It is not taken for the engine that was known there, and neither is an engine with another data folder."""
    keys = [await key(Asked(answer)) for answer in (("a", "/d"), ("b", "/d"), ("b", "/mnt"), ("a", "/d"))]
    assert len({*keys}) == 3
    assert keys[0] == keys[3]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"unix:///x/docker.sock": 5}', "\x00"])
async def test_unreadable_engine_keys_are_ignored(content: str) -> None:
    """The engine is asked twice then, and that is all."""
    path = Path(state_folder(), "engines.json")
    path.write_text(content)
    engine = Asked(("a", "/d"))
    assert await key(engine) == "a /d"
    assert engine.count == 2
    assert json.loads(path.read_text()) == {HERE.host: ["a", "/d"]}


async def test_two_names_of_one_socket(tmp_path: Path) -> None:
    """Both names share their records; without a stable id they are still one engine."""
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    real, link = (Endpoint(f"unix://{tmp_path}/{name}/s") for name in ("run", "link"))
    await key(Asked(("a", "/d"), endpoint=real))
    known = Asked(("a", "/d"), endpoint=link)
    assert await key(known) == "a /d"
    assert known.count == 1
    changing = [await key(Asked(("1", "/d"), ("2", "/d"), endpoint=endpoint)) for endpoint in (real, link)]
    assert changing[0] == changing[1]


async def test_the_engine_knows_what_is_ours() -> None:
    """From the moment that the run is opened; the run is the same at another address."""
    engine, other = Asked(("a", "/d")), Asked(("a", "/d"), endpoint=THERE)
    run = await open_run(engine, "shop")  # type: ignore[arg-type]
    run.made.add("mine")
    again = await open_run(other, "shop")  # type: ignore[arg-type]
    assert again.path == run.path
    for asked in (engine, other):
        assert [asked.is_ours(Container(name, name, "", "created", ours=False)) for name in ("mine", "x")] == [
            True,
            False,
        ]


async def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file that could not be written."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("devenv.private_files.replace", full)
    with pytest.raises(StateError, match=r"cannot write .*engines\.json: No space"):
        await key(Asked(("a", "/d")))
