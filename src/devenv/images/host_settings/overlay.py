"""The files of an image to change so that it has the host's settings: its own files, with lines added."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping

from devenv.host.package_managers import PackageSettings

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"  # as in Debian and Alpine; created in an image without a bundle
OTHER_BUNDLES = ("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/pki/tls/certs/ca-bundle.crt")
ANCHORS = "/usr/local/share/ca-certificates"  # update-ca-certificates adds the files in it
RED_HAT_ANCHORS = "/etc/pki/ca-trust/source/anchors"
OPENSSL = "/usr/lib/ssl"
NPMRC = ("/usr/local/etc/npmrc", "/etc/npmrc", "/usr/etc/npmrc")
PIP_CONF = "/etc/pip.conf"
UV_TOML = "/etc/uv/uv.toml"
GO_ENV = "/usr/local/go/go.env"
APT = ("/etc/apt/sources.list", "/etc/apt/sources.list.d")
RELEASE = "/usr/lib/os-release"
READ = (CA_BUNDLE, *OTHER_BUNDLES, OPENSSL, *NPMRC, PIP_CONF, UV_TOML, GO_ENV, *APT, RELEASE)
VARIABLES = (
    "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO",
    "npm_config_cafile",
)  # fmt: skip
_OWN_SOURCES = re.compile(r"/etc/apt/(?:sources\.list|sources\.list\.d/(?:debian|ubuntu)\.sources)")
_LINE = re.compile(r"(?m)^(deb(?:-src)?\s+(?:\[[^\]\n]*\]\s+)?)https?://\S+(?=\s+(\S+))")

Files = Mapping[str, bytes | None]  # None: not a regular file


def changed_files(settings: PackageSettings, image: Files) -> dict[str, bytes]:
    """Path -> content of the files to put into the image; `image` has the image's own files at `READ`."""
    changes: dict[str, bytes] = {}

    def merge(path: str, added: Callable[[str], str]) -> None:
        """Change the file, unless it is not a regular file, which is on purpose."""
        old = image.get(path, b"")
        if old is not None and (new := added(old.decode(errors="surrogateescape")).encode(errors="surrogateescape")):
            changes[path] = new

    if settings.authorities:
        changes |= _authorities(settings, image)
    trust = {"cafile": CA_BUNDLE} if settings.authorities else {}
    if settings.npm or trust:
        for path in NPMRC:
            merge(path, lambda text: with_keys(text, {**settings.npm, **trust}))
    pip = {**settings.pip, **({"cert": CA_BUNDLE} if trust else {})}
    if pip:
        merge(PIP_CONF, lambda text: with_keys(text, pip, section="global"))
    index = settings.pip.get("index-url")
    # uv ignores pip's files, and the system's certificates by default.
    uv = ("native-tls = true\n" if trust else "") + (f"index-url = {json.dumps(index)}\n" if index else "")
    if uv and UV_TOML not in image:
        changes[UV_TOML] = uv.encode()
    if settings.go and image.get(GO_ENV):
        merge(GO_ENV, lambda text: with_keys(text, settings.go, replace=True))
    archives = _archives(settings, image)
    for path in filter(_OWN_SOURCES.fullmatch, image):
        merge(path, lambda text: with_archives(text, archives))
    return changes


def _archives(settings: PackageSettings, image: Files) -> dict[str, str]:
    """The archives of the image's own distribution: "" and "-security", empty for no change."""
    match = re.search(rb'^ID="?(\w+)', image.get(RELEASE) or b"", re.MULTILINE)
    name = match[1].decode() if match else ""
    return {kind: settings.apt.get(f"{name}{kind}", "") for kind in ("", "-security")}


def with_archives(text: str, archives: Mapping[str, str]) -> str:
    """Sources of apt, in either format, with these archives ("" and "-security"); empty if nothing changes."""

    def of(suites: str) -> str:
        return archives["-security" if "-security" in suites else ""]

    def stanza(match: re.Match[str]) -> str:
        suites = re.search(r"(?m)^Suites:(.*)$", match[0])
        uri = of(suites[1]) if suites else ""
        return re.sub(r"(?m)^URIs:\s*https?://.*$", f"URIs: {uri}/", match[0]) if uri else match[0]

    new = re.sub(r"(?s).+?(?:\n\s*\n|\Z)", stanza, text)
    new = _LINE.sub(lambda line: f"{line[1]}{of(line[2])}/" if of(line[2]) else line[0], new)
    return "" if new == text else new


def links(image: Files) -> dict[str, str]:
    """Path -> target of the links to create: OpenSSL looks for a file that older Debian releases lack."""
    missing = OPENSSL in image and f"{OPENSSL}/cert.pem" not in image
    return {f"{OPENSSL}/cert.pem": CA_BUNDLE} if missing else {}


def _authorities(settings: PackageSettings, image: Files) -> dict[str, bytes]:
    bundles = {path: text for path in (CA_BUNDLE, *OTHER_BUNDLES) if (text := image.get(path))}
    if CA_BUNDLE not in image:
        # Tools expect this path, and our own settings contain it.
        bundles[CA_BUNDLE] = next(iter(bundles.values()), "".join(settings.public).encode())
    changes = {path: with_certificates(text, settings.authorities) for path, text in bundles.items()}
    for folder in (ANCHORS, *([RED_HAT_ANCHORS] if OTHER_BUNDLES[0] in image else [])):
        for pem in map(str.encode, settings.authorities):
            changes[f"{folder}/devenv-{hashlib.sha256(pem).hexdigest()[:8]}.crt"] = pem
    return {path: text for path, text in changes.items() if text != image.get(path)}


def with_certificates(bundle: bytes, certificates: Iterable[str]) -> bytes:
    """The bundle with the missing certificates added."""
    known = b"".join(bundle.split())
    missing = [pem for pem in certificates if "".join(pem.split()).encode() not in known]
    end = b"" if not bundle or bundle.endswith(b"\n") else b"\n"
    return bundle + end + "".join(missing).encode() if missing else bundle


def with_keys(text: str, values: Mapping[str, str], *, section: str = "", replace: bool = False) -> str:
    """The file with the missing `key = value` lines in the section, or with all (`replace`); empty if unchanged."""
    old = {key for line in text.splitlines() if (key := line.partition("=")[0].strip().replace("_", "-"))}
    lines = [f"{key}={value}\n" for key, value in values.items() if replace or key not in old]
    if not lines:
        return ""
    if replace:
        lines_kept = (line for line in text.splitlines(keepends=True) if line.partition("=")[0].strip() not in values)
        text = "".join(lines_kept)
    if text and not text.endswith("\n"):
        text += "\n"
    head = f"[{section}]\n" if section else ""
    if head and (match := re.search(rf"(?m)^\[{section}\][^\n]*\n", text)):
        return text[: match.end()] + "".join(lines) + text[match.end() :]
    return text + head + "".join(lines)
