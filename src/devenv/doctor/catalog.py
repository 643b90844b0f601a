"""The text and hint of each finding of the doctor; the page `troubleshooting` is generated from them. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from devenv.model.finding import Finding

ERROR, WARNING, INFO = SEVERITIES = "error", "warning", "info"
AREAS = ("tools", "engine", "registries", "proxies", "builder", "machine", "project")
TOOLS, ENGINE, REGISTRIES, PROXIES, BUILDER, MACHINE, PROJECT = AREAS
INSTALL = "Debian: apt install docker.io docker-cli docker-compose docker-buildx. Elsewhere: Docker Desktop or Engine"
_URL = re.compile(r"//\S*@")
_FIELD = re.compile(r"\{(\w+)\}")


class Kind(NamedTuple):
    """A finding with `{names}` in place of its values. `why` is only for the page."""

    area: str
    severity: str
    message: str
    hint: str
    why: str


KINDS = {
    "cli-missing": Kind(TOOLS, ERROR, "the command `docker` is not on PATH: no project can run", INSTALL,
        "devenv starts `docker compose` for reading, building and starting a project."),
    "compose-missing": Kind(TOOLS, ERROR, "`docker compose` is not installed: no project can be read", INSTALL,
        "It is a plugin of the docker command; the old `docker-compose` with a hyphen is another program."),
    "buildx-missing": Kind(TOOLS, ERROR, "Buildx is not installed, and {services} need a build", INSTALL,
        "Compose builds images with the plugin Buildx."),
    "buildx-old": Kind(TOOLS, WARNING,
        "Buildx {version} is older than 0.17: Compose {compose} does not build with it",
        "update Buildx: apt install docker-buildx", "Compose from 2.37 on needs Buildx 0.17."),
    "other-devenv": Kind(TOOLS, WARNING, "`devenv` on PATH is another program: {path}", "devenv-compose up",
        "Several tools have this name. `devenv-compose` is always this one."),
    "engine-address": Kind(ENGINE, ERROR, "{said}", "{hint}",
        "DOCKER_HOST decides which engine is asked; without it DOCKER_CONTEXT, then the current context."),
    "engine-missing": Kind(ENGINE, ERROR, "cannot reach the Docker engine at {host}{by}: it does not exist", "{hint}",
        "No engine was started since the machine started, or none is installed. Docker Desktop, OrbStack and Colima"
        " create the socket when they start."),
    "engine-stopped": Kind(ENGINE, ERROR,
        "cannot reach the Docker engine at {host}{by}: the socket exists, but nothing answers", "{hint}",
        "The engine has stopped and left its socket behind."),
    "engine-forbidden": Kind(ENGINE, ERROR,
        "cannot reach the Docker engine at {host}: permission denied on the socket",
        "sudo usermod -aG docker $USER   (then log in again)",
        "Access to the engine is root access to this machine, so devenv does not add you to the group by itself."),
    "engine-silent": Kind(ENGINE, ERROR, "the Docker engine at {host} accepts connections but does not answer",
        "{hint}", "It hangs, it still starts, or something else listens there. The engine's log says more."),
    "engine-unreachable": Kind(ENGINE, ERROR, "cannot reach the Docker engine at {host}{by}{why}", "{hint}",
        "The machine behind a context or DOCKER_HOST is off, or the way to it (ssh, VPN) is."),
    "engine-unusable": Kind(ENGINE, ERROR, "{said}", "{hint}",
        "The engine is older than API 1.41 (20.10), or something else answers."),
    "engine-elsewhere": Kind(ENGINE, WARNING, "{name} answers at {address}, which the docker command does not use",
        "export DOCKER_HOST={address}   (or: docker context use ...)",
        "More than one engine is installed, and the running engine is not the selected one."),
    "engine-kind": Kind(ENGINE, INFO, "{said}", "{hint}",
        "Docker Desktop takes its proxies from its settings, not from daemon.json. Colima mounts only the home"
        " folder: other bind mounts are empty. A rootless engine needs cgroup v2 for limits. podman has no"
        " BuildKit."),
    "registry-silent": Kind(REGISTRIES, ERROR,
        "{host} answers neither the engine ({cause}) nor this machine ({client}): {need}", "{hint}",
        "The network, a name server or a firewall is in the way. A mirror, an archive or stand-ins work without it."),
    "registry-engine": Kind(REGISTRIES, ERROR, "{host} answers this machine and not the engine ({cause}): {need}",
        "{hint}",
        "The engine does not use the proxies of your shell. It has settings of its own: `proxies` in daemon.json, the"
        " service's environment, or Docker Desktop's settings."),
    "registry-client": Kind(REGISTRIES, WARNING,
        "{token} answers the engine and not this machine ({cause}): `docker pull` works, and `docker build` fails"
        ' with "failed to fetch oauth token", because the docker command fetches that token itself, without the'
        " engine's proxy. devenv has the engine fetch it", "{hint}",
        "The engine does all of a pull. For a build, the docker command asks for the token, through the"
        " proxy of its own environment (HTTPS_PROXY) alone. `BUILDKIT_NO_CLIENT_TOKEN=1` lets the engine do it."),
    "image-refused": Kind(REGISTRIES, ERROR, "{reference} ({users}): {cause}", "{hint}",
        "The registry answered, but refused the image."),
    "tls-intercepted": Kind(REGISTRIES, INFO,
        "TLS to {host} is opened on the way by {issuer}: images and builds do not trust it",
        "devenv up --host-settings", "A company's proxy decrypts the traffic. Images and builds need its CA, too."),
    "mirror-dead": Kind(REGISTRIES, WARNING, "the mirror {mirror} ({whose}) does not answer: {cause}", "{hint}",
        "Every pull waits for it first."),
    "helper-missing": Kind(REGISTRIES, WARNING,
        "{program}, which {path} names, is not on PATH: `docker pull` and `docker build` fail",
        "install {program}, or: devenv doctor --fix", "Docker Desktop and cloud tools leave such an entry behind."),
    "helper-failed": Kind(REGISTRIES, WARNING, "{said}", "{hint}",
        "The helper's credentials cannot be read: images are requested without them."),
    "docker-config": Kind(REGISTRIES, ERROR, "{said}", "{hint}",
        "The docker command keeps logins and proxies there."),
    "proxy-invalid": Kind(PROXIES, ERROR, "{said}", "{hint}", "Each program reads such a value in its own way."),
    "proxy-dead": Kind(PROXIES, ERROR, "the proxy {proxy} of your environment does not answer",
        "unset HTTP_PROXY HTTPS_PROXY", "No program that follows these variables reaches the network."),
    "proxy-loopback": Kind(PROXIES, WARNING,
        "NO_PROXY does not name this machine: some programs use the proxy for your own services",
        'export NO_PROXY="$NO_PROXY,localhost,127.0.0.1"',
        "Some programs exclude loopback by themselves, others do not."),
    "proxy-inside": Kind(PROXIES, WARNING,
        "the proxies in {path} do not exclude localhost: health checks in containers use them",
        "devenv doctor --fix", "The docker command sets `proxies` of its config.json in every container and build."),
    "proxy-local": Kind(PROXIES, WARNING,
        "{path} gives containers the proxy {proxy}, and 127.0.0.1 is the container itself there",
        "name this machine as containers see it: {gateway}", "The docker command passes the value on unchanged."),
    "builder-foreign": Kind(BUILDER, WARNING,
        "the builder {name} ({driver}) does not see the engine's images: it asks registries itself",
        "BUILDX_BUILDER=default devenv up", "It is a container or a machine of its own, with its own network."),
    "builder-gone": Kind(BUILDER, ERROR, "the selected builder {name} does not exist: every build fails", "{hint}",
        "It was removed, or made for another user or engine."),
    "disk-full": Kind(MACHINE, ERROR, "{what} ({path}) has {free} left: {meaning}", "{hint}",
        "An error below 200 MB or without inodes, a warning below 2 GB or with few inodes."),
    "port-taken": Kind(MACHINE, ERROR, "port {port} on {ips} (service {service}) is taken by {owner}",
        "devenv up --port {service}:{free}={target}",
        "Two programs cannot listen on one address; IPv4 and IPv6 count separately."),
    "inotify-watches": Kind(MACHINE, WARNING,
        "the sources have {folders} folders, and inotify allows {watches} watches: devenv polls",
        "sudo sysctl fs.inotify.max_user_watches=524288   (for good: devenv doctor --fix)",
        "Editors and dev servers share this limit with devenv."),
    "inotify-instances": Kind(MACHINE, WARNING,
        "inotify allows {instances} instances: dev servers in containers use them up",
        "sudo sysctl fs.inotify.max_user_instances=1024   (for good: devenv doctor --fix)",
        "The limit is for all programs of one user, including those in containers."),
    "no-events": Kind(MACHINE, INFO,
        "the sources are on {kind}, which reports no file events: devenv polls every second",
        "keep them on a disk of this system (in WSL2: below ~)", "Shared and network file systems have no events."),
    "mtu": Kind(MACHINE, WARNING,
        "packets of the network {network} ({mtu} bytes) are larger than {interface} lets through ({host}): downloads"
        " in containers may hang",
        'networks: {{{network}: {{driver_opts: {{com.docker.network.driver.mtu: "{host}"}}}}}}',
        "VPNs and clouds have smaller packets. Small answers arrive, large ones do not."),
    "dns-local": Kind(MACHINE, WARNING,
        "this machine's only name servers are its own ({servers}): containers ask 8.8.8.8 instead",
        'in daemon.json: "dns": ["ADDRESS"]', "In a container, a loopback address is the container itself."),
    "dns-inside": Kind(MACHINE, ERROR, "containers do not resolve {name}, this machine does",
        'in daemon.json: "dns": ["ADDRESS"]',
        "The containers' network does not reach the name server of this machine."),
    "project-wrong": Kind(PROJECT, ERROR, "{said}", "{hint}", "Every other command reports the same."),
    "platform-missing": Kind(PROJECT, ERROR, "{reference} is for {platform}, and this engine runs {own} only",
        "{hint}", "Programs of another processor need an emulator: apt install qemu-user-static binfmt-support."),
    "platform-emulated": Kind(PROJECT, INFO,
        "{reference} is for {platform} and runs emulated on {own}: several times slower",
        "remove `platform:` if there is an image for {own}", "The emulator translates every instruction."),
    "crlf": Kind(PROJECT, WARNING,
        "{files}: the first line ends as Windows ends lines, so it will not start in a container",
        "sed -i 's/\\r$//' {first}   (for good: `*.sh text eol=lf` in .gitattributes)",
        'The kernel looks for a program with that character in its name: "no such file or directory".'),
    "unchecked": Kind(MACHINE, WARNING, "the check of {area} did not finish in time", "devenv doctor",
        "A check that hangs is abandoned after a few seconds."),
}  # fmt: skip


def finding(code: str, severity: str | None = None, **values: object) -> Finding:
    """The finding of that code; `severity` replaces the table's. The user in an address is hidden."""
    kind = KINDS[code]
    message, hint = (_URL.sub("//***@", text.format(**values)) for text in (kind.message, kind.hint))
    return Finding(code, severity or kind.severity, kind.area, message, hint if hint not in ("", "None") else None)


def page() -> str:
    """The page `troubleshooting` of the documentation."""
    made = "<!-- Made of doctor/catalog.py by scripts/write-pages. -->"
    others = "Other errors, by their text: [causes](reference/causes.md)."
    parts = [f"# What `devenv doctor` finds\n\n{made}\n\n{others}\n"]
    for area in AREAS:
        parts.append(f"\n## {area.capitalize()}\n")
        parts += (_row(code, kind) for code, kind in KINDS.items() if kind.area == area)
    return "".join(parts)


def _row(code: str, kind: Kind) -> str:
    """A finding on the page, without the message if that is another error's."""
    message = "" if kind.message == "{said}" else f"{kind.severity}: {_named(kind.message)}  \n"
    hint = "" if kind.hint == "{hint}" else f"hint: {_named(kind.hint)}  \n"
    return f'\n### <a id="{code}"></a>{code}\n\n{message}{hint}{kind.why}\n'


def _named(text: str) -> str:
    fields = {name: f"‹{name}›" for name in _FIELD.findall(text)}
    return text.format(**fields)
