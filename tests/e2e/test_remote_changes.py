"""Another machine that goes away for long, has a new address, is behind a jump host, or has a rootless engine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support import far as machines
from support.cli import StartDevenv
from support.docker_cli import BASE_IMAGE, until
from support.far import NOTHING, Far
from support.site import Site

pytestmark = [pytest.mark.engine, pytest.mark.long]

AWAY = 300.0  # seconds
WITHIN = 6.0  # seconds after the machine answers again; a busy machine may take three times as long
DEV = 64997  # a user


def back(shows: Callable[[], bool]) -> None:
    """Wait until the site is back, and print the seconds."""
    began = time.monotonic()
    until(shows, timeout=3 * WITHIN)
    print(f"back after {time.monotonic() - began:.1f} s")  # noqa: T201 - a figure to report


@pytest.fixture
def new_site(
    base_image: str, devenv: StartDevenv, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., tuple[Site, Far]]]:
    """Makes a project and its machine; nothing of runs is left there afterwards."""
    if os.getuid() != 0 or not machines.is_possible():
        pytest.skip("another machine needs root, ip, ssh and sshd")
    with ExitStack() as stack:

        def make(**options: Any) -> tuple[Site, Far]:
            far = stack.enter_context(machines.far(tmp_path_factory.mktemp("far") / "engine", BASE_IMAGE, **options))
            stack.callback(until, far.remains, NOTHING.__eq__)
            return Site(tmp_path / "site", far, devenv), far

        yield make


def test_sshd_is_stopped_for_five_minutes(new_site: Callable[..., tuple[Site, Far]]) -> None:
    """Saves and the site are back seconds after its return; nothing is restarted, and the loss is told once."""
    site, far = new_site()
    run = site.up()
    (started,) = far.docker("ps", "-q", "--no-trunc").split()
    far.sshd.stop()
    site.save("saved at once")
    time.sleep(AWAY)
    site.save("saved late")
    far.sshd.start()
    back(lambda: site.shows("saved late"))
    assert far.docker("ps", "-q", "--no-trunc") == started
    assert len([each for each in run.all("problem") if "is lost" in each["message"]]) == 1, run.report()
    assert run.stop() == 130
    assert far.remains() == NOTHING


@pytest.mark.parametrize("pause", [0.0, 12.0], ids=["at-once", "after-a-loss"])
def test_another_address(new_site: Callable[..., tuple[Site, Far]], pause: float) -> None:
    """The name is looked up again: saves and the site are back, and Ctrl-C leaves nothing."""
    site, far = new_site()
    run = site.up()
    if pause:
        far.cut()
        time.sleep(pause)
    far.move()
    site.save("saved for another address")
    back(lambda: site.shows("saved for another address"))
    assert run.stop() == 130
    assert far.remains() == NOTHING


def test_a_jump_host(new_site: Callable[..., tuple[Site, Far]]) -> None:
    """The ProxyJump of the user's settings is used, by one login there; a lost line is opened again."""
    site, far = new_site(is_behind=True)
    run = site.up()
    site.save("over the jump host")
    until(lambda: site.shows("over the jump host"))
    assert far.logins() == 1
    far.cut()
    until(lambda: run.all("problem"))
    far.mend()
    site.save("saved after a loss")
    back(lambda: site.shows("saved after a loss"))
    assert run.stop() == 130
    assert far.remains() == NOTHING


def test_the_engine_of_a_user(new_site: Callable[..., tuple[Site, Far]]) -> None:
    """The socket of a rootless engine is found without an option; ports are forwarded."""
    site, far = new_site(uid=DEV)
    run = site.up()
    assert run.wait_for("ready")["forwarded_from"] == "far"
    assert site.shows("one")
    site.save("two")
    until(lambda: site.shows("two"))
    assert run.stop() == 130
    assert far.remains() == NOTHING
