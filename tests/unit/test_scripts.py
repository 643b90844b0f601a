"""The helpers of scripts/ that decide something."""

from __future__ import annotations

import importlib.util
import os
import pty
import select
import socket
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest
from benchmarks import report, waterfall
from benchmarks.figures import Figure
from scripts import animation

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_a_free_port_is_taken_as_asked() -> None:
    """Without a listener the port asked for is the answer."""
    port = _listen()[1]
    assert _load("free_port").first_usable(port, 1, engine_is_root=False) == port


def test_a_taken_port_gives_the_next_free_one() -> None:
    """With listeners on the port and on the fallback, the answer is a port after the fallback that can be bound."""
    free_port = _load("free_port")
    listener, first = _listen(keep=True)
    two, second = _listen(keep=True)
    with listener, two:
        chosen = free_port.first_usable(first, second, engine_is_root=True)
    assert chosen > second


def test_a_forbidden_port_is_no_hindrance_for_an_engine_that_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that only the user may not bind is usable for a root engine and unusable for a rootless one."""
    free_port = _load("free_port")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    port = _listen()[1]
    monkeypatch.setattr(free_port.socket.socket, "bind", refuse)
    assert free_port.usable(port, engine_is_root=True)
    assert not free_port.usable(port, engine_is_root=False)


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        ('tests="412" failures="0" errors="0" skipped="0"', "412 passed, 0 failed"),
        ('tests="10" failures="2" errors="1" skipped="3"', "4 passed, 3 failed, 3 skipped"),
        ('tests="0" failures="0" errors="0" skipped="0"', "0 passed, 0 failed"),
    ],
)
def test_the_closing_line_counts_errors_as_failed(attributes: str, line: str) -> None:
    """The closing line has the numbers of pytest's report, and names skipped tests only if there are any."""
    assert _load("tally").closing_line(f"<testsuites><testsuite {attributes}/></testsuites>") == line


def test_the_reports_of_a_run_are_counted_together_and_failures_named() -> None:
    """Two reports give one closing line, and one line for each test that failed or had an error."""
    quick, engine = (
        f'<testsuites><testsuite tests="2" failures="{outcome == "failure":d}" errors="{outcome == "error":d}">'
        f'<testcase file="{file}" name="good"/><testcase file="{file}" name="bad[x]"><{outcome}/></testcase>'
        "</testsuite></testsuites>"
        for file, outcome in (("tests/unit/test_a.py", "failure"), ("tests/e2e/test_b.py", "error"))
    )
    tally = _load("tally")
    assert tally.closing_line(quick, engine) == "2 passed, 2 failed"
    assert tally.failures(quick, engine) == [
        "FAILED tests/unit/test_a.py::bad[x]",
        "FAILED tests/e2e/test_b.py::bad[x]",
    ]


def test_the_times_of_groups_and_of_the_slowest_files() -> None:
    """Files of less than a second are not listed."""
    cases = (("a", "12.5"), ("a", "1"), ("b", "0.4"))
    listed = "".join(f'<testcase file="{file}" name="x" time="{time}"/>' for file, time in cases)
    report = f"<testsuites><testsuite>{listed}</testsuite></testsuites>"
    assert _load("tally").times({"quick": report}) == ["    14 s  quick", "    14 s  a"]


def test_no_test_is_outside_of_the_jobs_of_the_whole_run() -> None:
    """`scripts/test` names folders and the beginnings of names: tests elsewhere would never run."""
    tests = Path(__file__).parents[1]
    places = {path.parent for path in tests.rglob("test_*.py") if tests / "unit" not in path.parents}
    assert places == {tests / "e2e", tests / "engine"}


@pytest.mark.parametrize(
    ("typed", "code", "said"), [("\n", 0, "went on"), ("y\n", 0, "went on"), ("n\n", 1, "error:")]
)
def test_a_terminal_is_asked_and_enter_is_yes(typed: str, code: int, said: str) -> None:
    """On a terminal the question comes before anything is installed; Enter and y go on, n ends with an error."""
    ended, screen = _on_terminal("may_install 'Installing x.'; echo went on", typed)
    assert ended == code
    assert "Installing x." in screen
    assert "[Y/n]" in screen
    assert said in screen


@pytest.mark.parametrize("before", ["assume_yes=yes;", "exec </dev/null;"])
def test_nothing_is_asked_with_yes_or_without_a_terminal(before: str) -> None:
    """With --yes or without a terminal, the script continues, and still prints what it does."""
    ended, screen = _on_terminal("may_install 'Installing x.'; echo went on", "n\n", before=before)
    assert ended == 0
    assert "Installing x." in screen
    assert "[Y/n]" not in screen


def test_the_set_up_works_with_closed_descriptors() -> None:
    """With stdin, stdout and stderr closed, sourcing the set-up neither fails nor mixes up files."""
    code = f". '{SCRIPTS}/lib.sh'; say x; echo y; read -r line && exit 3; exit 0"
    assert subprocess.run(["bash", "-c", f"exec <&- >&- 2>&-; {code}"], check=False).returncode == 0


