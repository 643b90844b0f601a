"""What of a model reaches beyond its own containers is found, and nothing else."""

from __future__ import annotations

import pytest
import yaml

from devenv.config.dangers import Danger, dangers, sources


def found(service: str, volumes: str = "{}") -> list[tuple[str, str, str]]:
    """Key, entry and message of every danger of a service called web."""
    model = {"services": {"web": yaml.safe_load(service)}, "volumes": yaml.safe_load(volumes)}
    return [(one.path[-1], one.entry, one.message) for one in dangers(model, "/home/me")]


def bind(source: str) -> str:
    """A service with one bind mount."""
    return f"{{volumes: [{{type: bind, source: '{source}', target: /x, read_only: true}}]}}"


def test_a_danger_knows_whose_it_is_and_where() -> None:
    """The path leads to the key of the service."""
    model = {"services": {"db": {}, "web": {"privileged": True}}}
    message = "web is privileged: it can do on this machine whatever root can"
    assert dangers(model, "/root") == (Danger("web", message, ("services", "web", "privileged")),)


@pytest.mark.parametrize(
    ("service", "key", "entry", "message"),
    [
        ("{network_mode: host}", "network_mode", "", "web shares the network of the host (`network_mode: host`)"),
        ("{pid: host}", "pid", "", "web shares the processes of the host (`pid: host`)"),
        ("{ipc: host}", "ipc", "", "web shares the shared memory of the host (`ipc: host`)"),
        ("{uts: host}", "uts", "", "web shares the host name of the host (`uts: host`)"),
        ("{cgroup: host}", "cgroup", "", "web shares the control groups of the host (`cgroup: host`)"),
        (
            "{userns_mode: host}",
            "userns_mode",
            "",
            "web shares the users, root among them, of the host (`userns_mode: host`)",
        ),
        ("{cap_add: [NET_RAW, all]}", "cap_add", "all", "web has every capability"),
        (
            "{cap_add: [CAP_SYS_ADMIN]}",
            "cap_add",
            "CAP_SYS_ADMIN",
            "web has the capability SYS_ADMIN, which is nearly all of them",
        ),
        ("{devices: ['/dev/kvm:/dev/x:rwm']}", "devices", "/dev/kvm", "web uses the device /dev/kvm"),
        ("{devices: [{source: /dev/fuse, target: /d}]}", "devices", "/dev/fuse", "web uses the device /dev/fuse"),
    ],
)
def test_keys(service: str, key: str, entry: str, message: str) -> None:
    """Each key is one danger, in one line."""
    assert found(service) == [(key, entry, message)]


ENGINE = "it can give orders to the engine, and so do whatever root can"
SECRETS = "your keys and passwords lie there"
HOME = "it sees your whole home folder, ~/.ssh too"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("/var/run/docker.sock", ENGINE),
        ("/run/user/1000/docker.sock", ENGINE),
        ("/run", ENGINE),
        ("/var/run/", ENGINE),
        ("/", "it sees all files of this machine"),
        ("/home", HOME),
        ("/home/me/", HOME),
        ("/home/me/.ssh", SECRETS),
        ("/home/me/.ssh/id_ed25519", SECRETS),
        ("/home/me/x/../.aws", SECRETS),
        ("/home/me/.config", SECRETS),
        ("/home/me/.kube/config", SECRETS),
    ],
)
def test_binds(source: str, why: str) -> None:
    """A mount of what gives power over the machine, of secrets, or of a folder above them, read-only or not."""
    ((key, entry, message),) = found(bind(source))
    assert (key, entry) == ("volumes", "/x")
    assert message.startswith("web mounts /")
    assert message.endswith(f": {why}")


def test_a_link_is_followed() -> None:
    """What is mounted is what it leads to."""
    model = {"services": {"web": yaml.safe_load(bind("/p/link"))}}
    assert sources(model) == {"/p/link"}
    assert dangers(model, "/home/me", {"/p/link": "/p/real"}) == ()
    (danger,) = dangers(model, "/home/me", {"/p/link": "/"})
    assert danger.message == "web mounts /p/link, a link to /: it sees all files of this machine"


@pytest.mark.parametrize(
    "service",
    [
        "{}",
        "{privileged: false, network_mode: bridge, pid: 'service:db', cap_add: [NET_ADMIN], devices: [], volumes: }",
        bind("/home/me/project"),
        bind("/home/me/.sshd"),
        bind("/home/meg"),
        bind("/var/lib/docker.sock.d"),
        "{volumes: [{type: tmpfs, target: /run}]}",
        "{volumes: [{type: volume, target: /x}, {type: volume, source: data, target: /}]}",
    ],
)
def test_what_is_no_danger(service: str) -> None:
    """Ordinary services are not talked about."""
    assert found(service, "{data: {driver_opts: {type: nfs, device: ':/', o: addr=1}}, more: null}") == []


def test_a_named_volume_that_is_but_a_bind() -> None:
    """Another way to write a bind mount."""
    service = "{volumes: [{type: volume, source: data, target: /x}]}"
    volumes = "{data: {driver_opts: {type: none, device: /, o: 'rw,bind'}}}"
    assert found(service, volumes) == [("volumes", "/x", "web mounts /: it sees all files of this machine")]
