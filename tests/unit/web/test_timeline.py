"""The items that follow from events, and the save that led to each of them."""

from __future__ import annotations

from typing import Any

import pytest

from devenv import events as e
from devenv.web import timeline_items
from devenv.web.timeline import LOG_AGO, Timeline
from devenv.web.timeline_items import TimelineItem

Told = tuple[float, e.Event | tuple[str, str, int]]  # a time, and an event or an error: service, text, line


def synced(service: str = "web", *paths: str, ms: float = 10.0) -> e.Synced:
    """A sync of these files."""
    return e.Synced(service, len(paths) or 1, 0, 5, ms, paths or ("src/app.js",))


def timeline(*told: Told) -> Timeline:
    """The timeline after these events."""
    made = Timeline()
    for at, event in told:
        if isinstance(event, tuple):
            service, text, line = event
            made.logged(service, text, at, line)
        else:
            made.tell(event, at)
    return made


def items(*told: Told) -> list[TimelineItem]:
    """Its items."""
    return list(timeline(*told).items.by_id.values())


def chain(*told: Told) -> list[str]:
    """Each item as `KIND SERVICE TONE <- KIND OF ITS CAUSE FILES OF ITS CAUSE`."""
    by_id = timeline(*told).items.by_id
    lines = []
    for item in by_id.values():
        cause = by_id[item.cause] if item.cause else None
        because = f" <- {cause.kind} {','.join(cause.files)}".rstrip() if cause else ""
        lines.append(f"{item.kind} {item.service} {item.tone}".replace("  ", " ") + because)
    return lines


SAVE = "save idle"
SYNC = "sync web good <- save src/app.js"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param([(1.0, synced())], [SAVE, SYNC], id="a save and its sync"),
        pytest.param(
            [(1.0, synced("web")), (1.01, synced("api"))],
            [SAVE, SYNC, "sync api good <- save src/app.js"],
            id="one save for two services",
        ),
        pytest.param([(1.0, synced()), (2.0, synced())], [SAVE, SYNC, SAVE, SYNC], id="two saves of one file"),
        pytest.param(
            [(1.0, synced()), (1.4, e.Executed("web", "npm run lint", 0, "fine", 300.0))],
            [SAVE, SYNC, "exec web good <- save src/app.js"],
            id="a command after a sync",
        ),
        pytest.param(
            [(1.0, synced()), (1.4, e.Executed("web", "npm run lint", 2, "no", 300.0))],
            [SAVE, SYNC, "exec web bad <- save src/app.js"],
            id="a command that fails",
        ),
        pytest.param(
            [(1.0, synced("web", "conf.toml")), (3.0, e.Restarted("web", "conf.toml", 900.0))],
            [SAVE, "sync web good <- save conf.toml", "restart web good <- save conf.toml"],
            id="a restart after a sync",
        ),
        pytest.param(
            [(3.0, e.Restarted("web", "conf.toml", 900.0))],
            [SAVE, "restart web good <- save conf.toml"],
            id="a restart whose file is not synced",
        ),
        pytest.param([(3.0, e.Restarted("web", "", 900.0))], ["restart web good"], id="a restart by command"),
        pytest.param(
            [
                (0.0, e.ServiceState("db", "healthy")),
                (1.0, e.Step("rebuild", "begin", "db: Dockerfile changed")),
                (5.0, e.Rebuilt("db", "Dockerfile", 4.0)),
                (6.0, e.Restarted("web", "db", 900.0)),
            ],
            [
                "health db good", SAVE, "rebuild db good <- save Dockerfile", "restart web good <- save Dockerfile",
            ],
            id="a service that is restarted after another",
        ),
        pytest.param(
            [(1.0, e.Step("rebuild", "begin", "web: somebody asked for it")), (5.0, e.Rebuilt("web", "", 4.0))],
            ["rebuild web good"],
            id="a rebuild by command",
        ),
        pytest.param(
            [
                (1.0, e.Step("rebuild", "begin", "web: Dockerfile changed")),
                (2.0, e.Problem("npm ci failed", None, "web")),
            ],
            [SAVE, "rebuild web bad <- save Dockerfile", "problem web bad <- save Dockerfile"],
            id="a rebuild that fails",
        ),
        pytest.param(
            [(1.0, synced()), (1.5, ("web", "SyntaxError", 7))],
            [SAVE, SYNC, "error web bad <- save src/app.js"],
            id="an error in the log after a sync",
        ),
        pytest.param(
            [(1.0, synced()), (1.0 + LOG_AGO + 1, ("web", "Error", 7))],
            [SAVE, SYNC, "error web bad"],
            id="an error in the log long after a sync",
        ),
        pytest.param(
            [(1.0, synced("api")), (1.5, ("web", "Error", 7))],
            [SAVE, "sync api good <- save src/app.js", "error web bad"],
            id="an error of another service",
        ),
        pytest.param(
            [
                (0.0, e.ServiceState("web", "healthy")),
                (1.0, synced()),
                (9.0, e.ServiceState("web", "unhealthy", "its health check fails")),
                (20.0, synced("web", "src/other.js")),
                (24.0, e.ServiceState("web", "healthy")),
            ],
            [
                "health web good", SAVE, SYNC, "health web bad <- save src/app.js", SAVE,
                "sync web good <- save src/other.js", "health web good <- save src/other.js",
            ],
            id="a save that breaks a service, and one that repairs it",
        ),
        pytest.param(
            [(1.0, synced()), (2.0, e.ServiceState("web", "stopped"))],
            [SAVE, SYNC, "health web idle"],
            id="a service that somebody stopped",
        ),
        pytest.param(
            [
                (1.0, synced()),
                (1.2, ("web", "  File main.py", 7)),
                (1.5, e.ServiceState("web", "started", error="main.py:3: SyntaxError")),
                (5.0, e.ServiceState("web", "started")),
            ],
            [SAVE, SYNC, "error web bad <- save src/app.js", "health web good <- save src/app.js",
             "health web good <- save src/app.js"],
            id="an error that the state names, and its end",
        ),
        pytest.param(
            [
                (1.0, e.Reloaded(("compose.yml",), recreated=("web",), seconds=0.5)),
                (2.0, e.ServiceState("web", "exited", "exit code 1")),
            ],
            ["reload good", "health web bad <- reload compose.yml"],
            id="an edit of the Compose file that breaks a service",
        ),
        pytest.param(
            [(4.0, e.Ready("shop", (), 3.0)), (5.0, e.Problem("no space", None, None, "/src/a"))],
            ["start good", "problem bad"],
            id="a start, and a problem with a path",
        ),
    ],
)  # fmt: skip
def test_each_item_has_its_cause(told: list[Told], expected: list[str]) -> None:
    """Which save led to it, if one did."""
    assert chain(*told) == expected


