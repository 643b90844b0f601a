"""Which files of an image change for the host's settings; the image's own lines are kept."""

from __future__ import annotations

import pytest

from devenv.host.package_managers import PackageSettings
from devenv.images.host_settings.overlay import (
    ANCHORS,
    CA_BUNDLE,
    GO_ENV,
    NPMRC,
    PIP_CONF,
    RELEASE,
    UV_TOML,
    changed_files,
    links,
    with_certificates,
)

CA, PUBLIC = (
    f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n" for body in ("Q09NUEFOWQ==", "UFVC")
)
RED_HAT = "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"
OURS = PackageSettings(authorities=(CA,), public=(PUBLIC,))
SOURCES = "/etc/apt/sources.list.d/debian.sources"


def test_company_cas_are_added_to_the_public_ones() -> None:
    """The image's own bundle is kept, and the certificate is in the folder of update-ca-certificates."""
    changes = changed_files(OURS, {CA_BUNDLE: PUBLIC.encode()})
    assert changes[CA_BUNDLE] == (PUBLIC + CA).encode()
    assert [text for path, text in changes.items() if path.startswith(f"{ANCHORS}/devenv-")] == [CA.encode()]
    assert changes[PIP_CONF] == f"[global]\ncert={CA_BUNDLE}\n".encode()
    assert all(changes[path] == f"cafile={CA_BUNDLE}\n".encode() for path in NPMRC)


def test_an_image_without_a_bundle_gets_one_with_the_public_authorities() -> None:
    """Tools read only this file, so it needs the public authorities, too."""
    assert changed_files(OURS, {})[CA_BUNDLE] == (PUBLIC + CA).encode()


def test_known_certificates_are_not_added_again() -> None:
    """However the lines of the certificate are broken."""
    known = CA.replace("Q09N", "Q09N\n").encode()
    assert with_certificates(known, [CA]) == known
    assert CA_BUNDLE not in changed_files(OURS, {CA_BUNDLE: known})
    assert with_certificates(b"no newline", [CA]) == b"no newline\n" + CA.encode()


def test_red_hats_bundle_and_anchors_are_used_where_they_are() -> None:
    """A link at the path of Debian's bundle stays a link; without a link there is one more file."""
    changes = changed_files(OURS, {RED_HAT: PUBLIC.encode(), CA_BUNDLE: None})
    assert changes[RED_HAT] == (PUBLIC + CA).encode()
    assert CA_BUNDLE not in changes
    assert any(path.startswith("/etc/pki/ca-trust/source/anchors/devenv-") for path in changes)
    assert changed_files(OURS, {RED_HAT: PUBLIC.encode()})[CA_BUNDLE] == (PUBLIC + CA).encode()


def test_lines_of_the_image_win_over_ours() -> None:
    """Lines are added to the image's files; anything but a plain file is left unchanged."""
    given = PackageSettings(
        npm={"registry": "https://npm.test/"}, pip={"index-url": "https://pip.test", "trusted-host": "x"}
    )
    image = {
        NPMRC[0]: b"registry=https://own.test/\n",
        NPMRC[1]: b"fund=false",
        NPMRC[2]: None,
        UV_TOML: None,
        PIP_CONF: b"# ours\n[global]\nindex_url = https://own.test\n[list]\nformat=columns\n",
    }
    assert changed_files(given, image) == {
        NPMRC[1]: b"fund=false\nregistry=https://npm.test/\n",
        PIP_CONF: b"# ours\n[global]\ntrusted-host=x\nindex_url = https://own.test\n[list]\nformat=columns\n",
    }


def test_uv_has_its_own_file() -> None:
    """The file of `uv` is written only if it does not exist."""
    given = PackageSettings(authorities=(CA,), pip={"index-url": "https://pip.test/simple"})
    assert changed_files(given, {})[UV_TOML] == b'native-tls = true\nindex-url = "https://pip.test/simple"\n'
    assert changed_files(OURS, {})[UV_TOML] == b"native-tls = true\n"
    assert UV_TOML not in changed_files(given, {UV_TOML: b"offline = true\n"})


def test_go_env_is_changed_if_go_is_installed() -> None:
    """Its defaults are lines of a file, so ours take their place."""
    given = PackageSettings(go={"GOPROXY": "https://go.test"})
    assert changed_files(given, {}) == {}
    assert changed_files(given, {GO_ENV: b"GOPROXY=https://goproxy.test,direct\nGOTOOLCHAIN=auto"}) == {
        GO_ENV: b"GOTOOLCHAIN=auto\nGOPROXY=https://go.test\n"
    }


@pytest.mark.parametrize(
    ("release", "old", "new"),
    [
        (
            b"ID=debian\n",
            b"URIs: http://a.test/debian\nSuites: x x-updates",
            b"URIs: http://m.test/deb/\nSuites: x x-updates",
        ),
        (
            b"ID=debian\n",
            b"Suites: x-security\nURIs: http://a.test/s\n",
            b"Suites: x-security\nURIs: http://m.test/sec/\n",
        ),
        (
            b"ID=debian\n",
            b"Types: deb\nURIs: http://a.test\nSuites: x\n\nURIs: http://b.test\nSuites: x-security",
            b"Types: deb\nURIs: http://m.test/deb/\nSuites: x\n\nURIs: http://m.test/sec/\nSuites: x-security",
        ),
        (b"ID=debian\n", b"deb [a=b] http://a.test/debian/ x main", b"deb [a=b] http://m.test/deb/ x main"),
        (b"ID=debian\n", b"deb-src http://a.test/ x-security main", b"deb-src http://m.test/sec/ x-security main"),
        (b'ID="ubuntu"\n', b"deb http://a.test/ubuntu/ y main\n# deb x", b"deb http://u.test/ y main\n# deb x"),
        (b"ID=ubuntu\n", b"deb http://a.test/ubuntu/ y-security main", None),
        (b"ID=debian\n", b"deb file:/srv/mirror x main\nURIs: http://a.test\n", None),
        (b"ID=alpine\n", b"URIs: http://a.test/debian\nSuites: x\n", None),
        (b"", b"URIs: http://a.test/debian\nSuites: x\n", None),
    ],
)
def test_a_mirror_replaces_its_own_archive(release: bytes, old: bytes, new: bytes | None) -> None:
    """It is used only in images of the host's distribution, for its own archives, known by their suites."""
    given = PackageSettings(
        apt={"debian": "http://m.test/deb", "debian-security": "http://m.test/sec", "ubuntu": "http://u.test"}
    )
    changes = changed_files(given, {RELEASE: release, SOURCES: old, "/etc/apt/sources.list.d": None})
    assert changes == ({SOURCES: new} if new else {})


def test_openssl_finds_the_bundle_by_a_link() -> None:
    """If OpenSSL's folder exists without the link, the link is created: Debian's older images lack it."""
    assert links({"/usr/lib/ssl": None}) == {"/usr/lib/ssl/cert.pem": CA_BUNDLE}
    assert links({"/usr/lib/ssl": None, "/usr/lib/ssl/cert.pem": None}) == {}
    assert links({}) == {}
