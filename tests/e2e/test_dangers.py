"""Settings that affect more than a project's containers are refused before anything is created, or require trust."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import cli
from support.stack import Stack, built_service, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine


@pytest.fixture
def refusing(state_env: dict[str, str]) -> dict[str, str]:
    """The environment of a user who refuses what is dangerous."""
    settings = Path(state_env["XDG_CONFIG_HOME"]) / "devenv-compose/config.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('dangerous = "refuse"\n')
    return state_env


@contextlib.contextmanager
def relay(path: Path) -> Iterator[None]:
    """A socket that forwards to the engine's: neither its name nor its listener shows that it is an engine."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    caller, _ = listening.accept()
                except OSError:
                    return
                with caller, socket.socket(socket.AF_UNIX) as link, contextlib.suppress(OSError):
                    link.connect("/var/run/docker.sock")
                    link.sendall(caller.recv(4096))
                    caller.sendall(link.recv(4096))

        threading.Thread(target=serve, daemon=True).start()
        yield
        listening.shutdown(socket.SHUT_RDWR)


def volume(**options: str) -> dict[str, Any]:
    """A named volume of the local driver."""
    return {"driver_opts": options}


def test_dangerous_settings_are_refused_before_anything_is_created(
    stack: Stack, up: Up, refusing: dict[str, str]
) -> None:
    """Each way to the host is refused with exit code 6 and its place, and nothing is created."""
    home = stack.folder.parent / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/id_rsa").write_text("CANARY=1\n")
    (stack.folder / "link").symlink_to("/")
    hostile: dict[str, dict[str, Any]] = {
        "secret": {"secrets": ["all"]},
        "config": {"configs": ["all"]},
        "key": {"secrets": ["key"]},
        "env": {"env_file": "${KEYS_OF}/.ssh/id_rsa"},
        "rbind": {"volumes": ["rbind:/x"]},
        "disk": {"volumes": ["disk:/x"]},
        "overlay": {"volumes": ["overlay:/x"]},
        "etc": {"volumes": ["/etc:/x"]},
        "linked": {"volumes": ["./link/etc:/x"]},
        "engine": {"volumes": ["./d.sock:/x"]},
        "containerd": {"volumes": ["/run/containerd:/x"]},
        "watch": {"develop": {"watch": [{"path": str(home / ".ssh"), "action": "sync", "target": "/x"}]}},
        "module": {"cap_add": ["SYS_MODULE"]},
        "seccomp": {"security_opt": ["seccomp:unconfined"]},
        "other": {"pid": "container:somebody"},
        "volumes": {"volumes_from": ["container:somebody"]},
        "rules": {"device_cgroup_rules": ["b 254:0 rwm"]},
        "host": {"networks": ["lan"]},
        "runtime": {"runtime": "other"},
    }
    harmless: dict[str, dict[str, Any]] = {
        "tmp": {"volumes": ["/var/tmp:/x", "./src:/y", "/etc/localtime:/etc/localtime:ro"], "runtime": "runc"},
        "ports": {"ports": ["0.0.0.0::80"], "tmpfs": ["/run"], "cap_add": ["NET_ADMIN"]},
    }
    services = {name: idle_service(**more) for name, more in (hostile | harmless).items()}
    services["build"] = built_service("COPY --from=keys / /")
    services["build"]["build"]["additional_contexts"] = {"keys": str(home / ".ssh")}
    stack.compose_file(
        services,
        secrets={"all": {"file": "/"}, "key": {"file": str(home / ".ssh/id_rsa")}},
        configs={"all": {"file": "/"}},
        networks={"lan": {"name": "host", "external": True}},
        volumes={
            "rbind": volume(type="none", device="/etc/..", o="rbind"),
            "disk": volume(type="ext4", device="/dev/vda"),
            "overlay": volume(type="overlay", device="overlay", o="lowerdir=/etc:/usr"),
        },
    )
    stack.env |= {"HOME": str(home), "KEYS_OF": str(home)}
    with relay(stack.folder / "d.sock"):
        run = up(stack)
        assert run.wait() == 6
    (error,) = run.all("error")
    first, *lines = error["message"].splitlines()
    assert first == "refused as dangerous:"
    matches = [re.fullmatch(r"  compose\.yml:\d+: (\w+) .+", line) for line in lines]
    assert {match[1] for match in matches if match} == {*hostile, "build"}
    assert all(matches)
    assert any("engine mounts" in line and "it controls Docker" in line for line in lines)
    assert refusing["XDG_CONFIG_HOME"] in error["hint"]
    assert stack.leftovers() == {}


def test_run_and_build_refuse_dangerous_settings(stack: Stack, refusing: dict[str, str]) -> None:
    """`run` creates nothing of a service that `up` would refuse; `build` does not use files of the host."""
    services = {"web": idle_service(privileged=True), "img": built_service("COPY --from=host / /x", privileged=True)}
    services["img"]["build"]["additional_contexts"] = {"host": "/etc"}
    stack.compose_file(services)
    env = {**stack.env, **refusing}
    done = cli.run("run", "--rm", "web", "true", cwd=stack.folder, env=env)
    assert done.returncode == 6
    assert "web is privileged" in done.stderr
    done = cli.run("build", cwd=stack.folder, env=env)
    assert done.returncode == 6
    assert "img is built with /etc" in done.stderr
    assert "privileged" not in done.stderr, "a build does not run the service"
    assert stack.leftovers() == {}


def test_privileged_commands_require_trust(stack: Stack, up: Up) -> None:
    """Hooks and watch rules require trust; a command that changes is not used in the run and requires it again."""
    stack.write("src/a", "1")

    def written(command: str) -> None:
        hook = {"command": ["sh", "-c", command], "privileged": True}
        rule = {"path": "./src", "action": "sync+exec", "target": "/src", "exec": hook}
        seed = {"service": "web", "command": ["sh", "-c", "grep CapEff /proc/self/status"], "privileged": True}
        web = idle_service(develop={"watch": [rule]})
        stack.compose_file({"web": web}, **{"x-devenv": {"hooks": {"after_healthy": seed}}})

    written("echo first >>/told")
    refused = up(stack)
    assert refused.wait() == 6
    (error,) = refused.all("error")
    assert "sync+exec of" in error["message"]
    assert "after_healthy (compose.yml:" in error["message"]
    assert error["hint"].endswith("devenv up --output json --trust")
    assert stack.leftovers() == {}

    run = up.ready(stack, "--trust")
    assert run.all("hook")[0]["line"].endswith("ffff")
    written("echo second >>/told")
    assert "echo second" in run.wait_for("problem")["message"]
    stack.write("src/a", "2")
    run.wait_for("synced")
    deadline = time.monotonic() + 20
    while stack.read("web", "/told") is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert stack.read("web", "/told") == "first\n"
    assert run.stop() == 130
    assert up(stack).wait() == 6
    assert stack.leftovers() == {}
