"""Settings of a model that reach beyond its containers are found, and no others: a test for each row of the table."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from devenv.compose.parse import parse
from devenv.compose.safety.paths import Host, HostPath
from devenv.compose.safety.table import ROWS, Danger, dangers, uses

HOST = Host(homes=("/home/me",), projects=("/srv/app",))
FILES = "it contains all files of this machine"
ETC = "it contains the configuration of this machine, including its passwords"
KEYS = "it contains your keys or passwords"
OUTSIDE = ", a container outside the project"
ROOT = "it can do on this machine whatever root can"


def model(service: str, top: str = "{}") -> dict[str, Any]:
    """A model with a service called web."""
    return {"services": {"web": yaml.safe_load(service)}, **yaml.safe_load(top)}


def found(service: str, top: str = "{}", host: Host = HOST) -> list[tuple[str, str, str]]:
    """Key, entry and message of every danger of that service."""
    return [
        (".".join(danger.path[2:]), danger.entry, danger.message) for danger in dangers(model(service, top), host)
    ]


def said(service: str, top: str = "{}", host: Host = HOST) -> list[str]:
    """The messages about that service, without its name."""
    return [message.removeprefix("web ") for _, _, message in found(service, top, host)]


def test_danger_has_service_and_path() -> None:
    """The path leads to the key of the service."""
    message = f"web is privileged: {ROOT}"
    two = {"services": {"db": {}, "web": {"privileged": True}}}
    assert dangers(two, HOST) == (Danger("web", message, ("services", "web", "privileged")),)


KEYS_OF_SERVICES = [
    ("{privileged: true}", "privileged", "", f"is privileged: {ROOT}"),
    ("{network_mode: host}", "network_mode", "", "shares the network of the host (`network_mode: host`)"),
    ("{pid: host}", "pid", "", "shares the processes of the host (`pid: host`)"),
    ("{ipc: host}", "ipc", "", "shares the shared memory of the host (`ipc: host`)"),
    ("{uts: host}", "uts", "", "shares the host name of the host (`uts: host`)"),
    ("{cgroup: host}", "cgroup", "", "shares the control groups of the host (`cgroup: host`)"),
    (
        "{userns_mode: host}",
        "userns_mode",
        "",
        "shares the users, root among them, of the host (`userns_mode: host`)",
    ),
    (
        "{network_mode: 'container:db'}",
        "network_mode",
        "",
        f"shares the network of `container:db`{OUTSIDE}",
    ),
    ("{pid: 'container:db'}", "pid", "", f"shares the processes of `container:db`{OUTSIDE}"),
    ("{ipc: 'container:db'}", "ipc", "", f"shares the shared memory of `container:db`{OUTSIDE}"),
    (
        "{volumes_from: [db, 'container:x:ro']}",
        "volumes_from",
        "container:x:ro",
        f"mounts the volumes of `container:x:ro`{OUTSIDE}",
    ),
    ("{cgroup_parent: /x}", "cgroup_parent", "", "is put into the control group `/x` of the host"),
    ("{cap_add: [NET_RAW, all]}", "cap_add", "all", "has every capability"),
    (
        "{cap_add: [CAP_SYS_ADMIN]}",
        "cap_add",
        "CAP_SYS_ADMIN",
        "has the capability SYS_ADMIN, which is nearly all of them",
    ),
    (
        "{security_opt: ['seccomp:unconfined']}",
        "security_opt",
        "seccomp:unconfined",
        "may make every system call (`seccomp:unconfined`)",
    ),
    (
        "{security_opt: [seccomp=./s.json]}",
        "security_opt",
        "seccomp=./s.json",
        "has its own rules for system calls (`seccomp=./s.json`)",
    ),
    (
        "{security_opt: [apparmor=unconfined]}",
        "security_opt",
        "apparmor=unconfined",
        "is not confined by AppArmor (`apparmor=unconfined`)",
    ),
    (
        "{security_opt: ['label:disable']}",
        "security_opt",
        "label:disable",
        "is not confined by SELinux (`label:disable`)",
    ),
    (
        "{security_opt: ['label=type:spc_t']}",
        "security_opt",
        "label=type:spc_t",
        "is not confined by SELinux (`label=type:spc_t`)",
    ),
    (
        "{security_opt: [systempaths=unconfined]}",
        "security_opt",
        "systempaths=unconfined",
        "can change the kernel's settings in /proc and /sys (`systempaths=unconfined`)",
    ),
    (
        "{security_opt: [writable-cgroups=true]}",
        "security_opt",
        "writable-cgroups=true",
        "can change its own control groups (`writable-cgroups=true`)",
    ),
    ("{devices: ['/dev/kvm:/dev/x:rwm']}", "devices", "/dev/kvm", "uses the device /dev/kvm"),
    ("{devices: [{source: /dev/fuse, target: /d}]}", "devices", "/dev/fuse", "uses the device /dev/fuse"),
    (
        "{devices: ['nvidia.com/gpu=all']}",
        "devices",
        "nvidia.com/gpu=all",
        "uses the device nvidia.com/gpu=all",
    ),
    (
        "{device_cgroup_rules: ['b 254:0 rwm']}",
        "device_cgroup_rules",
        "b 254:0 rwm",
        "may use devices of the host (`b 254:0 rwm`)",
    ),
    ("{runtime: /tmp/evil}", "runtime", "", "is run by `/tmp/evil`, a runtime that devenv does not know"),
    (
        "{use_api_socket: true}",
        "use_api_socket",
        "",
        "controls the engine, with your registry credentials (`use_api_socket: true`)",
    ),
    ("{provider: {type: ./evil}}", "provider", "", "runs the program `./evil` on this machine (`provider`)"),
    (
        "{post_start: [{command: id}, {command: id, privileged: true}]}",
        "post_start",
        "",
        f"runs a command of `post_start` as privileged: {ROOT}",
    ),
    (
        "{pre_stop: [{command: id, privileged: true}]}",
        "pre_stop",
        "",
        f"runs a command of `pre_stop` as privileged: {ROOT}",
    ),
    ("{build: {privileged: true}}", "build.privileged", "", f"is built as privileged: its build {ROOT[3:]}"),
    ("{build: {network: host}}", "build.network", "", "is built in the network of the host (`network: host`)"),
    (
        "{build: {entitlements: [security.insecure]}}",
        "build.entitlements",
        "security.insecure",
        "is built with the entitlement `security.insecure`",
    ),
    ("{build: {ssh: [default]}}", "build.ssh", "default", "is built with your SSH keys (`ssh: default`)"),
]


@pytest.mark.parametrize(("service", "key", "entry", "message"), KEYS_OF_SERVICES)
def test_dangerous_keys_of_a_service(service: str, key: str, entry: str, message: str) -> None:
    """Each key is one danger with a message of one line."""
    assert found(service) == [(key, entry, f"web {message}")]


CAPABILITIES = (
    "SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE", "SYS_BOOT", "SYS_TIME", "SYSLOG", "DAC_READ_SEARCH", "BPF", "PERFMON",
    "MAC_ADMIN", "MAC_OVERRIDE",
)  # fmt: skip


@pytest.mark.parametrize("name", CAPABILITIES)
def test_capabilities(name: str) -> None:
    """The message says what it allows; with or without CAP_, in any case."""
    (message,) = said(f"{{cap_add: [{name}]}}")
    assert message.startswith(f"has the capability {name}: it can ") or name == "MAC_OVERRIDE"
    assert said(f"{{cap_add: [cap_{name.lower()}]}}") == [message]


def test_every_row_has_a_test() -> None:
    """Each row decides a case of this file."""
    services = [service for service, *_ in KEYS_OF_SERVICES] + [f"{{cap_add: [{name}]}}" for name in CAPABILITIES]
    messages = "\n".join(message for service in services for message in said(service))
    patterns = [re.escape(row.message).replace(re.escape("{}"), ".+") for row in ROWS]
    assert [pattern for pattern in patterns if not re.search(f"(?m)^{pattern}$", messages)] == []


def test_a_network_that_is_the_hosts() -> None:
    """Compose takes the name of a service's first network as its network mode."""
    top = "{networks: {lan: {name: host, external: true}, default: {name: app_default}}}"
    assert found("{networks: {lan: null}}", top) == [
        ("networks", "lan", "web shares the network of the host (the network `lan` is `host`)"),
    ]
    assert found("{networks: {default: null}}", top) == []


