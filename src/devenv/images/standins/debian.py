"""Root file systems from Debian's packages: mmdebstrap makes one, `docker import` names it."""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
from collections.abc import Callable
from urllib.parse import unquote

import anyio

from devenv.docker import cli, process
from devenv.errors import EngineError
from devenv.images.standins.recipes import Root
from devenv.paths import templates_folder

# apt on the host, with lists and a status that are not the host's, but with its proxies and logins.
APT_SETTINGS = """\
Dir "{shelf}";
Dir::Etc "{shelf}/etc";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
Dir::State "{shelf}";
Dir::State::status "{shelf}/status";
Dir::Cache "{shelf}/cache";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Debug::NoLocking "true";
Acquire::Languages "none";
Acquire::Check-Valid-Until "{check}";
#clear APT::Update;
#clear DPkg;
"""

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUSTING = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "npm_config_cafile", "PIP_CERT", "REQUESTS_CA_BUNDLE")

# The signatures of suites that move may have run out where an archive is served from a store.
MOVING = ("sid", "forky")
UNDATED = 'Acquire::Check-Valid-Until "false"'
# As in other images of Debian: no translations, no package archives kept, a dpkg that does not wait for the disk.
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
    if not missing:
        return
    tools = f"stand-ins are made with {' and '.join(missing)}"
    if shutil.which("apt-get"):
        hint = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
        raise EngineError(f"{tools}, not installed here", hint=hint)
    hint = "make them on Debian or Ubuntu (WSL2 and virtual machines are fine), or reach a registry"
    raise EngineError(f"{tools}, which this system does not have", hint=hint)


async def make(root: Root, image: str, *, folder: str, say: Callable[[str], None]) -> dict[str, str]:
    """Package versions of the root that is now the image `image`.

    `folder` is scratch space and holds `host-ca.crt`, the authorities to trust. Raises EngineError with
    apt's own words where the suite or a package cannot be had.
    """
    archive = os.path.join(folder, f"{root.suite}.tar")
    await _bootstrap(root, archive, await _mirrors(root.suite), folder, say)
    say("importing")
    await cli.import_archive(archive, image, [f"ENV {name}={BUNDLE}" for name in TRUSTING])
    os.unlink(archive)
    status = await anyio.Path(folder, "status").read_text(encoding="utf-8", errors="replace")
    return versions(status)


async def fetch(root: Root, status: str, shelf: str, target: str) -> dict[str, str]:
    """Versions of the packages of a root, those that its bare root lacks being files in the folder `target`.

    `status` is dpkg's of the bare root; `shelf` is what `stock` made for the suite. Raises EngineError with apt's
    own words where a package cannot be had.
    """
    found = versions(status)
    if not found.keys() >= set(root.packages):
        await _apt(shelf, f"-oDir::Cache::archives={target}", "--yes", "--download-only", "install", *root.packages)
        for name in glob.glob("*.deb", root_dir=target):
            package, version, _ = unquote(name).split("_")
            found[package] = _upstream(version)
    return found


async def stock(suite: str, status: str, sources: str, shelf: str) -> None:
    """The folder `shelf` has apt's lists of the suite, from this host's archive, else from that in `sources`."""
    lines = "\n".join(await _mirrors(suite)) or sources
    for folder in ("etc/preferences.d", "lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(shelf, folder))
    settings = {
        "etc/sources.list": re.sub(r"^deb (\[.*?\] )?", f"deb [signed-by={keyring()}] ", lines, flags=re.MULTILINE),
        "status": status,
        "apt.conf": APT_SETTINGS.format(shelf=shelf, check="false" if suite in MOVING else "true"),
    }
    for name, text in settings.items():
        await anyio.Path(shelf, name).write_text(text + "\n", encoding="utf-8")
    await _apt(shelf, "--error-on=any", "update")


async def _apt(shelf: str, *arguments: str) -> None:
    done = await process.run(["apt-get", "-qq", "-c", os.path.join(shelf, "apt.conf"), *arguments])
    if done.returncode:
        errors = re.findall(r"^E: (.*)$", done.error_text, re.MULTILINE)
        raise EngineError(errors[0][:200] if errors else "apt-get failed without a word")


def keyring() -> str:
    """The path of the keys that Debian's suites are signed with. Raises EngineError where they are missing."""
    found = sorted(glob.glob("/usr/share/keyrings/debian-archive-keyring.*"))
    if not found:
        hint = "apt-get install -y debian-archive-keyring"
        raise EngineError("stand-ins are made of Debian's packages, whose keys are not installed here", hint=hint)
    return found[0]


def trust_script() -> str:
    """The path of the script that makes a root trust the host's authorities."""
    return os.path.join(templates_folder(), "images", "trust-host.sh")


async def _bootstrap(root: Root, archive: str, mirrors: list[str], folder: str, say: Callable[[str], None]) -> None:
    script = trust_script()
    bundle = os.path.join(folder, "host-ca.crt")
    hooks = (
        f"copy-in {shlex.quote(script)} {shlex.quote(bundle)} /tmp",
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

    done = await process.run(
        [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(root.packages)}",
            *(f"--aptopt={option}" for option in apt),
            *(f"--dpkgopt={option}" for option in DPKG),
            *(f"--customize-hook={hook}" for hook in hooks),
            root.suite,
            archive,
            *mirrors,
        ],
        on_error_line=take,
    )
    if done.returncode:
        # the first is apt's; mmdebstrap's own come after it and only say that apt failed
        raise EngineError(errors[0][:200] if errors else "mmdebstrap failed without a word")


def versions(status: str) -> dict[str, str]:
    """Package -> upstream version (no epoch, no Debian revision), from the text of dpkg's status file."""
    found = {}
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version): (\S+)$", paragraph, re.MULTILINE))
        if len(fields) == 2:  # noqa: PLR2004 - a name and a version
            found[fields["Package"]] = _upstream(fields["Version"])
    return found


def _upstream(version: str) -> str:
    return re.sub(r"^\d+:|[-+~].*$", "", version)


async def _mirrors(suite: str) -> list[str]:
    """Lines for mmdebstrap, from the archive that this host's own apt uses; none where it is not Debian's.

    Without one, mmdebstrap takes Debian's own address.
    """
    if shutil.which("apt-get") is None:
        return []
    shown = "$(ORIGIN) $(RELEASE) $(REPO_URI)"
    done = await process.run(["apt-get", "indextargets", "--format", shown, "Created-By: Packages"])
    return mirror_lines(suite, done.text.splitlines())


def mirror_lines(suite: str, targets: list[str]) -> list[str]:
    """`deb` lines for a suite, given apt's targets as `origin release address`; empty: no usable address.

    An address with a login is none: it would stay in the image.
    """
    addresses: dict[str, str] = {}
    for target in targets:
        if found := re.match(r"Debian [^- ]+(?:-(\S+))? (https?://[^@]+)$", target):
            addresses.setdefault(found[1] or "", found[2])
    if "" not in addresses:
        return []
    main = addresses[""]
    if suite == "sid":
        return [f"deb {main} sid main"]
    security = [f"deb {addresses['security']} {suite}-security main"] if "security" in addresses else []
    return [f"deb {main} {suite} main", f"deb {main} {suite}-updates main", *security]
