"""The time that each part of a start took, from its events and their times."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from devenv.events import Event, ImageState, Log, Notice, Ready, Restored, ServiceState, Span, Step, Timings
from devenv.images.layers import mark
from devenv.model.project import Condition, Dependency, Project, Service
from devenv.run.timings import StartRecord, Timed, steps, timings

HEALTHY, STARTED, COMPLETED = Condition.HEALTHY, Condition.STARTED, Condition.COMPLETED


def project(**needs: dict[str, Condition]) -> Project:
    """Services by name, each with its dependencies."""
    services = (
        Service(name, depends_on=tuple(Dependency(*pair) for pair in depends.items()))
        for name, depends in needs.items()
    )
    return Project("p", "/p", (), tuple(services))


def step(name: str, begin: float, end: float, *between: Timed) -> list[Timed]:
    """A step with the events during it."""
    return [(begin, Step(name, "begin")), *between, (end, Step(name, "end", seconds=end - begin))]


def said(at: float, line: str) -> Timed:
    """A line of BuildKit's."""
    return at, Step("build", "detail", line)


def state(at: float, service: str, its: str) -> Timed:
    """A service in a new state."""
    return at, ServiceState(service, its)


def rows(measured: Timings) -> list[tuple[str, float, float, bool]]:
    """The spans without the services that they waited for."""
    return [(span.name, span.start, span.end, span.critical) for span in measured.spans]


def test_steps_follow_each_other() -> None:
    """Each step is a span, and all are critical; `start` and `healthy` are shown by service."""
    events = [
        *step("load", 0.0, 0.3),
        *step("create", 0.4, 1.0),
        *step("start", 1.0, 1.0),
        *step("healthy", 1.0, 1.5),
    ]
    measured = timings([*events, (1.6, Ready("p", (), 1.6))], project())
    assert rows(measured) == [("load", 0.0, 0.3, True), ("create", 0.4, 1.0, True)]
    assert measured.seconds == 1.6


def test_volumes_that_the_engine_fills() -> None:
    """A part of `create` that has ended has its duration; a line of progress is not a part."""
    lines = [(3.0, Step("create", "detail", "a line")), (4.0, Step("create", "detail", "web fills /m", 3.5))]
    measured = timings(step("create", 0.4, 4.1, *lines), project())
    assert rows(measured) == [("create", 0.4, 4.1, True), ("create web fills /m", 0.5, 4.0, True)]


def test_stages_of_builds() -> None:
    """A stage lasts from its first to its last step; the last stage is critical, and those before it."""
    lines = [
        said(1.0, '#0 building with "default" instance using docker driver'),
        said(1.1, "#1 [web internal] load build definition from Dockerfile"),
        said(1.2, "#1 DONE 0.1s"),
        said(1.3, "#4 [web deps 1/2] FROM node:22"),
        said(1.3, "#4 CACHED"),
        said(1.4, "#7 [api 2/2] RUN make"),
        said(1.4, "#5 [web deps 2/2] RUN npm ci"),
        said(3.0, "#5 2.1 added 3 packages"),
        said(4.0, "#5 DONE 2.9s"),
        said(4.0, "#7 DONE 1.0s"),
        said(4.02, "#6 [web dev 2/3] COPY --from=deps / /"),
        said(4.5, "#6 DONE 0.5s"),
        said(4.5, "#8 [web] exporting to image"),
        said(5.0, "#8 DONE 0.5s"),
        said(5.0, "#9 2.0 of a step that was never named"),
        said(5.0, "no line of BuildKit"),
    ]
    measured = timings(step("build", 0.9, 5.1, *lines), project())
    assert rows(measured) == [
        ("build", 0.9, 5.1, True),
        ("build web deps", 1.1, 4.0, True),
        ("build web internal", 1.1, 1.2, False),
        ("build api", 1.4, 4.0, False),
        ("build web dev", 4.0, 4.5, True),
        ("build web exporting", 4.5, 5.0, True),
    ]


