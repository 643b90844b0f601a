"""The record of which objects are ours, by id: several processes append to it, and a power cut may tear it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.errors import StateError
from devenv.model.containers import Container, Network
from devenv.state.created import CreationRecord, recognizer
from devenv.state.home import owner, state_folder
from devenv.state.identity import Window
from devenv.state.run_dir import Run

OWNER = "me@host-1"
WINDOW = Window("p", OWNER, frozenset({"before"}), {"web": "", "db": "fixed"}, frozenset({"p_default"}))


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The path of the record."""
    return str(tmp_path / "made")


def container(thing_id: str, service: str = "web", name: str = "p-web-1", **more: object) -> Container:
    """A container that a Compose call of ours creates."""
    made = Container(thing_id, name, service, "created", ours=False, project="p", number="1", owner=OWNER)
    return replace(made, **more)  # type: ignore[arg-type]


def held(record: CreationRecord, ids: Iterable[str]) -> str:
    """Those of the ids that are ours."""
    return "".join(container_id for container_id in ids if record.holds(container(container_id, owner="")))


def test_recorded_objects_are_ours(path: str) -> None:
    """An object is ours by its id, whatever its labels are, for each reader; the file has mode 600."""
    record, reader = CreationRecord(path, OWNER), CreationRecord(path, OWNER)
    assert not reader.holds(container("a", owner=""))
    record.add("a", "b")
    record.add("c")
    for each in (record, reader, CreationRecord(path, OWNER)):
        assert held(each, "abcd") == "abc"
        assert each.holds(Network("b", "any", ours=False))
    record.forget("b")
    assert [held(each, "abc") for each in (record, reader, CreationRecord(path, OWNER))] == ["ac"] * 3
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_lines_are_only_appended(path: str) -> None:
    """Earlier lines stay unchanged."""
    record = CreationRecord(path, OWNER)
    before = b""
    steps: tuple[Callable[[], None], ...] = (
        lambda: record.add("a"),
        lambda: record.intend("devenv-1"),
        lambda: record.close(record.open(WINDOW), ["b"]),
        lambda: record.forget("a"),
    )
    for step in steps:
        step()
        content = Path(path).read_bytes()
        assert content.startswith(before)
        assert len(content) > len(before)
        before = content


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (container("new"), True),
        (container("new", "db", "fixed"), True),
        (Network("new", "p_default", ours=False, owner=OWNER), True),
        (container("before"), False),
        (container("new", owner="other@host-2"), False),
        (container("new", "third", "p-third-1"), False),
        (Network("new", "p_other", ours=False, owner=OWNER), False),
    ],
)
def test_an_open_call_holds_what_it_may_have_created(path: str, thing: Container | Network, expected: bool) -> None:
    """If a call is interrupted before its result is recorded, its objects may be ours; later only the result is."""
    token = CreationRecord(path, OWNER).open(WINDOW)
    reader = CreationRecord(path, OWNER)
    assert reader.holds(thing) is expected
    CreationRecord(path, OWNER).close(token, ["else"])
    assert not reader.holds(thing)
    assert reader.holds(replace(thing, id="else"))


def test_overlapping_calls_are_independent(path: str) -> None:
    """`devenv run` beside a run: the end of one call does not end the other."""
    first, second = CreationRecord(path, OWNER), CreationRecord(path, OWNER)
    call = first.open(replace(WINDOW, services={"web": ""}))
    two = second.open(replace(WINDOW, services={"db": "fixed"}))
    assert call != two
    first.close(call, [])
    assert not first.holds(container("new"))
    assert first.holds(container("new", "db", "fixed"))


def test_a_holder_is_ours_by_the_name_that_was_intended(path: str) -> None:
    """It exists before its id can be recorded; its name is random, and a plain container cannot claim it."""
    CreationRecord(path, OWNER).intend("devenv-0123")
    reader = CreationRecord(path, OWNER)
    assert reader.holds(container("x", "", "devenv-0123", holds="p_data"))
    assert not reader.holds(container("x", "", "devenv-0123"))
    assert not reader.holds(container("x", "", "devenv-4567", holds="p_data"))


