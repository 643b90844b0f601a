"""What a run creates is recorded before it exists, and nothing else ever counts as ours."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from devenv.model.containers import Container, Network, ProjectState, Volume
from devenv.state import ledger as ledgers
from devenv.state.identity import Content, Place, VolumeRecord, VolumeVerdict
from devenv.state.ledger import WITNESSES, Ledger

ENDPOINT = "unix:///run/some.sock"
PLACE = Place("/p", 1, 2)
AT, LATER = "2026-11-30T10:00:00Z", "2026-11-30T11:00:00Z"


def container(name: str, *, ours: bool = True) -> Container:
    """A running container."""
    return Container(id=name, name=name, service=name, state="running", ours=ours)


def volume(name: str, project: str | None = "p", created: str = AT) -> Volume:
    """A local volume."""
    return Volume(name, project, created=created, driver="local")


def record(name: str, created: str | None = AT, **more: Any) -> VolumeRecord:
    """The record of a volume that was created then."""
    return VolumeRecord(name, "local", created, **more)


BEFORE = ProjectState(
    (container("old-theirs", ours=False),),
    (Network("n-theirs", "n-theirs", ours=False),),
    (volume("v-old"),),
)
AFTER = ProjectState(
    (*BEFORE.containers, container("new"), container("new-theirs", ours=False)),
    (*BEFORE.networks, Network("n-new", "n-new", ours=True)),
    (*BEFORE.volumes, volume("v-new"), volume("v-other", "q"), volume("v-unnamed")),
)


def begun(volumes: Mapping[str, str] | None = None) -> Ledger:
    """A ledger that began with BEFORE."""
    return ledgers.begin(BEFORE, volumes or {}, project="p", place=PLACE, engine="e", endpoint=ENDPOINT, context=None)


def owned(ledger: Ledger, project_state: ProjectState) -> str:
    """The owned objects of the ledger, as text."""
    names = [c.name for c in ledger.containers(project_state)] + [n.name for n in ledger.networks(project_state)]
    return " ".join(
        [
            *names,
            *(
                judgement.volume.name
                for judgement in ledger.judged(project_state)
                if judgement.verdict is not VolumeVerdict.OTHER
            ),
        ]
    )


def test_only_what_is_recorded_is_owned() -> None:
    """Objects without a record, older ones, recreated ones and those of another project are never named."""
    ledger = begun().with_records([record(name) for name in ("v-new", "v-other", "v-gone")])
    assert owned(ledger, AFTER) == "new n-new v-new"
    assert owned(ledger, BEFORE) == ""
    again = replace(AFTER, volumes=(volume("v-new", created=LATER),))
    assert owned(ledger, again) == "new n-new"


def test_only_new_volumes_without_a_name_are_noted() -> None:
    """Volumes that existed before are not ours, whatever container mounts them now."""
    old, new = "0" * 64, "f" * 64
    ledger = begun({old: AT, "named": AT})
    user = replace(container("new"), volumes=(old, new, "v-new", "f" * 63))
    assert ledger.noting([user, user]).anonymous == (new,)
    assert ledger.noting([user]).noting([container("new")]).anonymous == (new,)


def test_what_existed_before_is_noted_with_its_time() -> None:
    """The project's volumes and all without a name of their own; of the others a few, in a stable order."""
    anonymous = {f"{n:064x}": AT for n in range(3)}
    others = {f"other-{n:03}": LATER for n in range(WITNESSES + 5)}
    before = dict(begun({**others, **anonymous, "v-old": AT}).before)
    assert before == {**dict(sorted(others.items())[:WITNESSES]), **anonymous, "v-old": AT}


def test_take_over_keeps_what_the_earlier_run_created() -> None:
    """The next process owns the same objects, but no volume that others created meanwhile."""
    earlier = replace(begun().with_records([record("v-new")]), pid=1, phase="detached")
    place = Place("/renamed", 1, 2)
    taken = ledgers.take_over(earlier, AFTER, place, "e")
    assert (taken.pid, taken.phase, taken.place) == (os.getpid(), "up", place)
    assert taken.began >= earlier.began
    assert owned(taken, AFTER) == "new n-new v-new"
    assert dict(taken.before) == {"v-old": AT, "v-other": AT, "v-unnamed": AT}