def bind(source: str, *, read_only: bool = False) -> str:
    """A service with one bind mount."""
    return f"{{volumes: [{{type: bind, source: '{source}', target: /x, read_only: {str(read_only).lower()}}}]}}"


def test_a_bind_mount() -> None:
    """The entry of the list is known by its target; read-only or not, all files are all files."""
    assert found(bind("/")) == [("volumes", "/x", f"web mounts /: {FILES}")]
    assert found(bind("/", read_only=True)) == found(bind("/"))
    assert found(bind("/usr/share/zoneinfo", read_only=True)) == []


VOLUME = "{volumes: [{type: volume, source: data, target: /x}]}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{type: none, device: /, o: 'rw,bind'}", f"mounts /: {FILES}"),
        ("{type: none, device: /etc/.., o: rbind}", f"mounts /etc/..: {FILES}"),
        ("{type: none, device: //etc, o: rbind}", f"mounts //etc: {ETC}"),
        ("{type: none, device: /etc}", f"mounts /etc: {ETC}"),
        ("{type: bind, device: etc}", f"mounts etc: {ETC}"),
        ("{type: tmpfs, device: /etc, o: 'ro, bind'}", f"mounts /etc: {ETC}"),
        (
            "{type: overlay, device: overlay, o: 'lowerdir=/srv/app/a:/etc,upperdir=/srv/app/u'}",
            f"mounts /etc: {ETC}",
        ),
        (
            "{type: ext4, device: /dev/vda}",
            "mounts /dev/vda as a file system of the type ext4: it is a disk or a part of the kernel of this machine",
        ),
        (
            "{type: proc, device: proc}",
            "mounts proc as a file system of the type proc: it is a disk or a part of the kernel of this machine",
        ),
        (
            "{type: debugfs}",
            "mounts none as a file system of the type debugfs: it is a disk or a part of the kernel of this machine",
        ),
    ],
)
def test_a_named_volume_that_is_a_part_of_the_host(options: str, message: str) -> None:
    """Other ways to write a mount."""
    assert found(VOLUME, f"{{volumes: {{data: {{driver_opts: {options}}}}}}}") == [
        ("volumes", "/x", f"web {message}")
    ]