def text(frame: animation.Frame) -> list[str]:
    """The lines that a frame shows."""
    return list(filter(None, ("".join(part[2] for part in row).rstrip() for row in frame.rows)))


def test_a_recording_is_a_frame_for_each_content_of_the_screen() -> None:
    """The view has a screen of its own; what is written at the same time is one frame, and captions follow."""
    writes = [(9.0, b"\x1b[?1049hup <1>"), (9.1, b" now"), (11.0, b"\x1b[?1049lend")]
    *_, first, last = animation.frames(writes, "x", [(0.0, "start"), (10.0, "last")])

    assert (text(first), first.caption, first.seconds) == (["up <1> now"], "start", 2.0)
    assert (text(last), last.caption) == (["$ x", "end"], "last")
    drawn = ET.fromstring(animation.svg([first, last], "a & b", "start"))  # noqa: S314 - it is ours
    assert [group.get("id") for group in drawn.iter() if group.get("class") == "f"] == ["f0", "f1"]


def test_moving_pictures_are_small() -> None:
    """A page with them is read on a slow connection, too."""
    sizes = {path.name: path.stat().st_size for path in (SCRIPTS.parent / "docs/images").glob("moving-*")}
    assert len(sizes) == 3
    assert {name: size for name, size in sizes.items() if size > 500_000} == {}


def _listen(*, keep: bool = False) -> tuple[socket.socket, int]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port: int = listener.getsockname()[1]
    if not keep:
        listener.close()
    return listener, port


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scripts_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _on_terminal(command: str, typed: str, before: str = "") -> tuple[int, str]:
    """Exit code and screen of a bash command that has sourced the set-up, on a terminal with this input."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", f"{before} . '{SCRIPTS}/lib.sh'; {command}"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.write(ours, typed.encode())
    screen = b""
    while process.poll() is None or select.select([ours], [], [], 0.1)[0]:
        if select.select([ours], [], [], 0.1)[0]:
            screen += os.read(ours, 1000)
    os.close(theirs)  # the last output may be lost if nobody has the terminal open
    os.close(ours)
    return process.wait(10), screen.decode()


def test_the_waterfall_has_a_row_for_each_start_and_each_part() -> None:
    """Medians of all rounds; parts in the order in which they begin, with their share of the whole."""
    starts = {
        waterfall.DEVENV: [
            waterfall.Start(wall, 0.5, {"docker compose start": (0.6, wall, 0.05), "step load": (0.1, 0.6, 0.0)})
            for wall in (0.9, 1.1, 1.0)
        ],
        waterfall.PARTS: [waterfall.Start(2.0, 1.0)],
        waterfall.FLOOR: [waterfall.Start(0.7, 0.02)],
    }
    head, _, *rows, end = waterfall.compared(starts, "six services")
    assert (head, end) == ("| start of six services | until the command has ended | processor time |", "")
    *_, load, start = waterfall.parts(starts[waterfall.DEVENV])
    assert rows == ["| `devenv up -d` | 1.00 s | 0.50 s |", f"| {waterfall.FLOOR} | 0.70 s | 0.02 s |"]
    assert load == "| step load | 0.10 s | 0.60 s | 50 % |  |"
    assert start == "| docker compose start | 0.60 s | 1.00 s | 40 % | 0.050 s |"


@pytest.mark.parametrize(("layers", "needs"), [(1, [0] * 6), (3, [0, 0, 2, 2, 2, 2])])
def test_the_layers_of_the_waterfall(monkeypatch: pytest.MonkeyPatch, layers: int, needs: list[int]) -> None:
    """Each service waits for all services of the layer before its own."""
    monkeypatch.setattr("benchmarks.engine.image", str)
    services = waterfall.stack(layers)["services"]
    assert [len(service.get("depends_on", ())) for service in services.values()] == needs
    assert [*services.get("web", {}).get("depends_on", ())] == ([] if layers == 1 else ["s2", "s3"])


def test_a_figure_that_is_not_measured_any_more_is_missing() -> None:
    """For each contender that takes part; figures of other rows, and of contenders that do not, are not expected."""
    before = {"figures": [
        {"row": 10, "what": "up", "values": {"devenv": 1.0, "compose": 2.0, "newer": 2.0}},
        {"row": 11, "what": "down", "values": {"devenv": 1.0}},
        {"row": 12, "what": "MySQL", "values": {"devenv": 1.0}},
    ]}  # fmt: skip
    figures = [Figure(10, "up", "s", {"devenv": 100.0}), Figure(11, "end", "s", {"devenv": 1.0})]
    assert report.missing(before, figures, {10, 11}, {"devenv", "compose"}) == ["up: compose", "down: devenv"]
