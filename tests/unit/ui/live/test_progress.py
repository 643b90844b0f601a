"""Pulls and builds: shown while they run, removed when done, open if failed."""

from __future__ import annotations

from devenv.events import ImageState
from devenv.ui.live import progress as module
from devenv.ui.live.progress import Progress


def told(*lines: str) -> Progress:
    progress = Progress()
    for line in lines:
        progress.line(line, 1.0)
    return progress


STEPS = ("#1 [internal] load build definition", "#2 [web internal] load x", "#5 [web 1/2] FROM a", "#5 CACHED")


def test_steps() -> None:
    """Each step of a Dockerfile with its state and its last lines; BuildKit's own work is none."""
    progress = told(
        *STEPS, "#6 [web 2/2] RUN b", "#6 0.1 one", "#6 0.2 two", "#9 0.2 of nobody", "#6 [web 2/2] RUN b"
    )
    assert [(s.what, s.state, list(s.lines)) for s in progress.steps.values()] == [
        ("FROM a", "cached", []),
        ("RUN b", "running", ["one", "two"]),
    ]
    progress.line("#6 DONE 1.5s", 2.0)
    progress.line("#9 DONE 1.5s", 2.0)
    assert (progress.steps["6"].state, progress.steps["6"].seconds) == ("done", 1.5)
    progress.over()
    assert progress.is_empty


def test_a_failure_stays() -> None:
    """The failed step is there with its output until the next build, or until somebody has read it."""
    progress = told("#6 [2/2] RUN b", "#6 0.1 \x1b[31mbad", "#6 ERROR: process did not complete")
    progress.over()
    assert (progress.steps["6"].state, list(progress.steps["6"].lines)) == ("failed", ["bad"])
    progress.line("#3 [1/2] FROM a", 3.0)
    assert [*progress.steps] == ["3"]
    assert not progress.failed


def test_there_is_an_end_to_steps() -> None:
    """A build of thousands of steps keeps the last ones."""
    progress = told(*(f"#{i} [{i}/9999] RUN x" for i in range(module.MOST_STEPS + 10)))
    assert len(progress.steps) == module.MOST_STEPS


def test_pulls() -> None:
    """An image is there while it is on its way, with the layers that it has."""
    progress = Progress()
    progress.image(ImageState("a", "pulling", "3 of 8 layers, 12 of 40 MB"))
    progress.image(ImageState("b", "making", "from packages"))
    assert [(p.done, p.layers, p.detail) for p in progress.pulls.values()] == [
        (3, 8, "3 of 8 layers, 12 of 40 MB"),
        (0, 0, "from packages"),
    ]
    progress.image(ImageState("d", "pulling"))
    for name, state in (("a", "pulled"), ("b", "made"), ("c", "present")):
        progress.image(ImageState(name, state))
    progress.over()
    assert [*progress.pulls] == ["d"]
    progress.over(images=True)
    assert progress.is_empty