@pytest.mark.parametrize(
    "volume",
    [
        "null",
        "{driver_opts: {type: nfs, device: ':/', o: addr=1}}",
        "{driver_opts: {type: cifs, device: '//etc/share', o: username=x}}",
        "{driver_opts: {type: tmpfs, device: tmpfs}}",
        "{driver_opts: {type: none, device: /srv/app/data, o: bind}}",
        "{driver_opts: {type: overlay, device: overlay, o: 'lowerdir=/srv/app/a,upperdir=/srv/app/b'}}",
        "{name: x, external: true}",
    ],
)
def test_harmless_named_volumes(volume: str) -> None:
    """Network shares, memory, and folders of the project."""
    assert found(VOLUME, f"{{volumes: {{data: {volume}}}}}") == []


@pytest.mark.parametrize("kind", ["secrets", "configs"])
def test_files_of_secrets_and_configs(kind: str) -> None:
    """They are bind mounts too; the place is that of the file, and only services that use it are reported."""
    top = f"{{{kind}: {{all: {{file: /}}, key: {{file: /home/me/.ssh/id_rsa}}, mine: {{file: /srv/app/x}}}}}}"
    both = f"{{{kind}: [{{source: all}}, key, mine]}}"
    assert [(danger.path, danger.message) for danger in dangers(model(both, top), HOST)] == [
        ((kind, "all", "file"), f"web gets the {kind[:-1]} `all` from /: {FILES}"),
        ((kind, "key", "file"), f"web gets the {kind[:-1]} `key` from /home/me/.ssh/id_rsa: {KEYS}"),
    ]
    assert found("{image: a}", top) == []


def test_dangers_of_builds() -> None:
    """Contexts and secrets; these dangers apply to the build only."""
    top = "{secrets: {aws: {file: /home/me/.aws/credentials}}}"
    build = (
        "{build: {context: /home/me/.ssh, secrets: [{source: aws}],"
        " additional_contexts: {etc: /etc, oci: 'oci-layout:///root', img: 'docker-image://a'}}}"
    )
    assert [(".".join(danger.path), danger.message) for danger in dangers(model(build, top), HOST)] == [
        ("services.web.build.context", f"web is built with /home/me/.ssh: {KEYS}"),
        ("services.web.build.additional_contexts.etc", f"web is built with /etc: {ETC}"),
        ("services.web.build.additional_contexts.oci", "web is built with /root: it contains another user's files"),
        ("secrets.aws.file", f"web is built with the secret `aws` from /home/me/.aws/credentials: {KEYS}"),
    ]
    assert all(danger.of_build for danger in dangers(model(build, top), HOST))
    assert (
        found("{build: {context: 'https://example.org/x.git', additional_contexts: ['x=https://e.org/y.git']}}") == []
    )
    assert [danger.of_build for danger in dangers(model("{build: {ssh: [default]}, privileged: true}"), HOST)] == [
        False,
        True,
    ]