def test_images_and_volumes() -> None:
    """An image lasts from its first event to its last, a volume as long as its restore; the longest is critical."""
    pulls: list[Timed] = [
        (0.1, ImageState("here:1", "present")),
        (0.1, ImageState("a:1", "pulling")),
        (0.1, ImageState("b:1", "pulling")),
        (0.5, ImageState("a:1", "pulled")),
        (2.0, ImageState("b:1", "pulled")),
    ]
    restores: list[Timed] = [(3.0, Restored("data", "s", 9.0, 5, 0.5)), (3.4, Restored("more", "s", 9.0, 5, 1.2))]
    measured = timings([*step("images", 0.0, 2.0, *pulls), *step("restore", 2.0, 3.5, *restores)], project())
    assert rows(measured) == [
        ("images", 0.0, 2.0, True),
        ("images b:1", 0.1, 2.0, True),
        ("images a:1", 0.1, 0.5, False),
        ("restore", 2.0, 3.5, True),
        ("restore more", 2.2, 3.4, True),
        ("restore data", 2.5, 3.0, False),
    ]


def test_critical_services_of_a_start() -> None:
    """They are the last service, the healthy service it waited for, and the one-shot before that."""
    events = [
        *step("start", 1.0, 1.0),
        (1.0, Step("healthy", "begin")),
        state(1.05, "web", "created"),
        state(1.1, "job", "starting"),
        state(1.2, "side", "started"),
        state(2.0, "job", "completed"),
        state(2.2, "db", "starting"),
        state(5.2, "db", "healthy"),
        state(5.4, "web", "started"),
    ]
    needs = {
        "side": {},
        "job": {},
        "db": {"job": COMPLETED},
        "web": {"db": HEALTHY, "side": STARTED, "gone": STARTED},
    }
    measured = timings(events, project(**needs))
    assert measured.spans == (
        Span("start side", 1.0, 1.2),
        Span("start job", 1.0, 1.1, critical=True),
        Span("run job", 1.1, 2.0, critical=True),
        Span("start db", 2.0, 2.2, critical=True, after="job"),
        Span("health db", 2.2, 5.2, critical=True),
        Span("start web", 5.2, 5.4, critical=True, after="db"),
    )


def test_a_start_waited_for_is_no_health_waited_for() -> None:
    """A service that waits for a start does not wait for the health check."""
    states = [
        state(1.1, "db", "starting"),
        state(1.2, "cache", "started"),
        state(1.3, "web", "started"),
        state(9.0, "db", "healthy"),
        state(9.1, "late", "started"),
    ]
    needs: dict[str, dict[str, Condition]] = {"db": {}, "cache": {}, "late": {"web": STARTED}}
    measured = timings([*step("start", 1.0, 1.0), *states], project(**needs, web={"db": STARTED, "cache": STARTED}))
    after = {span.name: span.after for span in measured.spans if span.critical}
    assert after == {"start cache": "", "start web": "cache", "start late": "web"}


def test_a_look_that_saw_both_at_once() -> None:
    """A service that seems to have begun before its dependency does not take negative time."""
    states = [state(1.3, "web", "started"), state(1.3, "db", "starting"), state(1.4, "db", "healthy")]
    measured = timings([*step("start", 1.0, 1.0), *states], project(db={}, web={"db": HEALTHY}))
    assert all(span.start <= span.end for span in measured.spans)


def test_services_already_up_take_no_time() -> None:
    """Services that were up already, and a run without events."""
    events = [state(0.5, "db", "started"), *step("start", 1.0, 1.0)]
    assert timings(events, project(db={})).spans == ()
    assert timings([], project()) == Timings(0.0, ())


NAMES = st.sampled_from(["a", "b", "c", "d"])
MOMENTS = st.floats(0, 10, allow_nan=False)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        Step, st.sampled_from(["load", "images", "build", "start", "healthy"]), st.sampled_from(["begin", "end"])
    ),
    st.builds(ServiceState, NAMES, st.sampled_from(["created", "starting", "started", "healthy", "exited"])),
    st.builds(ImageState, NAMES, st.sampled_from(["pulling", "pulled"])),
    st.from_regex(r"#[12] (\[[ab]( [12]/2)?\] RUN|DONE [0-9]\.[0-9]s|CACHED)", fullmatch=True).map(
        lambda line: Step("build", "detail", line)
    ),
)
NEEDS = st.dictionaries(NAMES, st.dictionaries(NAMES, st.sampled_from(Condition), max_size=3), max_size=4)


