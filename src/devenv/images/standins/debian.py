"""Build root file systems from Debian's packages with mmdebstrap, and import them with `docker import`."""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
from collections.abc import Callable
from urllib.parse import unquote

import anyio

from devenv import package_text, templates_folder
from devenv.docker import cli, process
from devenv.errors import EngineError
from devenv.images.standins.recipes import Root

APT_SETTINGS = package_text("images/standins/apt.conf") + "#clear APT::Update;\n#clear DPkg;\n"
PACKAGES = {"pip3": "python3-pip"}  # of programs whose package has another name
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUSTING = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "npm_config_cafile", "PIP_CERT", "REQUESTS_CA_BUNDLE")

# Signatures of moving suites may have expired if the archive is a snapshot.
MOVING = ("sid", "forky")
UNDATED = 'Acquire::Check-Valid-Until "false"'
# As in Debian's public images: no translations, no stored package archives, and dpkg does not sync the disk.
NO_TRANSLATIONS = 'Acquire::Languages "none"'
NO_ARCHIVES = 'Binary::apt-get::APT::Keep-Downloaded-Packages "false";'
DPKG = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*/LC_MESSAGES/*",
)


def require_tools(*names: str) -> None:
    """Raise EngineError, with the command that installs them, unless all programs are on this host."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        packages = (PACKAGES.get(name, name) for name in missing)
        state, hint = "not installed here", f"apt-get install -y --no-install-recommends {' '.join(packages)}"
        if shutil.which("apt-get") is None:
            state = "which this system does not have"
            hint = "make them on Debian or Ubuntu (WSL2 and virtual machines are fine), or reach a registry"
        raise EngineError(f"stand-ins are made with {' and '.join(missing)}, {state}", hint=hint)


async def make(root: Root, image: str, *, folder: str, say: Callable[[str], None]) -> dict[str, str]:
    """Build the root, import it as `image`, and return its package versions.

    `folder` is scratch space and contains `host-ca.crt`, the CAs to trust. Raises EngineError with apt's message if
    the suite or a package is not available.
    """
    archive = os.path.join(folder, f"{root.suite}.tar")
    await _bootstrap(root, archive, await _mirrors(root.suite), folder, say)
    say("importing")
    await cli.import_archive(archive, image, [f"ENV {name}={BUNDLE}" for name in TRUSTING])
    os.unlink(archive)
    status = await anyio.Path(folder, "status").read_text(encoding="utf-8", errors="replace")
    return versions(status)


async def fetch(root: Root, status: str, apt_folder: str, target: str) -> dict[str, str]:
    """Download the packages that the minimal root lacks to the folder `target`, and return all package versions.

    `status` is the minimal root's dpkg status; `apt_folder` is that of `fetch_lists`. Raises EngineError with apt's
    message if a package is not available.
    """
    known = versions(status)
    if not known.keys() >= set(root.packages):
        options = (f"-oDir::Cache::archives={target}", "--yes", "--download-only")
        await _apt(apt_folder, *options, "install", *root.packages)
        for name in glob.glob("*.deb", root_dir=target):
            package, version, _ = unquote(name).split("_")
            known[package] = _upstream(version)
    return known


async def fetch_lists(suite: str, status: str, sources: str, apt_folder: str) -> None:
    """Fetch apt's lists of the suite into `apt_folder`, from this host's archive, or else from `sources`."""
    lines = "\n".join(await _mirrors(suite)) or sources
    for folder in ("etc/preferences.d", "lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(apt_folder, folder))
    lines = re.sub(r"^deb (\[.*?\] )?", f"deb [signed-by={keyring()}] ", lines, flags=re.MULTILINE)
    settings = APT_SETTINGS.format(apt_folder=apt_folder, check="false" if suite in MOVING else "true")
    for name, text in {"etc/sources.list": lines, "status": status, "apt.conf": settings}.items():
        await anyio.Path(apt_folder, name).write_text(text + "\n", encoding="utf-8")
    await _apt(apt_folder, "--error-on=any", "update")


async def _apt(apt_folder: str, *arguments: str) -> None:
    finished = await process.run(["apt-get", "-qq", "-c", os.path.join(apt_folder, "apt.conf"), *arguments])
    if finished.returncode:
        errors = re.findall(r"^E: (.*)$", finished.error_text, re.MULTILINE)
        raise EngineError(errors[0][:200] if errors else "apt-get failed without a message")


def keyring() -> str:
    """The path of the keys that sign Debian's suites. Raises EngineError if they are missing."""
    keyrings = sorted(glob.glob("/usr/share/keyrings/debian-archive-keyring.*"))
    if not keyrings:
        hint = "apt-get install -y debian-archive-keyring"
        raise EngineError("stand-ins are made of Debian's packages, whose keys are not installed here", hint=hint)
    return keyrings[0]


def trust_script() -> str:
    """The path of the script that makes a root trust the host's CAs."""
    return os.path.join(templates_folder(), "images", "trust-host.sh")


async def _bootstrap(root: Root, archive: str, mirrors: list[str], folder: str, say: Callable[[str], None]) -> None:
    bundle = os.path.join(folder, "host-ca.crt")
    hooks = (
        f"copy-in {shlex.quote(trust_script())} {shlex.quote(bundle)} /tmp",
        'chroot "$1" sh /tmp/trust-host.sh /tmp/host-ca.crt >/dev/null',
        'rm "$1/tmp/trust-host.sh" "$1/tmp/host-ca.crt"',
        f'echo {shlex.quote(NO_ARCHIVES)} >"$1/etc/apt/apt.conf.d/99no-archives"',
        f"copy-out /var/lib/dpkg/status {shlex.quote(folder)}",
    )
    apt = (NO_TRANSLATIONS, UNDATED) if root.suite in MOVING else (NO_TRANSLATIONS,)
    errors: list[str] = []

    def take(line: str) -> None:
        kind, _, text = line.partition(": ")
        if kind == "E":
            errors.append(text)
        elif kind == "I" and text.startswith(("downloading", "extracting", "installing", "creating")):
            say(text.rstrip("."))

    options = (
        "--variant=minbase",
        f"--include={','.join(root.packages)}",
        *(f"--aptopt={option}" for option in apt),
        *(f"--dpkgopt={option}" for option in DPKG),
        *(f"--customize-hook={hook}" for hook in hooks),
    )
    finished = await process.run(["mmdebstrap", *options, root.suite, archive, *mirrors], on_error_line=take)
    if finished.returncode:  # the first line is apt's; mmdebstrap's own lines only repeat that apt failed
        raise EngineError(errors[0][:200] if errors else "mmdebstrap failed without a message")


def versions(status: str) -> dict[str, str]:
    """Package -> upstream version (no epoch, no Debian revision), from the text of dpkg's status file."""
    paragraphs = (dict(re.findall(r"^(Package|Version): (\S+)$", p, re.MULTILINE)) for p in status.split("\n\n"))
    return {fields["Package"]: _upstream(fields["Version"]) for fields in paragraphs if len(fields) == 2}  # noqa: PLR2004


def _upstream(version: str) -> str:
    return re.sub(r"^\d+:|[-+~].*$", "", version)


async def _mirrors(suite: str) -> list[str]:
    """Source lines of the archive that this host's apt uses; none if it is not Debian's."""
    if shutil.which("apt-get") is None:
        return []
    shown = "$(ORIGIN) $(RELEASE) $(REPO_URI)"
    finished = await process.run(["apt-get", "indextargets", "--format", shown, "Created-By: Packages"])
    return mirror_lines(suite, finished.text.splitlines())


def mirror_lines(suite: str, targets: list[str]) -> list[str]:
    """`deb` lines for a suite from apt's targets (`origin release address`); empty without a usable address.

    An address with a login is not usable: it would stay in the image.
    """
    addresses: dict[str, str] = {}
    for target in targets:
        if match := re.match(r"Debian [^- ]+(?:-(\S+))? (https?://[^@]+)$", target):
            addresses.setdefault(match[1] or "", match[2])
    main, security = addresses.get(""), addresses.get("security")
    if main is None or suite == "sid":
        return [f"deb {main} sid main"] if main else []
    lines = [f"deb {main} {suite} main", f"deb {main} {suite}-updates main"]
    return [*lines, f"deb {security} {suite}-security main"] if security else lines