def test_watch_rules_that_copy_keys() -> None:
    """A rule that copies; the entry is its index. Paths that are only watched are not copied."""
    rules = "[{path: /srv/app, action: sync}, {path: /home/me/.ssh, action: ACTION, target: /x}]"
    service = f"{{develop: {{watch: {rules}}}}}"
    for action in ("sync", "sync+restart", "sync+exec"):
        assert found(service.replace("ACTION", action)) == [
            ("develop.watch", "1", f"web syncs /home/me/.ssh: {KEYS}"),
        ]
    assert found(service.replace("ACTION", "restart")) == []


def test_privileged_commands() -> None:
    """Commands of watch rules and of `x-devenv.hooks` in containers; no other command is a danger."""
    rule = "{path: /srv/app, action: sync+exec, target: /x, exec: {command: [mount, /dev/a b], privileged: true}}"
    plain = "{path: /srv/app, action: sync+exec, target: /x, exec: {command: [id]}}"
    hooks = {
        "after_healthy": [{"service": "web", "command": "id\nx", "privileged": "true"}, "id"],
        "before_down": "id",
    }
    value = model(f"{{develop: {{watch: [{plain}, {rule}]}}}}") | {"name": "app", "x-devenv": {"hooks": hooks}}
    project = parse(value, directory="/srv/app", files=())
    assert [(".".join(danger.path), danger.entry, danger.message) for danger in dangers(value, HOST, project)] == [
        ("services.web.develop.watch", "1", f"web runs `mount '/dev/a b'` as privileged: {ROOT}"),
        ("x-devenv.hooks.after_healthy", "", f"web runs `id x` as privileged: {ROOT}"),
    ]


@pytest.mark.parametrize(
    "service",
    [
        "{}",
        "{privileged: false, network_mode: bridge, pid: 'service:db', cap_add: [NET_ADMIN], devices: [], volumes: }",
        "{ipc: shareable, network_mode: 'service:db', uts: '', cgroup: private, volumes_from: [db, 'cache:ro']}",
        "{runtime: runc}",
        "{runtime: io.containerd.runc.v2}",
        "{runtime: nvidia}",
        "{runtime: kata-qemu}",
        "{cap_add: [NET_ADMIN, SYS_NICE, IPC_LOCK, NET_BIND_SERVICE, SYS_RESOURCE], cap_drop: [ALL]}",
        "{security_opt: ['no-new-privileges:true', seccomp=builtin, apparmor=docker-default, 'label:level:s0']}",
        "{ports: [{target: 80, published: '80', host_ip: 0.0.0.0}]}",
        "{extra_hosts: {host.docker.internal: host-gateway}, tmpfs: [/run], ulimits: {nofile: 9}, shm_size: 1g}",
        "{deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}, gpus: all}",
        "{build: {context: /srv/app, network: none, privileged: false, entitlements: [], ssh: []}}",
        bind("/srv/app/src"),
        bind("/tmp"),
        bind("/tmp/x"),
        bind("/etc/localtime", read_only=True),
        bind("/etc/timezone"),
        "{volumes: [{type: tmpfs, target: /run}]}",
        "{volumes: [{type: volume, target: /x}, {type: volume, source: data, target: /}]}",
        "{post_start: [{command: id, user: root}]}",
    ],
)
def test_ordinary_services_have_no_dangers(service: str) -> None:
    """Ordinary services have no dangers."""
    assert found(service, "{volumes: {data: null}}") == []


def test_a_link_is_followed() -> None:
    """The target of the link is mounted."""
    assert [use.source for use in uses(model(bind("/srv/app/link/etc")))] == ["/srv/app/link/etc"]
    kept = Host(("/home/me",), ("/srv/app",), {"/srv/app/link": HostPath("/srv/app/real", is_socket=False)})
    assert said(bind("/srv/app/link"), host=kept) == []
    led = Host(("/home/me",), ("/srv/app",), {"/srv/app/link/etc": HostPath("/etc", is_socket=False)})
    assert said(bind("/srv/app/link/etc"), host=led) == [f"mounts /srv/app/link/etc, a link to /etc: {ETC}"]