@given(st.lists(st.tuples(MOMENTS, EVENTS), max_size=30), NEEDS)
def test_spans_are_valid_for_any_events(events: list[Timed], needs: dict[str, dict[str, Condition]]) -> None:
    """No span ends before it begins or is outside the run; some services, images and stages are critical."""
    in_order = sorted(events, key=lambda pair: pair[0])
    measured = timings(in_order, project(**needs))
    assert all(0 <= span.start <= span.end <= measured.seconds for span in measured.spans)
    assert [s.start for s in measured.spans] == sorted(s.start for s in measured.spans)
    starts = [span for span in measured.spans if span.name.startswith("start ")]
    assert not starts or any(span.critical for span in starts)
    for name in ("images", "build"):
        parts = [span for span in measured.spans if span.name.startswith(f"{name} ")]
        last = max((span.end for span in parts), default=0)
        assert not parts or any(span.critical and span.end == last for span in parts)


def test_the_record_forgets_what_it_does_not_need() -> None:
    """All events are passed on; the recorded events are returned once, then recording ends."""
    ticks: Iterator[int] = iter(range(100))
    events: list[Event] = []
    record = StartRecord(events.append, lambda: float(next(ticks)))
    for event in (
        Step("load", "begin"),
        Log("web", "a line"),
        Notice("word"),
        Step("load", "end"),
        Ready("p", (), 1.0),
    ):
        record.emit(event)
    assert record.end(project()) == (Timings(3.0, (Span("load", 1.0, 2.0, critical=True),)), ())
    record.emit(Step("rebuild", "begin"))
    assert record.end(project()) == (Timings(0.0, ()), ())
    assert [event.event for event in events] == ["step", "log", "notice", "step", "ready", "step"]


def test_the_record_keeps_one_line_of_much_output() -> None:
    """Only the last line of a build step is recorded; steps that print at the same time are kept apart."""
    ticks: Iterator[int] = iter(range(100))
    record = StartRecord(lambda _: None, lambda: float(next(ticks)))
    lines = ["#1 [web 1/2] RUN a", "#1 0.1 a", "#1 0.2 b", "#2 0.1 x", "#2 0.2 y", "#1 0.3 c", "#1 DONE 4.0s"]
    for event in (Step("build", "begin"), *(Step("build", "detail", line) for line in lines), Step("build", "end")):
        record.emit(event)
    assert record._events is not None
    kept = [event.detail for _, event in record._events if isinstance(event, Step)]
    assert kept == ["", "#1 [web 1/2] RUN a", "#1 0.2 b", "#2 0.2 y", "#1 0.3 c", "#1 DONE 4.0s", ""]
    measured, _ = record.end(project())
    assert [(span.name, span.start, span.end) for span in measured.spans] == [
        ("build", 1.0, 9.0),
        ("build web", 2.0, 8.0),
    ]


def test_build_steps_and_their_times() -> None:
    """Each instruction has seconds, or None if it was cached; others are missing."""
    events = step(
        "build",
        0.0,
        9.0,
        said(1.0, "#1 [web internal] load build definition"),
        said(1.1, "#2 [web dev 2/5] RUN npm ci"),
        said(1.1, "#3 [web dev 3/5] COPY . ."),
        said(1.2, "#4 [web dev 4/5] RUN false"),
        said(1.3, "#2 0.3 some output"),
        said(1.4, "#3 CACHED"),
        said(1.5, "#2 DONE 3.2s"),
        said(1.5, "#2 DONE 3.2s"),
        said(1.6, "#4 ERROR: failed"),
        said(1.7, "#9 CACHED"),
    )
    assert steps([*events, (9.5, ServiceState("web", "started"))]) == (
        (mark("COPY . ."), None),
        (mark("RUN npm ci"), 3.2),
    )
