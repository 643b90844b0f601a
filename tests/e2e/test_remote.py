"""An engine on another machine, reached by ssh: one login, ports here, drops, and nothing that is left."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cli import Devenv, StartDevenv
from support.docker_cli import BASE_IMAGE, until
from support.far import NAME, NOTHING, Far
from support.site import Site
from support.sshd import AWAY
from support.stack import unique_name


@pytest.fixture
def site(far: Far, devenv: StartDevenv, tmp_path: Path) -> Iterator[Site]:
    """A project; nothing of its runs is left on either machine afterwards."""
    yield Site(tmp_path / "site", far, devenv)
    until(far.remains, NOTHING.__eq__)


def told(run: Devenv, event: str, text: str) -> Callable[[], bool]:
    """Whether an event with this text has come."""
    return lambda: any(text in each["message"] for each in run.all(event))


def test_as_if_it_were_here(site: Site, far: Far) -> None:
    """One login carries all; the port is on loopback only, on both machines, and a connection lasts over edits."""
    before = far.logins()
    run = site.up()
    ready = run.wait_for("ready")
    assert ready["urls"] == [f"http://localhost:{site.port}/"]
    assert ready["forwarded_from"] == "far"
    assert site.shows("one")
    assert site.shows("one", "::1")
    assert far.listeners() == {f"0100007F:{site.port:04X}"}
    with site.connection("/stream") as connection, connection.makefile() as stream:
        assert "HTTP/1.0 200" in stream.readline()
        assert [stream.readline(), stream.readline()] == ["\n", "one\n"]
        for number in range(20):
            site.save(f"edit {number}")
            assert stream.readline() == f"edit {number}\n"
    assert far.logins() == before + 1
    run.stop()


def test_the_line_is_lost_and_comes_back(site: Site, far: Far) -> None:
    """Saves wait and arrive, ports are forwarded again, each loss is told once, and nothing is restarted."""
    run = site.up()
    (started,) = far.docker("ps", "-q", "--no-trunc").split()
    far.cut()
    try:
        until(told(run, "problem", "the line to far is lost"))
        site.save("saved while the cable is cut")
    finally:
        far.mend()
    until(told(run, "notice", "the line to far is back"))
    until(lambda: site.shows("saved while the cable is cut"))
    (master,) = far.masters()
    os.kill(master, signal.SIGKILL)
    site.save("saved while ssh is dead")
    until(lambda: site.shows("saved while ssh is dead"))
    assert far.docker("ps", "-q", "--no-trunc") == started
    lost = [problem["message"] for problem in run.all("problem")]
    assert all(message.startswith("the line to far is lost") for message in lost), lost
    assert len(lost) == sum("is back" in notice["message"] for notice in run.all("notice"))
    run.stop()


def test_ports_follow_the_containers(site: Site, far: Far) -> None:
    """A port ends with its container, and is back with it."""
    run = site.up()
    (container,) = far.docker("ps", "-q").split()
    far.docker("stop", "-t1", container)
    until(lambda: not site.shows("one"))
    far.docker("start", container)
    until(lambda: site.shows("one"))
    run.stop()


def test_devenv_is_killed(site: Site, far: Far) -> None:
    """The guardian has a line of its own: nothing is left on either machine."""
    run = site.up()
    run.send_signal(signal.SIGKILL)
    until(far.remains, NOTHING.__eq__)


def test_a_port_that_is_taken(site: Site, far: Far) -> None:
    """It is reported before anything is created, if it is taken here, and if it is taken there."""
    with socket.create_server(("127.0.0.1", site.port)):
        run = site.run("up", "--on", "far")
        assert run.wait() == 4
    (error,) = run.all("error")
    assert f"port {site.port} (service web) is taken by pid {os.getpid()}" in error["message"]
    name = far.docker("run", "-d", f"-p127.0.0.1:{site.port}:80", BASE_IMAGE, "sleep", "60")
    try:
        run = site.run("up", "--on", "far")
        assert run.wait() == 4
        (error,) = run.all("error")
        assert f"port {site.port} (service web) is taken by " in error["message"]
        assert "devenv up --on" in error["hint"]
    finally:
        far.docker("rm", "-f", name)


@pytest.mark.long
@pytest.mark.parametrize("name", [NAME, f"{NAME}{AWAY}"])
def test_a_connection_lasts_over_200_edits(site: Site, far: Far, name: str) -> None:
    """As for hot reload in a browser, also with a long round trip; all by one login."""
    before = far.logins()
    run = site.up(on=name)
    with site.connection("/stream") as connection, connection.makefile() as stream:
        assert "HTTP/1.0 200" in stream.readline()
        assert [stream.readline(), stream.readline()] == ["\n", "one\n"]
        for number in range(200):
            site.save(f"edit {number}")
            assert stream.readline() == f"edit {number}\n"
    assert far.logins() == before + 1
    run.stop()


@pytest.mark.long
def test_thirty_services(site: Site, far: Far) -> None:
    """They come up by one login, with the limits that sshd has by default."""
    service = f"{{image: {BASE_IMAGE}, command: sleep 600, init: true, stop_grace_period: 1s}}"
    services = "".join(f"  s{number}: {service}\n" for number in range(30))
    (site.folder / "compose.yml").write_text(f"name: {unique_name('far')}\nservices:\n{services}", encoding="utf-8")
    before = far.logins()
    run = site.up(timeout=300)
    assert len(far.docker("ps", "-q").split()) == 30
    assert far.logins() == before + 1
    run.stop()


def test_doctor_logs_in_once(site: Site, far: Far) -> None:
    """All checks of the other machine use one line."""
    before = far.logins()
    run = site.run("doctor", "--on", "far", json_output=False)
    run.wait(60)
    assert any("machine-away: far is" in line and ": Engine " in line for line in run.stray), run.stray
    assert far.logins() == before + 1


def test_other_commands_find_the_engine(site: Site, far: Far) -> None:
    """While a run is up in the background, they need no option in its folder; it has kept the line of `up`."""
    before = far.logins()
    assert site.run("up", "-d", "--on", "far").wait(120) == 0
    with site.connection("/stream") as connection, connection.makefile() as stream:
        assert "HTTP/1.0 200" in stream.readline()
        assert site.run("settle").wait(60) == 0  # the background process has taken the run over
        site.save("two")
        assert [stream.readline() for _ in range(3)] == ["\n", "one\n", "two\n"]
    assert site.run("exec", "web", "true", json_output=False).wait(60) == 0
    assert site.run("top", json_output=False).wait(60) == 0
    assert far.logins() == before + 1
    shown = site.run("open", "--print", json_output=False)
    assert shown.wait() == 0
    assert shown.stray == [f"http://localhost:{site.port}/\n"]
    assert site.run("down").wait(120) == 0
    assert far.logins() == before + 2