def test_times_of_a_save_and_its_sync() -> None:
    """The save is at the beginning of the sync, whose duration is that since the save."""
    save, sync = items((10.0, synced("web", "a.js", "b.js", ms=250.0)))
    assert (save.start, save.end, save.title, save.files) == (9.75, 9.75, "a.js +1", ("a.js", "b.js"))
    assert (sync.start, sync.end, sync.title) == (9.75, 10.0, "2 files synced in 250 ms")
    assert sync.message() == {
        "id": 2, "kind": "sync", "service": "web", "start": 9750, "end": 10000, "title": "2 files synced in 250 ms",
        "detail": "", "files": ("a.js", "b.js"), "tone": "good", "cause": 1, "line": None,
    }  # fmt: skip


def test_a_rebuild_while_it_runs_and_its_steps() -> None:
    """It has no end yet; steps of BuildKit are its items, with the time that they took."""
    begin = e.Step("rebuild", "begin", "web: package.json changed")
    lines = ("#1 [internal] load build definition", "#7 [web 3/3] RUN npm ci", "#7 DONE 3.0s")
    told: list[Told] = [(1.0, begin), *((4.0 + index, e.Step("build", "detail", x)) for index, x in enumerate(lines))]
    save, rebuild, step = items(*told)
    assert (rebuild.end, rebuild.tone, rebuild.cause) == (None, "busy", save.id)
    assert (step.kind, step.service, step.start, step.end, step.tone) == ("build-step", "web", 3.0, 6.0, "good")
    assert step.cause == rebuild.id
    assert step.title == "web 3/3: RUN npm ci"


def test_a_build_step_that_began_while_images_were_pulled() -> None:
    """Its end belongs to it, though the step "build" has begun meanwhile."""
    lines = (e.Step("build", "detail", "#507 [web 3/3] RUN x"), e.Step("build", "begin"))
    (step,) = items(*((4.0 + n, x) for n, x in enumerate((*lines, e.Step("build", "detail", "#507 DONE 2.0s")))))
    assert (step.kind, step.start, step.end) == ("build-step", 4.0, 6.0)


def test_a_problem_ends_when_it_is_solved() -> None:
    """That of a path by its event, that of a service once it is up; one that comes again is the same item."""
    path, service = e.Problem("no space", None, None, "/src/a"), e.Problem("npm ci failed\nlog", None, "web")
    told: list[Told] = [(1.0, path), (2.0, path), (3.0, service)]
    assert [(item.start, item.end) for item in items(*told)] == [(1.0, None), (3.0, None)]
    solved: list[Told] = [*told, (5.0, e.Solved("/src/a")), (6.0, e.Rebuilt("web", "", 1.0))]
    ended = [item for item in items(*solved) if item.kind == "problem"]
    assert [item.end for item in ended] == [5.0, 6.0]
    assert ended[1].detail == "log"


def test_errors_close_together_are_one_item() -> None:
    """It counts them, and has the line of the first; the state of the service gives it a better title."""
    told: list[Told] = [(1.0 + number / 10, ("web", "Error: no", number)) for number in range(1, 13)]
    (item,) = items(*told)
    assert (item.title, item.detail, item.line, item.end) == ("Error: no", "12 errors", 1, 2.2)
    (named,) = [
        x for x in items(*told, (3.0, e.ServiceState("web", "started", error="a.js:3: no"))) if x.kind == "error"
    ]
    assert (named.title, named.line) == ("a.js:3: no", 1)
    assert len(items(*told, (9.0, ("web", "Error: no", 99)))) == 2


def test_only_what_is_new_is_taken() -> None:
    """An item that changes is taken again."""
    made = timeline((1.0, synced()))
    assert [item.id for item in made.items.taken()] == [1, 2]
    assert made.items.taken() == []
    made.tell(synced("api", "src/new.js"), 1.01)
    assert [item.id for item in made.items.taken()] == [1, 3]


def test_the_timeline_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest items are forgotten."""
    monkeypatch.setattr(timeline_items, "MOST", 10)
    assert [item.id for item in items(*((float(at), synced()) for at in range(20)))] == [*range(31, 41)]


def test_texts_are_cleaned() -> None:
    """A path or an output cannot have control characters."""
    told: list[Any] = [(1.0, synced("web", "a\x1b[31m\u202e.js")), (2.0, e.Executed("web", "x", 0, "a\x07\nb", 1.0))]
    save, _, command = items(*told)
    assert save.files == ("a.js",)
    assert command.detail == "a\nb"