def test_take_over_leaves_volumes_that_were_handed_over() -> None:
    """The volumes of a kept run existed before the next run, whatever that run would create."""
    kept = replace(begun().with_records([record("v-new")]), phase="kept", volumes=())
    taken = ledgers.take_over(kept, AFTER, PLACE, "e")
    assert owned(taken, AFTER) == "new n-new"
    assert dict(taken.before)["v-new"] == AT
    again = taken.with_records([record("v-newer")])
    project_state = replace(AFTER, volumes=(*AFTER.volumes, volume("v-newer")))
    assert owned(again, project_state) == "new n-new v-newer"


def test_records_are_replaced_by_name() -> None:
    """There is one record per volume; those of removed volumes are deleted."""
    ledger = begun().with_records([record("a"), record("b", content=Content.RESTORING)])
    ledger = ledger.with_records([record("b"), record("c")])
    assert ledger.volumes == (record("a"), record("b"), record("c"))
    assert ledger.creates == ("a", "b", "c")
    assert ledger.record("c") == record("c")
    assert ledger.without("a").record("a") is None


@pytest.mark.parametrize(
    ("held", "users", "expected"),
    [
        ((), (), VolumeVerdict.OTHER),
        (("v-new",), (), VolumeVerdict.SAME),
        ((), (replace(container("new"), volumes=("v-new",)),), VolumeVerdict.SAME),
        ((), (replace(container("theirs", ours=False), volumes=("v-new",)),), VolumeVerdict.OTHER),
    ],
    ids=["nobody", "mounted just now", "mounted", "mounted by another"],
)
def test_what_a_container_of_ours_mounts_is_the_same(
    held: tuple[str, ...], users: tuple[Container, ...], expected: VolumeVerdict
) -> None:
    """The engine removes no volume in use, so its time does not matter."""
    ledger = begun().with_records([record("v-new")])
    project_state = ProjectState(users, volumes=(volume("v-new", created=LATER),))
    assert [judgement.verdict for judgement in ledger.judged(project_state, held)] == [expected]


@pytest.mark.parametrize(
    ("everything", "expected"),
    [
        (None, VolumeVerdict.OTHER),
        ({"v-1": LATER, "v-2": LATER, "other": AT}, VolumeVerdict.OTHER),
        ({"v-1": LATER, "v-2": LATER}, VolumeVerdict.OTHER),
        ({"v-1": LATER, "v-2": LATER, "other": LATER}, VolumeVerdict.MOVED),
    ],
    ids=["not compared yet", "others stayed", "there are no others", "all moved"],
)
def test_all_volumes_of_the_engine_say_whether_its_data_moved(
    everything: Mapping[str, str] | None, expected: VolumeVerdict
) -> None:
    """`docker compose down -v` and `up` change the times of all volumes of one project, and of no others."""
    ledger = begun({"other": AT}).with_records([record("v-1"), record("v-2")])
    project_state = ProjectState(volumes=(volume("v-1", created=LATER), volume("v-2", created=LATER)))
    assert {judgement.verdict for judgement in ledger.judged(project_state, everything=everything)} == {expected}


def test_encoded_and_decoded_are_the_same() -> None:
    """A ledger survives JSON, with everything in it."""
    ledger = replace(
        begun({"x": AT}).with_records(
            [record("a", intended=1.5, is_proven=True, lineage="l"), record("b", None, content=Content.RESTORING),
             record("c", content=Content.UNSETTLED, is_kept=True)]
        ),
        phase="detached", context="remote", anonymous=("f" * 64,),
    )  # fmt: skip
    assert ledgers.decode(json.loads(json.dumps(ledgers.encode(ledger)))) == ledger


def test_ledger_of_a_later_version_is_refused() -> None:
    """Its format is unknown."""
    with pytest.raises(ValueError, match="another version"):
        ledgers.decode({**ledgers.encode(begun()), "v": ledgers.VERSION + 1})
