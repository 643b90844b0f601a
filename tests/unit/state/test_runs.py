"""The run of a project, found by what identifies its engine."""

from __future__ import annotations

# ruff: noqa: D102 - the fake speaks the words of what it stands for
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.errors import StateError
from devenv.model.containers import Container, Network
from devenv.state.home import state_folder
from devenv.state.runs import key_of, open_run

pytestmark = pytest.mark.anyio

HERE, THERE = Endpoint("unix:///x/docker.sock"), Endpoint("tcp://x:2375")


class Asked:
    """An engine that gives these answers to `GET /info`, the last one for ever, and counts how often it was asked."""

    is_ours: Callable[[Container | Network], bool]

    def __init__(self, *answers: tuple[str, str], endpoint: Endpoint = HERE) -> None:
        self.answers = list(answers)
        self.endpoint = endpoint
        self.count = 0

    async def identity(self) -> tuple[str, str]:
        self.count += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


async def key(engine: Asked) -> str:
    """What identifies the engine."""
    return await key_of(engine)  # type: ignore[arg-type]


async def test_a_stable_engine_is_asked_twice_once() -> None:
    """Once it is known to answer the same, one answer is enough; another address of it has to show that, too."""
    first = Asked(("a", "/d"))
    known = await key(first)
    again = Asked(("a", "/d"))
    other = Asked(("a", "/d"), endpoint=THERE)
    assert (await key(again), await key(other)) == (known, known)
    assert (first.count, again.count, other.count) == (2, 1, 2)


async def test_an_engine_whose_id_changes_each_time() -> None:
    """It is its address, and is asked twice each time."""
    found = {await key(Asked((f"{n}", "/d"), (f"{n}x", "/d"))) for n in range(3)}
    assert found == {f"at {HERE.host}"}
    assert await key(Asked(("1", "/d"), ("2", "/d"), endpoint=THERE)) == f"at {THERE.host}"


async def test_another_engine_at_the_same_address() -> None:
    """It is not taken for the one that was known there, nor is one whose data are elsewhere."""
    found = [await key(Asked(answer)) for answer in (("a", "/d"), ("b", "/d"), ("b", "/mnt"), ("a", "/d"))]
    assert len({*found}) == 3
    assert found[0] == found[3]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"unix:///x/docker.sock": 5}', "\x00"])
async def test_what_is_noted_cannot_be_read(content: str) -> None:
    """The engine is asked twice then, and that is all."""
    path = Path(state_folder(), "engines.json")
    path.write_text(content)
    engine = Asked(("a", "/d"))
    assert await key(engine) == "a /d"
    assert engine.count == 2
    assert json.loads(path.read_text()) == {HERE.host: ["a", "/d"]}


async def test_two_names_of_one_socket(tmp_path: Path) -> None:
    """What is known of one is known of the other; without a stable id they are one engine, too."""
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
    for one in (engine, other):
        assert [one.is_ours(Container(name, name, "", "created", ours=False)) for name in ("mine", "x")] == [
            True,
            False,
        ]


async def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what could not be written."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("devenv.private_files.replace", full)
    with pytest.raises(StateError, match=r"cannot write .*engines\.json: No space"):
        await key(Asked(("a", "/d")))
