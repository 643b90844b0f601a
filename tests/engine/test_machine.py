"""Random sequences of events for files and containers end equal: a hypothesis state machine."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from support import docker_cli, edits, naive
from support.boxes import Boxes, Image
from support.docker_cli import engine_socket
from support.edits import Edits
from support.proxy import Proxy
from support.rig import Rig
from support.stack import unique_name

pytestmark = pytest.mark.engine

CANARY = b"canary-%s" % os.urandom(8).hex().encode()
NUMBERS = st.integers(0, 99)
SIZES = st.sampled_from([0, 1, 40, 5000, 300_000])
PATHS = st.lists(st.sampled_from((*edits.NAMES[:3] * 3, *edits.NAMES)), min_size=1, max_size=3)
MODES = st.sampled_from(edits.MODES)
FAULTS = st.sampled_from(["restart", "recreate", "more", "fewer", "pause", "kill", "start"])
STEPS = 50


class Machine(RuleBasedStateMachine):
    """A source tree and a service of one to three containers; subclasses set image and user."""

    image: ClassVar[Image]
    user: ClassVar[tuple[int, int]]
    folder: ClassVar[Path]
    number: ClassVar[int] = 0
    operations: ClassVar[int] = 0
    settled: ClassVar[list[float]]
    verified: ClassVar[list[int]]  # steps after which both comparisons reported a difference
    failure: ClassVar[AssertionError | None] = None  # after an error, nothing is done any more

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        if self.failure is not None:
            return
        cls = type(self)
        cls.number += 1
        folder = self.folder / str(self.number)
        folder.mkdir()
        user = "{}:{}".format(*self.user)
        self.boxes = Boxes(self.image, unique_name("machine"), "--user", user)
        self.stack.callback(self.boxes.remove)
        self.proxy = self.stack.enter_context(Proxy(engine=engine_socket(), seed=self.number, stall=1))
        self.rig = Rig(folder, self.boxes, owner=self.user, through=self.proxy)
        self.edits = Edits(self.rig.source, folder / "outside", CANARY)
        self.boxes.start()
        self.stack.enter_context(self.rig.running())

    def teardown(self) -> None:
        """Check that all is equal, and that no destination of a link was sent to the engine."""
        with self.stack:
            self.settle()
            if self.failure is None:
                assert not any(CANARY in call.body or CANARY in call.stream for call in self.proxy.calls)
                type(self).settled += self.rig.rounds

    def _counts(self) -> bool:
        """Count an operation; return if it is to be done."""
        type(self).operations += self.failure is None
        return self.failure is None

    def _do(self, edit: str, *args: object) -> None:
        if self._counts():
            self.edits.do(getattr(self.edits, edit), *args)

    @property
    def can_delete(self) -> bool:
        """Whether the image has a shell."""
        return self.image.has_shell

    # --- files -----------------------------------------------------------------------------------------------------

    @rule(names=PATHS, size=SIZES)
    def create(self, names: list[bytes], size: int) -> None:  # noqa: D102 - Edits describes each edit
        self._do("create", names, size)

    @rule(names=PATHS, count=st.sampled_from([5, 40]))
    def burst(self, names: list[bytes], count: int) -> None:  # noqa: D102
        self._do("burst", names, count)

    @rule(number=NUMBERS, size=SIZES)
    def append(self, number: int, size: int) -> None:  # noqa: D102
        self._do("append", number, size)

    @rule(number=NUMBERS, size=SIZES)
    def truncate(self, number: int, size: int) -> None:  # noqa: D102
        self._do("truncate", number, size)

    @rule(number=NUMBERS, size=SIZES)
    def save(self, number: int, size: int) -> None:  # noqa: D102
        self._do("save", number, size)

    @rule(number=NUMBERS)
    def disguise(self, number: int) -> None:  # noqa: D102
        self._do("disguise", number)

    @rule(number=NUMBERS, mode=MODES)
    def chmod(self, number: int, mode: int) -> None:  # noqa: D102
        self._do("chmod", number, mode)

    @rule(number=NUMBERS)
    def touch(self, number: int) -> None:  # noqa: D102
        self._do("touch", number)

    @rule(number=NUMBERS, names=PATHS)
    def hard_link(self, number: int, names: list[bytes]) -> None:  # noqa: D102
        self._do("hard_link", number, names)

    @rule(names=PATHS, to=NUMBERS)
    def symlink(self, names: list[bytes], to: int) -> None:  # noqa: D102
        self._do("symlink", names, to)

    @rule(names=PATHS)
    def mkdir(self, names: list[bytes]) -> None:  # noqa: D102
        self._do("mkdir", names)

    @rule(names=PATHS)
    def move_in(self, names: list[bytes]) -> None:  # noqa: D102
        self._do("move_in", names)

    @rule(names=PATHS, size=SIZES)
    def ignored(self, names: list[bytes], size: int) -> None:  # noqa: D102
        self._do("ignored", names, size & ~1 | (self.can_delete and self.operations % 2))

    @precondition(lambda self: self.can_delete)
    @rule(number=NUMBERS, names=PATHS)
    def rename(self, number: int, names: list[bytes]) -> None:  # noqa: D102
        self._do("rename", number, names)

    @precondition(lambda self: self.can_delete)
    @rule(one=NUMBERS, other=NUMBERS)
    def swap(self, one: int, other: int) -> None:  # noqa: D102
        self._do("swap", one, other)

    @precondition(lambda self: self.can_delete)
    @rule(number=NUMBERS)
    def remove(self, number: int) -> None:  # noqa: D102
        self._do("remove", number)

    @precondition(lambda self: self.can_delete)
    @rule(number=NUMBERS, kind=NUMBERS)
    def flip(self, number: int, kind: int) -> None:  # noqa: D102
        self._do("flip", number, kind)

    @precondition(lambda self: self.can_delete)
    @rule(number=NUMBERS)
    def move_out(self, number: int) -> None:  # noqa: D102
        self._do("move_out", number)

    # --- everything else -------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.003, 0.02, 0.1]))
    def breathe(self, seconds: float) -> None:
        """Wait until the last edits are being synced."""
        if self._counts():
            time.sleep(seconds)

    @rule(kind=FAULTS, number=NUMBERS)
    def container(self, kind: str, number: int) -> None:
        """Change a container while files are edited."""
        if not self._counts():
            return
        self.boxes.wait()
        ids = self.boxes.ids
        box = ids[number % len(ids)] if ids else ""
        self.edits.done.append(f"container {kind} {box[:6]} of {len(ids)}")
        if not box or (kind == "more" and len(ids) < 3):
            self.boxes.begin_start()
        elif kind == "fewer" and len(ids) > 1:
            self.boxes.begin("rm", "-f", box)
        elif kind == "recreate":
            docker_cli.docker("rm", "-f", box)
            self.boxes.begin_start()
        elif kind in ("restart", "pause", "kill", "start"):
            self.boxes.begin("unpause" if docker_cli.inspect(box)["State"]["Paused"] else kind, box)

    @rule(percent=st.sampled_from([0, 10, 30]))
    def network(self, percent: int) -> None:
        """Let so many of all calls fail from now on, in one way or another."""
        if self._counts():
            self.edits.done.append(f"{percent} % of the calls fail")
            self.proxy.chaos(percent)

    @rule(part=st.sampled_from(["/exec/", "/events", ""]))
    def cut(self, part: str) -> None:
        """Cut open connections to the engine: the shells, the stream of events, or all."""
        if self._counts():
            self.edits.done.append(f"{self.proxy.drop(part)} connections cut: {part or 'all'}")

    @invariant()
    def verify_says_what_is(self) -> None:
        """Check after every step that `sync --verify` reports a difference if, and only if, there is one."""
        ids = self.boxes.ids if self.failure is None and self.rig.ended is None else []
        for box in ids[:1]:
            wrong = self._verify(box)
            for _ in range(2):  # a file that is copied again, though equal, differs while it is unpacked
                wrong = wrong and self._verify(box)
            if wrong:
                error = AssertionError(f"{box[:6]}: {wrong}")
                error.add_note("done before:\n" + "\n".join(self.edits.done))
                type(self).failure = error

    def _verify(self, box: str) -> str:
        """How `sync --verify` contradicts the container, or nothing."""
        before, verified = naive.different(self.rig.source, box), self.rig.verified(box)
        if verified is None or before is None or before != naive.different(self.rig.source, box):
            return ""  # changed meanwhile
        type(self).verified.append(len(before))
        if bool(verified) is bool(before) and verified <= before:
            return ""
        return f"verify says {verified}, and it is {before}"

    @rule()
    def settle(self) -> None:
        """Remove the faults; every container is soon equal to the host."""
        if not self._counts():
            return
        self.proxy.calm()
        self.boxes.all_running()
        self.edits.done.append("settle")
        try:
            self.rig.settle()
        except AssertionError as error:
            error.add_note("done before:\n" + "\n".join(self.edits.done))
            type(self).failure = error  # raised after hypothesis has ended, which would only try to shorten it


def run(image: Image, user: tuple[int, int], folder: Path, examples: int, *, number: int | None = None) -> str:
    """Run the machine; return a summary. Raises AssertionError. Without a number always the same."""

    class Here(Machine):
        """The machine on that image, as that user."""

    machine: type[Machine] = Here
    machine.image, machine.user, machine.folder, machine.settled = image, user, folder, []
    machine.verified = []
    if number is not None:
        machine = seed(number)(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=number is None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    if machine.failure is not None:
        raise machine.failure
    slowest = max(machine.settled)
    compared = f"{len(machine.verified)} verified, {sum(map(bool, machine.verified))} of them with differences"
    return (
        f"{machine.operations} operations, 0 mismatches at {len(machine.settled)} settles (slowest {slowest:.1f} s), "
        f"{compared}"
    )


KINDS = [("debian", (0, 0), 3), ("busybox", (1000, 1000), 3), ("scratch", (1000, 1000), 1)]


@pytest.mark.parametrize(("kind", "user", "examples"), KINDS, ids=[kind for kind, _, _ in KINDS])
def test_random_events_end_equal(
    image_of: Callable[[str], Image],
    kind: str,
    user: tuple[int, int],
    examples: int,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Files are edited in all ways while containers start, stop and are recreated, and calls fail."""
    record_property("machine", run(image_of(kind), user, tmp_path, examples))


@pytest.mark.long
def test_many_random_events_end_equal(
    image_of: Callable[[str], Image], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """140 runs of 50 operations, or `DEVENV_TEST_ROUNDS`, on every kind of image as root and as another user."""
    number = int(os.environ.get("DEVENV_TEST_SEED") or random.SystemRandom().randrange(2**32))
    kinds = [(kind, user) for kind in ("debian", "busybox", "scratch") for user in ((0, 0), (1000, 1000))]
    rounds = int(os.environ.get("DEVENV_TEST_ROUNDS", "140"))
    shares = {"debian": rounds // 5, "busybox": rounds // 5, "scratch": rounds // 10}  # twice each
    for kind, user in kinds:
        with capsys.disabled():
            print(f"\nstate machine on {kind} as {user[0]}, DEVENV_TEST_SEED={number}", flush=True)  # noqa: T201
        folder = tmp_path / f"{kind}-{user[0]}"
        folder.mkdir()
        report = run(image_of(kind), user, folder, shares[kind], number=number)
        with capsys.disabled():
            print(report, flush=True)  # noqa: T201 - the result of the campaign
