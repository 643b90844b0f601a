"""Pulls from registries that fail, are silent or slow, and from mirrors."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import pytest

from devenv.docker.images import Images
from devenv.errors import EngineError
from devenv.events import Notice
from devenv.images import pull as pulls
from devenv.images.acquire import AcquiredImages
from devenv.model.images import registry
from devenv.model.project import Project, Service
from support.registry_world import DENIED, NO_HOST, World, a_project, run


def test_a_silent_registry_is_given_up_on(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull without an answer fails after the timeout for the first byte."""
    monkeypatch.setattr(pulls, "FIRST_BYTE_TIMEOUT", 0.1)
    world.here, world.silent = {"node:22": ""}, {"mysql:9"}
    assert run(world, project, stand_ins=True).swaps == {"mysql:9": "stand-in.devenv/mysql:9"}


def test_pulls_are_bounded_and_end_early(world: World, tmp_path: Path) -> None:
    """There are eight pulls at a time; waiting pulls skip a registry that did not answer."""
    services = [Service(f"s{number}", image=f"silent.test/x:{number}") for number in range(20)]
    project = a_project(tmp_path, *services, Service("other", image="fine.test/y:1"))
    world.refuse = {f"silent.test/x:{number}": NO_HOST for number in range(20)}
    with pytest.raises(EngineError, match="20 images are not available"):
        run(world, project)
    assert world.most_at_once <= 8
    assert world.pulled.count("fine.test/y:1") == 1
    assert len(world.pulled) <= 10


def test_a_mirror_gives_what_its_registry_does_not(world: World, project: Project) -> None:
    """Both forms at every mirror; the image keeps the mirror's name, and services and builds are given that."""
    world.refuse = {"node:22": NO_HOST, "mysql:9": NO_HOST}
    world.mirrored = {"n.example/x/docker.io/library/node:22", "m.example/library/mysql:9"}
    provided = run(world, project, mirrors=("m.example", "https://n.example/x/"))
    assert provided.swaps == {
        "node:22": "n.example/x/docker.io/library/node:22",
        "mysql:9": "m.example/library/mysql:9",
    }
    assert "mysql:9 pulled m.example/library/mysql:9" in world.texts()
    assert not [event for event in world.events if isinstance(event, Notice)]


def test_the_only_mirror_is_not_asked_before_it_is_pulled_from(world: World, project: Project) -> None:
    """Its second name is tried after the first; the answer to a question would not change the order."""
    world.here, world.refuse = {"node:22": ""}, {"mysql:9": NO_HOST}
    world.mirrored = {"m.example/docker.io/library/mysql:9"}
    assert run(world, project, mirrors=("m.example",)).swaps == {"mysql:9": "m.example/docker.io/library/mysql:9"}
    assert (world.asked, world.pulled) == (
        [],
        ["mysql:9", "m.example/library/mysql:9", "m.example/docker.io/library/mysql:9"],
    )


def test_a_mirror_is_not_asked_for_what_its_registry_gives(world: World, project: Project) -> None:
    """A name means its own registry as long as that answers, even with a refusal."""
    world.refuse, world.mirrored = {"mysql:9": DENIED}, {"m.example/library/mysql:9"}
    with pytest.raises(EngineError, match="access is denied"):
        run(world, project, mirrors=("m.example",))
    assert world.asked == []


def test_a_mirror_that_answers_ends_the_wait_for_a_silent_registry(world: World, project: Project) -> None:
    """After the time of impatience a mirror that has the image ends the wait, and the silent pull with it."""
    world.here, world.silent = {"node:22": ""}, {"mysql:9"}
    world.mirrored = {"m.example/library/mysql:9"}
    assert run(world, project, mirrors=("m.example",)).swaps == {"mysql:9": "m.example/library/mysql:9"}
    assert world.at_once == 0


def test_a_dead_mirror_is_reported_once(world: World, tmp_path: Path) -> None:
    """The mirror is not asked for later images, and the cause of the failure does not name it."""
    services = [Service(f"s{number}", image=f"x:{number}") for number in range(9)]
    world.refuse = {f"x:{number}": NO_HOST for number in range(9)}
    world.dead, world.mirrored = {"m.example"}, {f"n.example/library/x:{number}" for number in range(9)}
    provided = run(world, a_project(tmp_path, *services), mirrors=("m.example", "n.example"))
    assert len(provided.swaps) == 9
    assert [text for text in world.texts() if "m.example" in text] == [
        "the mirror m.example is not asked any more: connection refused"
    ]
    assert len([name for name in world.asked if name.startswith("m.example")]) <= 8


def test_the_next_mirror_is_asked_after_a_wrong_digest(world: World, project: Project) -> None:
    """The next mirror with the image is asked; if none is left, the error names the fault of each."""
    world.here = {"node:22": ""}
    world.refuse = {"mysql:9": NO_HOST, "m.example/library/mysql:9": "manifest verification failed for digest"}
    world.mirrored = {"m.example/library/mysql:9", "n.example/library/mysql:9"}
    assert run(world, project, mirrors=("m.example", "n.example")).swaps == {"mysql:9": "n.example/library/mysql:9"}
    with pytest.raises(EngineError, match=r"DNS.; m.example: the content does not match its digest"):
        run(world, project, mirrors=("m.example",))


