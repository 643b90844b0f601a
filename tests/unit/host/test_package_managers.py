"""The settings of this machine's package managers, and those that an image may get."""

from __future__ import annotations

import pytest

from devenv.host.package_managers import LOGIN, PackageSettings, apt, go, npm, pip, settings, unfit

DEBIAN = 'PRETTY_NAME="Debian"\nID=debian\nVERSION_CODENAME=trixie\n'
UBUNTU = "ID=ubuntu\nVERSION_CODENAME=noble\n"


def test_npm_reads_variables_before_files_and_the_nearer_file_first() -> None:
    """Comments and lists are ignored; quotes are removed, and variables are filled in if they are set."""
    user = (
        '; a comment\nregistry = "https://npm.${SITE}.test/"\n@team:registry=https://team.test\nomit[]=dev\nloose\n'
    )
    options = npm([user, "registry=https://other.test/\ncafile=/ca.pem\n# x=y\nkey=${UNSET}"], {"SITE": "corp"})
    assert options == {
        "registry": "https://npm.corp.test/",
        "@team:registry": "https://team.test",
        "cafile": "/ca.pem",
        "key": "${UNSET}",
    }
    assert npm([user], {"npm_config_registry": "https://env.test", "NPM_CONFIG_CAFILE": ""})["registry"] == (
        "https://env.test"
    )


def test_pip_reads_variables_before_files_and_lists_over_several_lines() -> None:
    """Settings of `pip install` have priority over global ones; an invalid file is ignored."""
    file = "[global]\nindex-url = https://a.test/simple\nextra-index-url =\n  https://b.test\n  https://c.test\n"
    options = pip(
        ["no section\n", f"{file}[install]\nindex_url = https://i.test\n"], {"PIP_CERT": "/ca.pem", "X": "1"}
    )
    assert options == {
        "cert": "/ca.pem",
        "index-url": "https://i.test",
        "extra-index-url": "https://b.test https://c.test",
    }


def test_go_reads_its_file_and_the_variables_before_it() -> None:
    """Only variables about the sources of modules are read."""
    options = go("GOPROXY=https://file.test\nGOFLAGS=-v\nGOSUMDB=off\nword\n", {"GOPROXY": "https://env.test,direct"})
    assert options == {"GOPROXY": "https://env.test,direct", "GOSUMDB": "off"}


@pytest.mark.parametrize(
    ("sources", "release", "archives"),
    [
        (
            (
                "# URIs: http://no.test\nURIs: http://m.test/debian/\nSuites: trixie trixie-updates\n"
                "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.pgp\n\n"
                "Types: deb\nURIs: https://s.test/sec\nSuites: trixie-security\nComponents: main contrib\n"
            ),
            DEBIAN,
            {"debian": "http://m.test/debian", "debian-security": "https://s.test/sec"},
        ),
        (
            (
                "deb [arch=amd64] http://m.test/ubuntu noble main universe\n"
                "deb http://m.test/ubuntu noble-security main\ndeb-src http://src.test noble main\n"
            ),
            UBUNTU,
            {"ubuntu": "http://m.test/ubuntu", "ubuntu-security": "http://m.test/ubuntu"},
        ),
        ("deb [signed-by=/etc/keyrings/other.gpg] https://other.test trixie main\n", DEBIAN, {}),
        ("deb https://docker.test/linux/debian trixie stable\ndeb https://node.test nodistro main\n", DEBIAN, {}),
        ("deb file:/srv/mirror trixie main\n", DEBIAN, {}),
        (f"deb http://a.{'debian'}.org/debian trixie main\n", DEBIAN, {}),
        ("deb http://m.test/fedora 42 main\n", "ID=fedora\nVERSION_CODENAME=42\n", {}),
        ("", "", {}),
    ],
)
def test_apt_knows_the_archives_of_its_own_distribution(sources: str, release: str, archives: dict[str, str]) -> None:
    """Both formats are read; archives of others, known by key, suite or component, are left out."""
    assert apt([sources], release) == archives


def test_settings_of_package_sources_only() -> None:
    """PackageSettings about the sources of packages, and no other settings."""
    package_settings = settings(
        npm={"registry": "https://a.test/", "@team:registry": "https://npm.test/", "fund": "false"},
        pip={"index-url": "https://pip.test/simple", "trusted-host": "pip.test", "timeout": "5"},
        go={"GOPROXY": "https://go.test,direct", "GOSUMDB": "off"},
        apt={"debian-security": "http://m.test/debian-security"},
    )
    assert package_settings == PackageSettings(
        npm={"registry": "https://a.test/", "@team:registry": "https://npm.test/"},
        pip={"index-url": "https://pip.test/simple", "trusted-host": "pip.test"},
        go={"GOPROXY": "https://go.test,direct", "GOSUMDB": "off"},
        apt={"debian-security": "http://m.test/debian-security"},
    )
    assert package_settings.kinds == ("npm", "pip", "apt", "go")


def test_what_has_a_login_is_left_out_and_told_without_it() -> None:
    """Addresses with a login or on the loopback are left out; npm's login is reported if its registry is used."""
    package_settings = settings(
        npm={"registry": "https://npm.test/", "//npm.test/:_authToken": "canary"},
        pip={
            "index-url": "https://me:canary@pip.test/simple",
            "extra-index-url": "https://a.test http://127.0.0.1:1",
        },
        go={"GOPROXY": "http://[bad"},
        apt={},
    )
    assert package_settings.npm == {"registry": "https://npm.test/"}
    assert (package_settings.pip, package_settings.go) == ({}, {})
    assert package_settings.left_out == (
        f"pip's index-url: {LOGIN}",
        "pip's extra-index-url: it is on this machine's loopback, which containers cannot reach",
        "Go's GOPROXY: it is not a valid address",
        f"npm's login: {LOGIN}",
    )
    assert "canary" not in repr(package_settings)


def test_a_local_folder_is_no_place_for_a_container() -> None:
    """A `file:` address is another folder in a container."""
    assert unfit("file:///opt/wheels") == "it is on this machine's loopback, which containers cannot reach"
    assert unfit("https://a.test") is None
