"""The table of settings in the resolved model that reach beyond the project's own containers. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from devenv.compose.safety.paths import Host, reach
from devenv.compose.safety.uses import Model, Use, uses
from devenv.model.project import Hook, Project

_CAPABILITIES = {
    "ALL": "every capability",
    "SYS_ADMIN": "the capability SYS_ADMIN, which is nearly all of them",
    "SYS_MODULE": "the capability SYS_MODULE: it can load code into the kernel",
    "SYS_RAWIO": "the capability SYS_RAWIO: it can read and write the memory and the disks of this machine",
    "SYS_PTRACE": "the capability SYS_PTRACE: it can read and change every process that it sees",
    "SYS_BOOT": "the capability SYS_BOOT: it can start another kernel",
    "SYS_TIME": "the capability SYS_TIME: it can set the clock of this machine",
    "SYSLOG": "the capability SYSLOG: it can read the kernel's log and addresses",
    "DAC_READ_SEARCH": "the capability DAC_READ_SEARCH: it can open every file of this machine",
    "BPF": "the capability BPF: it can run programs in the kernel",
    "PERFMON": "the capability PERFMON: it can observe the kernel and all processes",
    "MAC_ADMIN": "the capability MAC_ADMIN: it can change the rules that confine containers",
    "MAC_OVERRIDE": "the capability MAC_OVERRIDE: the rules that confine containers do not hold for it",
}
_RUNTIMES = r"runc|crun|youki|runsc|kata(-\w+)*|nvidia|sysbox-runc|io\.containerd\.(runc|runsc|kata|crun)\.v\d"
_OTHERS = ", a container outside the project"


class Row(NamedTuple):
    """A key of a service (dotted below `build`), its dangerous values, and the message; `{}` is the value."""

    key: str
    value: str
    says: str


ROWS = (
    Row("privileged", "true", "is privileged: it can do on this machine whatever root can"),
    Row("network_mode", "host", "shares the network of the host (`network_mode: host`)"),
    Row("network_mode", "container:.+", "shares the network of `{}`" + _OTHERS),
    Row("pid", "host", "shares the processes of the host (`pid: host`)"),
    Row("pid", "container:.+", "shares the processes of `{}`" + _OTHERS),
    Row("ipc", "host", "shares the shared memory of the host (`ipc: host`)"),
    Row("ipc", "container:.+", "shares the shared memory of `{}`" + _OTHERS),
    Row("userns_mode", "host", "shares the users, root among them, of the host (`userns_mode: host`)"),
    Row("uts", "host", "shares the host name of the host (`uts: host`)"),
    Row("cgroup", "host", "shares the control groups of the host (`cgroup: host`)"),
    Row("cgroup_parent", ".+", "is put into the control group `{}` of the host"),
    Row("volumes_from", "container:.+", "mounts the volumes of `{}`" + _OTHERS),
    *(Row("cap_add", f"(?i:(CAP_)?{name})", f"has {can}") for name, can in _CAPABILITIES.items()),
    Row("security_opt", "seccomp[:=]unconfined", "may make every system call (`{}`)"),
    Row("security_opt", "seccomp[:=](?!unconfined|builtin).+", "has its own rules for system calls (`{}`)"),
    Row("security_opt", "apparmor[:=]unconfined", "is not confined by AppArmor (`{}`)"),
    Row("security_opt", "label([:=]disable|[:=]type[:=]spc_t)", "is not confined by SELinux (`{}`)"),
    Row("security_opt", "systempaths[:=]unconfined", "can change the kernel's settings in /proc and /sys (`{}`)"),
    Row("security_opt", "writable-cgroups([:=]true)?", "can change its own control groups (`{}`)"),
    Row("devices", ".+", "uses the device {}"),
    Row("device_cgroup_rules", ".+", "may use devices of the host (`{}`)"),
    Row("runtime", f"(?!({_RUNTIMES})$).+", "is run by `{}`, a runtime that devenv does not know"),
    Row("use_api_socket", "true", "controls the engine, with your registry credentials (`use_api_socket: true`)"),
    Row("provider", ".+", "runs the program `{}` on this machine (`provider`)"),
    Row("build.privileged", "true", "is built as privileged: its build can do on this machine whatever root can"),
    Row("build.network", "host", "is built in the network of the host (`network: host`)"),
    Row("build.entitlements", r"security\.insecure|network\.host|device.*", "is built with the entitlement `{}`"),
    Row("build.ssh", ".+", "is built with your SSH keys (`ssh: {}`)"),
)
_KEYS = tuple(dict.fromkeys(row.key for row in ROWS))


@dataclass(frozen=True, slots=True)
class Danger:
    """A dangerous setting of a service, at `path` of the model, in the entry of a list that has the text `entry`.

    For `develop.watch`, `entry` is the index of the rule. `service` is empty if the setting is of the whole project.
    `of_build`: it applies only during the build of the service.
    """

    service: str
    message: str
    path: tuple[str, ...]
    entry: str = ""
    where: str = ""
    of_build: bool = False


def dangers(
    model: Model, host: Host, project: Project | None = None, files: Iterable[Use] = ()
) -> tuple[Danger, ...]:
    """Every setting by which a container could harm this machine, read keys, or control other containers.

    `project`: the parsed model, for its commands. `files`: paths that the resolved model does not contain.
    """
    return (
        *(
            Danger(
                name,
                f"{name} {message}",
                ("services", name, *key.split(".")),
                entry,
                of_build=key.startswith("build."),
            )
            for name, service in (model.get("services") or {}).items()
            for key, entry, message in (*_keys(service), *_networks(service, model), *_compose_hooks(service))
        ),
        *(danger for use in (*uses(model), *files) if (danger := _reached(use, host))),
        *(() if project is None else _commands(project)),
    )


def _keys(service: Model) -> Iterator[tuple[str, str, str]]:
    values = {key: tuple(_values(service, key)) for key in _KEYS}
    for row in ROWS:
        for entry, text in values[row.key]:
            if re.fullmatch(row.value, text, re.DOTALL):
                yield row.key, entry, row.says.replace("{}", text)


def _values(service: Model, key: str) -> Iterator[tuple[str, str]]:
    """The values of the key as text, each after the text by which its entry of a list is found."""
    value: object = service
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    listed = isinstance(value, list)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            text = str(item.get("source") or item.get("type") or "")
        elif key == "devices" and str(item).startswith("/"):
            text = str(item).partition(":")[0]
        else:
            text = "" if item is None else str(item).lower() if isinstance(item, bool) else str(item)
        if text:
            yield text if listed else "", text


def _networks(service: Model, model: Model) -> Iterator[tuple[str, str, str]]:
    for key in service.get("networks") or ():
        if ((model.get("networks") or {}).get(key) or {}).get("name") == "host":
            yield "networks", str(key), f"shares the network of the host (the network `{key}` is `host`)"


def _compose_hooks(service: Model) -> Iterator[tuple[str, str, str]]:
    for key in ("post_start", "pre_stop"):
        for hook in service.get(key) or ():
            if isinstance(hook, dict) and hook.get("privileged") is True:
                yield key, "", f"runs a command of `{key}` as privileged: it can do on this machine whatever root can"


def _reached(use: Use, host: Host) -> Danger | None:
    text = use.always or (f"{use.verb} {why}" if (why := reach(use.source, host, writes=use.writes)) else "")
    message = f"{use.service} {text}" if use.service else text
    return Danger(use.service, message, use.path, use.entry, use.where, use.of_build) if text else None


def _commands(project: Project) -> Iterator[Danger]:
    for service in project.services:
        for index, rule in enumerate(service.watch):
            if rule.exec is not None and rule.exec.privileged:
                path: tuple[str, ...] = ("services", service.name, "develop", "watch")
                yield Danger(service.name, _privileged(service.name, rule.exec), path, str(index))
    for hook in project.hooks:
        if hook.service is not None and hook.hook.privileged:
            path = ("x-devenv", "hooks", hook.moment)
            yield Danger(hook.service, _privileged(hook.service, hook.hook), path, where=hook.where)


def _privileged(service: str, hook: Hook) -> str:
    command, more, _ = shlex.join(hook.command).partition("\n")
    can = "it can do on this machine whatever root can"
    return f"{service} runs `{command}{' …' if more else ''}` as privileged: {can}"