def torn() -> list[tuple[str, bytes]]:
    """The possible remains of a line after a power cut."""
    line = json.dumps({"ids": ["lost"]}).encode()
    return [
        ("cut", line[:-4]),
        ("without its end", line),
        ("one byte", b"{"),
        ("zeros", bytes(len(line))),
        ("zeros and an end", bytes(8) + b"\n"),
        ("within a character", '{"ids": ["ü'.encode()[:-1]),
        ("no object", b"null\n"),
    ]


@pytest.mark.parametrize("end", [end for _, end in torn()], ids=[name for name, _ in torn()])
def test_a_torn_last_line_costs_nothing_else(path: str, end: bytes) -> None:
    """All complete lines count, also in a process that has read the record before."""
    record = CreationRecord(path, OWNER)
    record.add("a")
    token = record.open(WINDOW)
    with open(path, "ab") as file:
        file.write(end)
    reader = CreationRecord(path, OWNER)
    assert held(reader, "ab") == "a"
    assert reader.holds(container("new"))
    CreationRecord(path, OWNER).add("b")
    for each in (record, reader, CreationRecord(path, OWNER)):
        assert held(each, "ab") == "ab"
    CreationRecord(path, OWNER).close(token, ["c"])
    assert not reader.holds(container("new"))
    assert held(reader, "abc") == "abc"


def test_cleared_while_another_process_reads(path: str) -> None:
    """That process forgets the old lines, and reads the next ones, whatever their length is."""
    record, reader = CreationRecord(path, OWNER), CreationRecord(path, OWNER)
    record.add("a")
    assert held(reader, "a") == "a"
    record.clear()
    assert held(reader, "a") == ""
    for length in (1, 20, 1000):
        record.add("a")
        assert held(reader, "a") == "a"
        record.clear()
        record.add("b", *(f"{n}" for n in range(length)))
        assert held(reader, "ab") == "b"
        assert held(record, "ab") == "b"
        record.clear()
    record.clear()
    assert not os.path.exists(path)


def test_failed_write_is_an_error(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is created: nothing may exist that no record names."""
    record = CreationRecord(path, OWNER)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            record.open(WINDOW)
    os.unlink(path)
    os.symlink("/etc/passwd", path)
    with pytest.raises(StateError, match="symbolic link"):
        record.add("a")


APPENDER = """
import sys
from devenv.state.identity import Window
from devenv.state.created import CreationRecord
record = CreationRecord(sys.argv[1], "me@host-1")
print("ready", flush=True)
sys.stdin.readline()
for n in range(50):
    token = record.open(Window("p", "me@host-1", services={sys.argv[2]: ""}))
    record.close(token, [f"{sys.argv[2]}{n}-" + "x" * 3000])
"""


def test_processes_append_at_once(path: str) -> None:
    """No line of any of them is lost or torn, and every call is closed."""
    names = "abc"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", APPENDER, path, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in processes] == [""] * len(names)
    reader = CreationRecord(path, OWNER)
    ids = [f"{name}{n}-" + "x" * 3000 for name in names for n in range(50)]
    assert all(reader.holds(container(container_id, owner="")) for container_id in ids)
    assert not any(reader.holds(container("new", name, f"p-{name}-1")) for name in names)


def test_records_count_on_every_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records of the project's runs on all engines count; those of other projects do not."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert not recognizer("p")(container("a"))
    for name, thing in (("p-1", "a"), ("p-2", "b"), ("p-q-1", "c")):
        folder = Path(state_folder(), "runs", name)
        folder.mkdir(parents=True, mode=0o700)
        Run(str(folder)).made.add(thing)
    is_ours = recognizer("p")
    assert [is_ours(container(container_id, owner=owner())) for container_id in "abc"] == [True, True, False]
