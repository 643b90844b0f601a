"""Why a path of the host is dangerous, from given facts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devenv.compose.safety.paths import AGENT, TABLES, Host, HostPath, reach

HOST = Host(homes=("/home/me", "/data/home/me"), projects=("/var/lib/projects/app", "/opt/app"))


def why(path: str, host: Host = HOST, *, writes: bool = True) -> str | None:
    """Why a service should not get the path."""
    danger = reach(path, host, writes=writes)
    return danger.partition(": ")[2] if danger else None


DOCKER = "it controls Docker, which can do on this machine whatever root can"
KEYS = "it contains your keys or passwords"
HOME = "it contains your whole home folder, including ~/.ssh"
FILES = "it contains all files of this machine"
CONFIGURATION = "it contains the configuration of this machine, including its passwords"
KERNEL = "it shows the kernel's state, and changes it"
ENGINE_DATA = "it contains the data of the engine, including other containers'"
PROGRAMS = "it contains the programs of this machine"
OTHERS = "it contains another user's files"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", FILES),
        ("//", FILES),
        ("/etc/..", FILES),
        ("/var/run/docker.sock", DOCKER),
        ("/run/user/1000/docker.sock", DOCKER),
        ("/anywhere/podman.sock", DOCKER.replace("Docker", "Podman")),
        ("/run", DOCKER),
        ("/var/run/", DOCKER),
        ("/run/containerd", DOCKER.replace("Docker", "containerd")),
        ("/run/crio/crio.sock", DOCKER.replace("Docker", "CRI-O")),
        ("/home", HOME),
        ("/home/me/", HOME),
        ("/data", HOME),
        ("/home/me/.ssh", KEYS),
        ("/home/me/.ssh/id_ed25519", KEYS),
        ("/home/me/x/../.aws", KEYS),
        ("/data/home/me/.aws", KEYS),
        ("/home/me/.config", KEYS),
        ("/home/me/.kube/config", KEYS),
        ("/etc", CONFIGURATION),
        ("//etc", CONFIGURATION),
        ("/./etc//shadow", CONFIGURATION),
        ("/etc/passwd", CONFIGURATION),
        ("/boot", "it contains the kernel that this machine starts"),
        ("/proc", KERNEL),
        ("/proc/sys/kernel", KERNEL),
        ("/sys", KERNEL),
        ("/sys/fs/cgroup", KERNEL),
        ("/dev", "it contains the devices of this machine"),
        ("/dev/shm", "it contains the devices of this machine"),
        ("/run/dbus/system_bus_socket", "it belongs to the services that run on this machine"),
        ("/var", "it contains /var/lib/docker"),
        ("/var/lib", "it contains /var/lib/docker"),
        ("/var/lib/docker", ENGINE_DATA),
        ("/var/lib/docker/volumes/x/_data", ENGINE_DATA),
        ("/var/lib/containerd", ENGINE_DATA),
        ("/var/lib/mysql", "it contains the data of this machine's services"),
        ("/var/log/syslog", "it contains the logs of this machine"),
        ("/var/spool/cron", "it contains the jobs and the mail of this machine"),
        ("/usr", PROGRAMS),
        ("/usr/local/bin", PROGRAMS),
        ("/lib/systemd/system", PROGRAMS),
        ("/home/meg", OTHERS),
        ("/home/meg/x", OTHERS),
        ("/root", OTHERS),
        ("/Users/meg", OTHERS),
    ],
)
def test_dangerous_paths(path: str, expected: str) -> None:
    """Control of the machine, keys and the folders that contain them, folders of the system and of other users."""
    assert why(path) == expected


@pytest.mark.parametrize("name", TABLES["secrets"])
def test_key_files_are_dangerous(name: str) -> None:
    """Each place of keys in the home folder, also read-only; a name that only starts the same is not dangerous."""
    assert why(f"/home/me/{name}", writes=False) == KEYS
    assert why(f"/home/me/{name}x") is None


@pytest.mark.parametrize(
    "path",
    [
        "/tmp",
        "/tmp/x",
        "/var/tmp",
        "/srv/data",
        "/mnt/disk/data",
        "/opt/data",
        "/home/me/project",
        "/home/me/.cache",
        "/home/me/.sshd",
        "/home/me/docker.sock.d",
        "/etc/localtime",
        "/etc/timezone",
        "/dev/null",
        "/var/lib/projects/app/src",
        "/var/lib/projects/app",
        "/var/www/site",
    ],
)
def test_harmless_paths(path: str) -> None:
    """Paths of the project and of the user, and paths that are made to be shared."""
    assert why(path) is None


@pytest.mark.parametrize(
    ("path", "to_read"),
    [
        ("/etc/ssl/certs", None),
        ("/etc/ssl/certs/x.pem", None),
        ("/etc/passwd", None),
        ("/etc/hosts", None),
        ("/usr/share/zoneinfo", None),
        ("/lib/modules", None),
        ("/sys/fs/cgroup", None),
        ("/etc/ssl/private", CONFIGURATION),
        ("/etc/shadow", CONFIGURATION),
        ("/etc/ssl/certs/../private", CONFIGURATION),
        ("/usr", PROGRAMS),
    ],
)
def test_readable_system_files_are_dangerous_only_if_writable(path: str, to_read: str | None) -> None:
    """Files that all users may read are dangerous only if they can be written to."""
    assert why(path, writes=False) == to_read
    assert why(path) is not None


def at(path: str, facts: HostPath, host: Host = HOST) -> Host:
    """A host with these facts about a path."""
    return replace(host, paths={path: facts})


def test_link_counts_as_its_target() -> None:
    """A link counts as its target, whatever its name is, also if it points out of the project."""
    for real, expected in (("/", FILES), ("/home/me/.ssh", KEYS), ("/etc", CONFIGURATION), ("/home/meg", OTHERS)):
        path = "/opt/app/link"
        assert (
            reach(path, at(path, HostPath(real, is_socket=False)), writes=True)
            == f"{path}, a link to {real}: {expected}"
        )
    assert why("/opt/app/link", at("/opt/app/link", HostPath("/srv/data", is_socket=False))) is None
    zone = HostPath("/usr/share/zoneinfo/UTC", is_socket=False)
    assert why("/etc/localtime", at("/etc/localtime", zone)) is None
    assert why("/var/lib/projects/app/x", at("/var/lib/projects/app/x", HostPath("/opt/app/x"))) is None


def test_socket_is_judged_by_its_listener() -> None:
    """Under any name, in the project too; a file that only has the name of a socket is harmless."""
    socket = HostPath("/opt/app/d.sock", is_socket=True, daemon="Docker")
    assert why("/opt/app/d.sock", at("/opt/app/d.sock", socket)) == DOCKER
    assert (
        why("/opt/app/docker.sock", at("/opt/app/docker.sock", HostPath("/opt/app/docker.sock", is_socket=False)))
        is None
    )
    silent = HostPath("/opt/app/docker.sock", is_socket=True)
    assert why("/opt/app/docker.sock", at("/opt/app/docker.sock", silent)) == DOCKER
    other = HostPath("/opt/app/mysql.sock", is_socket=True)
    assert why("/opt/app/mysql.sock", at("/opt/app/mysql.sock", other)) is None


def test_a_folder_with_the_socket_of_an_engine() -> None:
    """It counts also below /tmp; an agent counts by its own folder, since /tmp is mounted for many reasons."""
    host = replace(HOST, sockets={"/tmp/e/d.sock": "Docker", "/tmp/ssh-1/agent.2": AGENT})
    assert why("/tmp/e", host) == why("/tmp", host) == DOCKER
    host = replace(HOST, sockets={"/tmp/ssh-1/agent.2": AGENT})
    assert why("/tmp", host) is None
    agent = "it can use the keys in your SSH agent"
    assert why("/tmp/ssh-1", host) == why("/tmp/ssh-1/agent.2", host) == agent
    assert why("/x", at("/x", HostPath("/x", is_socket=True, daemon=AGENT))) == agent


def test_keys_named_by_the_environment_are_dangerous() -> None:
    """Keys that the environment names."""
    host = replace(HOST, keys=("/srv/secret/kube",))
    assert why("/srv/secret/kube", host) == why("/srv/secret", host) == KEYS
    assert why("/srv/secretive", host) is None


def test_the_home_folder_of_somebody_else() -> None:
    """The owner of the folder decides; paths in the project are harmless."""
    facts = HostPath("/data/home/eve/x", is_socket=False, user="eve")
    assert why("/data/home/eve/x", at("/data/home/eve/x", facts)) == "it is in the home folder of eve"
    mine = at("/opt/app/x", HostPath("/opt/app/x", is_socket=False, user="eve"))
    assert why("/opt/app/x", mine) is None


@pytest.mark.parametrize("project", ["/", "/etc", "/var", "/home"])
def test_a_project_that_is_a_folder_of_the_system(project: str) -> None:
    """Files in it are dangerous all the same."""
    host = Host(homes=("/home/me",), projects=(project,))
    assert why("/etc/shadow", host) == CONFIGURATION
    assert why("/home/meg/x", host) == OTHERS


@pytest.mark.parametrize("project", ["/etc/app", "/root/app", "/usr/src/app", "/home/meg/app", "/dev/shm/app"])
def test_a_project_below_a_folder_of_the_system(project: str) -> None:
    """The files of the project are harmless."""
    assert why(f"{project}/src", Host(homes=("/home/me",), projects=(project,))) is None


def test_a_user_whose_home_folder_is_of_the_system() -> None:
    """Root's home folder is not that of another user; a home folder `/` makes nothing harmless."""
    assert why("/root/x", Host(homes=("/root",))) is None
    assert why("/var/lib/jenkins/x", Host(homes=("/var/lib/jenkins",))) is None
    assert why("/var/lib/jenkins/.ssh", Host(homes=("/var/lib/jenkins",))) == KEYS
    assert why("/etc/shadow", Host(homes=("/",))) == CONFIGURATION
