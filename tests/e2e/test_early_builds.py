"""Builds begin as their bases arrive, while images of other services are still being pulled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from support.cli import Devenv, StartDevenv
from support.lab import Lab
from support.lab_stack import LabStack
from support.registries import Answer, Forward, Front, Rule, Seen, busybox_layer, digest


@contextmanager
def held(lab: Lab, part: str) -> Iterator[tuple[Front, threading.Event]]:
    """A mirror that answers requests whose path contains `part` once the event is set, at the latest at the end.

    The layer that all images share is never held: an engine gets it once, and every image would wait for it.
    """
    gate = threading.Event()
    shared = digest(busybox_layer())

    def rule(seen: Seen, _: Forward) -> Answer | None:
        if part in seen.path and shared not in seen.path:
            gate.wait()
        return None

    hold: Rule = rule
    try:
        yield lab.front(hold), gate
    finally:
        gate.set()


def begin(lab_stack: LabStack, front: Front, devenv: StartDevenv, step: str) -> Devenv:
    """Start a project of two builds; `step` is run on the image that the mirror does not hold."""
    for name in ("fast", "slow"):
        lab_stack.lab.registry.put(f"library/lab-{name}", "1", text=name)
    services = {
        name: {"build": {"context": ".", "dockerfile_inline": f"FROM lab-{name}:1\nRUN {text}\n"}}
        for name, text in (("fast", step), ("slow", "true"))
    }
    lab_stack.compose_file(services)
    lab_stack.mirrors(front.address)
    return devenv("up", cwd=lab_stack.folder, env=lab_stack.env)


def build_lines(run: Devenv, text: str) -> list[str]:
    return [line for event in run.all("step", name="build", state="detail") if text in (line := event["detail"])]


def test_a_service_is_built_while_the_base_of_another_is_pulled(
    lab: Lab, lab_stack: LabStack, devenv: StartDevenv
) -> None:
    """Its build ends before the other image has arrived; no image is pulled twice, and none is built twice."""
    with held(lab, "lab-slow/blobs") as (front, gate):
        run = begin(lab_stack, front, devenv, "echo made > /made")
        run.wait_for("image", reference="lab-fast:1", state="pulled")
        run.wait_for("step", name="build", state="detail", detail=lambda line: f"/{lab_stack.name}-fast" in str(line))
        assert not run.all("image", reference="lab-slow:1", state="pulled")
        assert not run.all("step", name="images", state="end")
        gate.set()
        run.wait_for("ready")
    assert (lab_stack.which("slow"), lab_stack.read_file("fast", "/made")) == ("slow", "made")
    assert [len(run.all("image", reference=f"lab-{name}:1", state="pulled")) for name in ("fast", "slow")] == [1, 1]
    assert len(build_lines(run, "RUN echo made > /made")) == 1
    assert run.stop() == 130


def test_ctrl_c_ends_a_build_that_began_early(lab: Lab, lab_stack: LabStack, devenv: StartDevenv) -> None:
    """Neither a process nor an image of the project is left."""
    with held(lab, "lab-slow/blobs") as (front, _):
        run = begin(lab_stack, front, devenv, "echo at work; while :; do sleep 1; done")
        run.wait_for("step", name="build", state="detail", detail=lambda line: str(line).endswith("at work"))
        assert run.stop() == 130
    assert run.survivors() == {}
    assert not [name for name in lab_stack.images() if name.startswith(lab_stack.name)]
