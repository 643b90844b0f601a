"""Lines of BuildKit's plain progress."""

from __future__ import annotations

import pytest

from devenv.docker.build_progress import StepBegin, StepEnd, StepOutput, of_part, parse


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("#12 [web dev 3/5] RUN npm ci", StepBegin("12", "web dev 3/5", "RUN npm ci")),
        ("#1 [internal] load build definition", StepBegin("1", "internal", "load build definition")),
        ("#12 0.3 a line", StepOutput("12", "a line", is_own=True)),
        ("#12 0.3 ", StepOutput("12", "", is_own=True)),
        ("#12 sha256:ab 1MB / 2MB", StepOutput("12", "sha256:ab 1MB / 2MB", is_own=False)),
        ("#12 DONE 3.2s", StepEnd("12", "done", 3.2)),
        ("#12 DONE", StepEnd("12", "done", None)),
        ("#12 CACHED", StepEnd("12", "cached", None)),
        ("#12 ERROR: process did not complete", StepEnd("12", "failed", None)),
        ("#12", None),
        ("ERROR: failed to solve", None),
        ("", None),
    ],
)
def test_line_of_build_progress(line: str, expected: StepBegin | StepOutput | StepEnd | None) -> None:
    assert parse(line) == expected


@pytest.mark.parametrize(
    ("line", "service", "expected"),
    [
        ("#12 [dev 3/5] RUN test [ -e x ]", "web", "#512 [web dev 3/5] RUN test [ -e x ]"),
        ("#12 [web dev 3/5] RUN npm ci", "web", "#512 [web dev 3/5] RUN npm ci"),
        ("#12 [web dev 3/5] RUN npm ci", "", "#512 [web dev 3/5] RUN npm ci"),
        ("#12 0.3 a line [1/2]", "web", "#512 0.3 a line [1/2]"),
        ("#12 DONE 3.2s", "web", "#512 DONE 3.2s"),
        ("ERROR: failed to solve", "web", "ERROR: failed to solve"),
    ],
)
def test_line_of_one_of_several_builds(line: str, service: str, expected: str) -> None:
    """No two builds have the same number, and the label names the service."""
    assert of_part(line, 500, service) == expected


@pytest.mark.parametrize(
    ("label", "names", "is_internal", "place"),
    [
        ("web dev 3/5", ("web", "dev"), False, "3/5"),
        ("3/5", (), False, "3/5"),
        ("internal", ("internal",), True, ""),
        ("web internal", ("web", "internal"), True, ""),
        ("internal 1/2", ("internal",), False, "1/2"),
        ("auth", ("auth",), False, ""),
    ],
)
def test_label_of_a_build_step(label: str, names: tuple[str, ...], is_internal: bool, place: str) -> None:
    """A stage may be called `internal`."""
    step = StepBegin("1", label, "x")
    assert (step.names, step.is_internal, step.place) == (names, is_internal, place)
