"""The settings of this machine's package managers that images can use too: from files and variables."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any
from urllib.parse import urlsplit

from devenv.lazy_dataclass import dataclass

GO = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "GOPRIVATE", "GONOPROXY", "GOINSECURE")
PIP = ("index-url", "extra-index-url", "trusted-host")
LOGIN = "it is a secret, which images do not keep; for a build: `secrets:` and RUN --mount=type=secret"
_LOGIN = re.compile(r"//\S+:(_auth|_authToken|_password)")
_ARCHIVE_KEY = re.compile(r"(debian|ubuntu)-archive-keyring")


@dataclass(frozen=True, slots=True)
class PackageSettings:
    """The settings for derived images: PEM texts, and the keys and values of each package manager.

    `apt` has the archives by their kind: "debian", "debian-security", "ubuntu", "ubuntu-security". `left_out` says
    which settings of this machine an image must not get, and why.
    """

    authorities: tuple[str, ...] = ()
    public: tuple[str, ...] = field(default=(), repr=False)
    npm: Mapping[str, str] = field(default_factory=dict)
    pip: Mapping[str, str] = field(default_factory=dict)
    apt: Mapping[str, str] = field(default_factory=dict)
    go: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of settings that exist, such as `ca` and `npm`."""
        kinds = {"ca": self.authorities, "npm": self.npm, "pip": self.pip, "apt": self.apt, "go": self.go}
        return tuple(kind for kind, value in kinds.items() if value)


def npm(files: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The keys of npm's variables and files, in order of priority; `${NAME}` is filled in."""
    keys = {
        name[len("npm_config_") :].lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.lower().startswith("npm_config_") and value
    }
    for text in files:
        for line in text.splitlines():
            key, equals, value = (part.strip() for part in line.partition("="))
            if equals and key[:1] not in (";", "#") and not key.endswith("[]"):
                filled = re.sub(r"\$\{(\w+)\}", lambda name: environment.get(name[1], name[0]), value.strip("\"'"))
                keys.setdefault(key, filled)
    return keys


def pip(files: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The keys of pip's variables and files, in order of priority."""
    keys = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith("PIP_") and value
    }
    for text in files:
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        try:
            parser.read_string(text)
        except configparser.Error:
            continue
        for section in ("install", "global"):
            for key, value in parser.items(section) if parser.has_section(section) else ():
                keys.setdefault(key.replace("_", "-"), " ".join(value.split()))
    return keys


def go(text: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Go's variables for the sources of modules, from the environment or its env file."""
    lines = (line.strip().partition("=") for line in text.splitlines())
    known = {key: value for key, equals, value in lines if equals}
    merged = {key: environment.get(key) or known.get(key, "") for key in GO}
    return {key: value for key, value in merged.items() if value}


def apt(files: Iterable[str], release: str) -> dict[str, str]:
    """The archives of this machine's distribution, by kind; `release` is the text of os-release.

    Archives of other vendors, known by their key or suite, are left out. So are servers in the distribution's own
    domain, which images use by default.
    """
    known = dict(re.findall(r'^(ID|VERSION_CODENAME)="?([^"\n]+)', release, re.MULTILINE))
    name, codename = known.get("ID", ""), known.get("VERSION_CODENAME", "")
    archives: dict[str, str] = {}
    for text in files:
        for uri, suite, components, key in _archives(text):
            is_official = not key or _ARCHIVE_KEY.search(key)
            if name in ("debian", "ubuntu") and is_official and "main" in components and uri.startswith("http"):
                kinds = {codename: name, f"{codename}-security": f"{name}-security"}
                is_default = re.search(rf"(?:^|\.){name}\.(?:org|com)$", urlsplit(uri).hostname or "")
                if suite in kinds and not is_default:
                    archives.setdefault(kinds[suite], uri.rstrip("/"))
    return archives


def _archives(text: str) -> Iterable[tuple[str, str, str, str]]:
    """(URI, suite, components, key) of the archives in a sources file of either format."""
    for stanza in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        fields = dict(re.findall(r"(?m)^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)", stanza))
        for uri in fields.get("URIs", "").split():
            for suite in fields.get("Suites", "").split():
                yield uri, suite, fields.get("Components", ""), fields.get("Signed-By", "")
        for options, uri, suite, components in re.findall(r"(?m)^deb\s+(\[.*?\]\s+)?(\S+)\s+(\S+)\s+(.*)$", stanza):
            key = re.search(r"signed-by=(\S+?)[\]\s]", options)
            yield uri, suite, components, key[1] if key else ""


def settings(
    *, npm: Mapping[str, str], pip: Mapping[str, str], go: Mapping[str, str], apt: Mapping[str, str]
) -> PackageSettings:
    """The settings that containers can use.

    Addresses with a login or on the loopback of this machine are left out.
    """
    registries = {
        key: value for key, value in npm.items() if key == "registry" or re.fullmatch(r"@\S+:registry", key)
    }
    kinds = (
        ("npm", "npm's", registries),
        ("pip", "pip's", {key: pip[key] for key in PIP if key in pip}),
        ("go", "Go's", go),
        ("apt", "apt's archive", apt),
    )
    usable: dict[str, Any] = {
        kind: {key: value for key, value in values.items() if not unfit(value)} for kind, _, values in kinds
    }
    reasons = [(owner, key, unfit(value)) for _, owner, values in kinds for key, value in values.items()]
    left_out = [f"{owner} {key}: {reason}" for owner, key, reason in reasons if reason]
    if usable["npm"] and any(map(_LOGIN.fullmatch, npm)):
        left_out.append(f"npm's login: {LOGIN}")
    return PackageSettings(**usable, left_out=tuple(left_out))


def unfit(value: str) -> str | None:
    """Why an image must not get the value, which may contain several addresses; None if it may get it."""
    for word in re.split(r"[\s,|]+", value):
        if "://" not in word:
            continue
        try:
            address = urlsplit(word)
            host = address.hostname or ""
        except ValueError:
            return "it is not a valid address"
        if "@" in address.netloc:
            return LOGIN
        if re.fullmatch(r"localhost|127\.[\d.]+|::1|", host):
            return "it is on this machine's loopback, which containers cannot reach"
    return None
