"""PackageSettings of the host for builds, their notices, and the names of derived images."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from devenv.host import certificates
from devenv.host.package_managers import PackageSettings
from devenv.images.host_settings.derive import environment, host_settings, name, notices
from devenv.model.images import DERIVED_REGISTRY

ID = "sha256:1"


@pytest.mark.parametrize(
    ("reference", "start"),
    [
        ("node:22", "inside.devenv/node:22-"),
        ("docker.io/library/node", "inside.devenv/node:latest-"),
        ("localhost:5000/Team/app:1", "inside.devenv/localhost-5000/-eam/app:1-"),
        (f"node@sha256:{'0' * 64}", "inside.devenv/node:"),
        (f"node:{'x' * 128}", f"inside.devenv/node:{'x' * 100}-"),
    ],
)
def test_a_derived_image_is_named_after_its_original(reference: str, start: str) -> None:
    """The name is that of the original and twelve digits of the digest of the content."""
    derived = name(reference, ID, PackageSettings())
    assert derived.startswith(start)
    assert len(derived) == len(start) + 12


def test_a_name_changes_with_the_image_and_with_what_is_given() -> None:
    """The name changes neither with what is left out nor with the public authorities, which all images have."""
    given = PackageSettings(authorities=("x",), npm={"a": "1", "b": "2"})
    same = PackageSettings(authorities=("x",), npm={"b": "2", "a": "1"}, public=("y",), left_out=("z",))
    assert name("node", ID, given) == name("node", ID, same)
    others = [name("node", "sha256:2", given), name("node", ID, PackageSettings(authorities=("x",)))]
    assert len({name("node", ID, given), *others}) == 3


def test_settings_are_reported_in_one_notice() -> None:
    """A setting that is left out has a notice of its own; without settings there is none."""
    settings = PackageSettings(
        authorities=("x",), npm={"registry": "y"}, left_out=("pip's index-url: it is a secret",)
    )
    assert [notice.message for notice in notices(settings)] == [
        "builds and containers get this host's company CA, npm registry",
        "not given to builds: pip's index-url: it is a secret",
    ]
    assert notices(PackageSettings()) == ()


def test_containers_get_variables_for_the_authorities_alone() -> None:
    """Node's own requests and Python's read nothing else."""
    assert environment(PackageSettings(npm={"registry": "x"})) == {}
    variables = environment(PackageSettings(authorities=("x",)))
    assert variables["NODE_EXTRA_CA_CERTS"] == variables["REQUESTS_CA_BUNDLE"] == "/etc/ssl/certs/ca-certificates.crt"


def test_the_hosts_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the user's home; the files that they name may hold authorities, their registries may present them."""
    asked: list[tuple[list[str], list[str]]] = []

    async def find(sites: list[str], files: list[str]) -> tuple[frozenset[bytes], frozenset[bytes]]:
        asked.append((sites, files))
        return frozenset({b"company"}), frozenset({b"public"})

    for variable in ("npm_config_userconfig", "NPM_CONFIG_USERCONFIG", "XDG_CONFIG_HOME", "PIP_CERT", "GOENV"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(certificates, "find", find)
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "go").mkdir()
    (tmp_path / ".npmrc").write_text("registry=https://npm.test/\ncafile=/npm.pem\n")
    (tmp_path / ".config" / "pip" / "pip.conf").write_text(
        "[global]\nindex-url=https://pip.test/simple\ncert=/pip.pem\n"
    )
    (tmp_path / ".config" / "go" / "env").write_text("GOPROXY=https://go.test,direct\n")
    given = anyio.run(host_settings)
    assert given.npm["registry"] == "https://npm.test/"
    assert given.pip["index-url"] == "https://pip.test/simple"
    assert given.go["GOPROXY"] == "https://go.test,direct"
    assert [certificates.certificates(text) for text in (*given.authorities, *given.public)] == [
        {b"company"},
        {b"public"},
    ]
    (sites, files) = asked[0]
    assert {"npm.test", "pip.test", "go.test"} <= set(sites)
    assert files == ["/npm.pem", "/pip.pem"]
    assert DERIVED_REGISTRY not in repr(given)
