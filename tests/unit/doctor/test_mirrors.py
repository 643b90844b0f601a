"""How mirrors are ranked, and what of that is written into the user's file."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from devenv.cli import main
from devenv.compose.user_config import with_mirrors
from devenv.doctor import mirrors
from devenv.doctor.doctor import carry_out
from devenv.doctor.mirrors import Answers, Mirror, planned, ranked
from devenv.errors import StateError

A, B = "sha256:a", "sha256:b"


def asked(mirror: str, speed: float = 0.0, fault: str = "", lacks: tuple[str, ...] = (), **digests: str) -> Answers:
    """The answers of a mirror for the images redis and node."""
    return Answers(mirror, digests, lacks, fault, 0.1 if speed else 0.0, speed)


@pytest.mark.parametrize(
    ("given", "pinned", "expected"),
    [
        ([asked("slow", 1e6, redis=A), asked("fast", 9e6, redis=A)], {"redis": ""}, "fast slow"),
        ([asked("silent", fault="no answer"), asked("here", redis=A)], {"redis": ""}, "here -silent"),
        (
            [asked("some", 9e9, lacks=("node",), redis=A), asked("all", 1e3, redis=A, node=B)],
            {"redis": "", "node": ""},
            "all some",
        ),
        ([asked("none", lacks=("redis",))], {"redis": ""}, "-none"),
        ([asked("one", redis=A)], {"redis": ""}, "one"),
        ([asked("x", redis=A), asked("y", redis=B), asked("z", redis=A)], {"redis": ""}, "x z -y"),
        ([asked("x", redis=A), asked("y", redis=B)], {"redis": ""}, "-x -y"),
        ([asked("x", redis=A), asked("y", redis=B), asked("z", redis=A)], {"redis": B}, "y -x -z"),
        ([asked("x", redis=A, node=A), asked("y", redis=A, fault="broke")], {"redis": "", "node": ""}, "x -y"),
    ],
)
def test_mirrors_are_ranked(given: list[Answers], pinned: Mapping[str, str], expected: str) -> None:
    """Those with most images first, then the fastest; another digest than the pinned or the usual is never good."""
    assert " ".join(f"{'' if mirror.is_good else '-'}{mirror.mirror}" for mirror in ranked(given, pinned)) == expected


def test_a_late_first_byte_counts() -> None:
    """A server with a late first byte ranks below one with half its speed, for an image of common size."""
    late, soon = Answers("late", {"redis": A}, (), "", 3.0, 100e6), Answers("soon", {"redis": A}, (), "", 0.1, 50e6)
    assert [one.mirror for one in ranked([late, soon], {"redis": ""})] == ["soon", "late"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stand_ins = true",
        "# mine\nstand_ins = true\n\n[registry]\n",
        "[registry]  # r\nmirrors = [\"old.test\", '[::1]:5000']  # kept\n",
        '[registry]\nmirrors = [\n  "old.test",  # ]\n]\n',
        'dangerous = "refuse"\n[registry]\n# mirrors = ["x"]\n',
    ],
)
def test_writing_mirrors_keeps_the_rest_of_the_file(text: str) -> None:
    """All forms of the list are replaced; comments outside the list stay."""
    after = with_mirrors(text, ["a.test", "[::1]:1"])
    expected = tomllib.loads(text)
    expected["registry"] = {"mirrors": ["a.test", "[::1]:1"]}
    assert tomllib.loads(after) == expected
    assert [line for line in text.splitlines() if line.startswith("#") and line not in after] == []


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the user's file, which does not exist."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "devenv-compose/config.toml"


def good(name: str, *, is_good: bool = True) -> Mirror:
    """A mirror of the ranking."""
    return Mirror(name, is_good, ("redis",), (), (), "", 0.1, 1.0)


def test_good_mirrors_are_written_in_order(file: Path) -> None:
    """Good mirrors come first, in order, then untested ones; a bad one is removed. Without a change it is None."""
    new = planned([good("a.test"), good("bad.test", is_good=False)])
    assert new is not None
    assert (new.before, new.after) == (None, b'[registry]\nmirrors = ["a.test"]\n')
    assert not file.parent.exists()  # a plan changes nothing
    assert anyio.run(carry_out, new) is None
    assert file.read_text() == '[registry]\nmirrors = ["a.test"]\n'
    file.write_text('stand_ins = true\n[registry]\nmirrors = ["bad.test", "other.test", "https://b.test"]\n')
    changed = planned([good("a.test"), good("b.test"), good("bad.test", is_good=False)])
    assert changed is not None
    assert changed.after == b'stand_ins = true\n[registry]\nmirrors = ["a.test", "b.test", "other.test"]\n'
    assert changed.shows[0].startswith("- mirrors = [")
    file.write_text('[registry]\nmirrors = ["a.test"]\n')
    assert planned([good("a.test")]) is None
    assert planned([good("a.test", is_good=False)]) is None


def test_a_file_in_another_form_is_left_alone(file: Path) -> None:
    """The hint has the line to write."""
    file.parent.mkdir()
    file.write_text('registry = {mirrors = ["x.test"]}\n')
    with pytest.raises(StateError, match="cannot be changed") as raised:
        planned([good("a.test")])
    assert raised.value.hint == 'mirrors = ["a.test", "x.test"]'


@pytest.mark.parametrize(
    ("options", "texts"),
    [("", ["MIRROR", "to use the good mirrors"]), ("--fix --yes", ["MIRROR", "mirrors: ", "written: "])],
)
def test_the_ranking_is_shown_first(
    file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], options: str, texts: list[str]
) -> None:
    """Before anything is asked or written; in a file that cannot be changed, the error comes after it."""

    async def ask(*_: object) -> tuple[Mirror, ...]:
        return (good("a.test"),)

    monkeypatch.setattr(mirrors, "ask", ask)
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    assert main.run(["doctor", "--mirror", "a.test", *options.split()]) == 0
    shown = capfd.readouterr().out
    places = [shown.index(text) for text in texts]
    assert places == sorted(places)
    assert file.exists() is bool(options)
    file.parent.mkdir(exist_ok=True)
    file.write_text('registry = {mirrors = ["x.test"]}\n')
    assert main.run(["doctor", "--mirror", "a.test", *options.split()]) != 0
    shown = capfd.readouterr().out
    assert 0 < shown.index("a.test") < shown.index("cannot be changed")