def test_a_pull_in_progress_has_no_timeout(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeout is for the first answer only."""
    monkeypatch.setattr(pulls, "FIRST_BYTE_TIMEOUT", 0.2)
    monkeypatch.setattr(pulls, "EVERY", 0.15)
    world.here = {"node:22": ""}
    assert run(world, project) == AcquiredImages()
    assert world.texts()[-1] == "mysql:9 pulled"


def test_a_slow_mirror_does_not_delay_others(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as a mirror has the image, the calls to the others are cancelled."""

    async def distribution(_: Images, reference: str, auth: str = "") -> str:
        if reference.startswith("m.example"):
            await anyio.sleep_forever()
        return await world.distribution(reference, auth)

    monkeypatch.setattr(Images, "distribution", distribution)
    monkeypatch.setattr(pulls, "MIRROR_TIMEOUT", 0.5)
    world.here, world.refuse, world.mirrored = {"node:22": ""}, {"mysql:9": NO_HOST}, {"n.example/library/mysql:9"}
    assert run(world, project, mirrors=("m.example", "n.example")).swaps == {"mysql:9": "n.example/library/mysql:9"}
    assert not [event for event in world.events if isinstance(event, Notice)]


@pytest.mark.parametrize("mirrors", [("m.example",), ("m.example", "n.example")], ids=["only one", "two"])
def test_a_silent_mirror_times_out(
    world: World, project: Project, monkeypatch: pytest.MonkeyPatch, mirrors: tuple[str, ...]
) -> None:
    """A mirror has a limited number of seconds to say whether it has an image."""

    async def distribution(*_: object) -> str:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(Images, "distribution", distribution)
    monkeypatch.setattr(pulls, "MIRROR_TIMEOUT", 0.1)
    world.here, world.refuse = {"node:22": ""}, {"mysql:9": NO_HOST}
    world.silent = {"m.example/library/mysql:9"}
    assert run(world, project, mirrors=mirrors, stand_ins=True).swaps == {"mysql:9": "stand-in.devenv/mysql:9"}
    assert "the mirror m.example is not asked any more: no answer in time" in world.texts()


def test_a_temporary_failure_is_tried_again(world: World, project: Project) -> None:
    """A busy registry is asked again, three times at most; a refusal, once."""
    world.here = {"node:22": ""}
    world.passing = {"mysql:9": ["toomanyrequests", "unexpected EOF", "received unexpected HTTP status: 502"]}
    assert run(world, project) == AcquiredImages()
    assert world.pulled == ["mysql:9"] * 4
    assert "mysql:9 pulling the connection broke: again in 0 s" in world.texts()
    world.passing = {"mysql:9": ["toomanyrequests"] * 9}
    with pytest.raises(EngineError, match="limit of pulls is reached") as raised:
        run(world, project, stand_ins=True)
    assert (raised.value.hint, len(world.pulled)) == ("docker login", 8)
    world.passing, world.refuse = {}, {"mysql:9": DENIED}
    with pytest.raises(EngineError, match="access is denied"):
        run(world, project)
    assert len(world.pulled) == 9


def test_a_pull_limit_leads_to_the_mirror_without_a_pause(world: World, project: Project) -> None:
    """The mirror is asked before the registry is asked again."""
    world.here, world.passing = {"node:22": ""}, {"mysql:9": ["toomanyrequests"] * 9}
    world.mirrored = {"m.example/library/mysql:9"}
    assert run(world, project, mirrors=("m.example",)).swaps == {"mysql:9": "m.example/library/mysql:9"}
    assert world.pulled == ["mysql:9", "m.example/library/mysql:9"]


def test_each_registry_gets_only_its_own_credentials(
    world: World, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials of one registry never go to another; a missing helper is named if the registry refuses."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(
        '{"auths": {"m.example": {"auth": "dTpw"}}, "credHelpers": {"n.example": "x-"}}'
    )
    world.refuse = {"node:22": NO_HOST, "mysql:9": NO_HOST}
    world.mirrored = {"m.example/library/node:22", "n.example/library/mysql:9"}
    run(world, project, mirrors=("m.example", "n.example"))
    assert {registry(name) for name, auth in world.shown.items() if auth} == {"m.example"}
    world.refuse = {"node:22": NO_HOST, "n.example/a:1": DENIED}
    with pytest.raises(EngineError, match=r"access is denied: .* `docker-credential-x-` is not installed") as raised:
        run(world, a_project(tmp_path, Service("a", image="n.example/a:1")))
    assert "docker login n.example" in str(raised.value.hint)


def test_a_platform_is_pulled_for(world: World, tmp_path: Path) -> None:
    """The service's platform reaches the pull."""
    run(world, a_project(tmp_path, Service("a", image="a:1", platform="linux/arm64")))
    assert world.pulled == ["a:1 [linux/arm64]"]


def test_a_failed_pull_ends_the_wait_of_others_for_that_registry(world: World, tmp_path: Path) -> None:
    """If one pull fails because of DNS, pulls that still wait for the same registry go on to the mirror at once."""
    project = a_project(tmp_path, *(Service(f"s{number}", image=f"x:{number}") for number in range(4)))
    world.refuse = {"x:0": NO_HOST}
    world.silent = {f"x:{number}" for number in range(1, 4)}
    world.mirrored = {f"m.example/library/x:{number}" for number in range(4)}
    began = time.monotonic()
    assert len(run(world, project, mirrors=("m.example",)).swaps) == 4
    assert time.monotonic() - began < pulls.FIRST_BYTE_TIMEOUT / 2
