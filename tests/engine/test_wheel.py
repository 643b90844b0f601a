"""The wheel works outside the checkout; wheel and sdist contain what they should, and only that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import devenv
from support.stack import unique_name

# Most tests need no engine, but they fetch packages: too slow for the fast run.
pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]


EPOCH = 1_700_000_000  # 2023-11-14 22:13:20 UTC


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist and a wheel, both built from the checkout."""
    return _build(tmp_path_factory.mktemp("built"), "--sdist", "--wheel")


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The built wheel."""
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a clean venv with the wheel and the locked versions of its dependencies."""
    folder = tmp_path_factory.mktemp("installed wheel")
    venv.create(folder, with_pip=True)
    constraints = folder / "constraints.txt"
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    constraints.write_text("\n".join(re.findall(r"^[a-z][^\\\n]*==[^\\\n]*", locked, re.MULTILINE)), encoding="utf-8")
    _run(str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "-c", str(constraints), str(wheel))
    return folder / "bin"


def test_wheel_contains_code_and_templates_only(wheel: Path) -> None:
    """The wheel has package, templates, pages, type marker and licence; no tests, scripts and pictures."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {path.removeprefix("src/") for path in _tracked("src")} <= set(names)
    pages = [path for path in _tracked("docs") if path.endswith(".md")]
    shown = {f"devenv/{path}" for path in (*_tracked("templates"), *pages)}
    assert shown
    assert shown <= set(names)
    assert not any(name.endswith((".png", ".svg")) for name in names if name.startswith("devenv/docs/"))
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"devenv", "devenv_compose"}


def test_sdist_contains_what_the_wheel_needs_only(built: Path) -> None:
    """The sdist has sources, templates, pages, the sample app and the files in pyproject.toml, as in git."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    own = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore", "PKG-INFO"}  # the last two: hatch
    folders = ("src", "templates", "sample-todo-app", "docs")
    assert names == own.union(*map(_tracked, folders))


def test_wheel_and_sdist_are_reproducible(built: Path, tmp_path: Path) -> None:
    """A second build, and one from the unpacked sdist, have the same bytes; their times are SOURCE_DATE_EPOCH."""
    again = _build(tmp_path)
    files = {path.name: path.read_bytes() for path in built.iterdir()}
    assert {path.name: path.read_bytes() for path in again.iterdir()} == files
    (wheel,) = built.glob("*.whl")
    assert {entry.date_time for entry in zipfile.ZipFile(wheel).infolist()} == {(2023, 11, 14, 22, 13, 20)}


@pytest.mark.parametrize("command", ["devenv", "devenv-compose"])
def test_both_entry_points_print_the_version(installed: Path, tmp_path: Path, command: str) -> None:
    """Both have the documentation, too."""
    assert devenv.__version__ in _run(str(installed / command), "--version", cwd=tmp_path)
    assert "port-taken" in _run(str(installed / command), "help", "troubleshooting", cwd=tmp_path)
    assert "# devenv up" in _run(str(installed / command), "help", "commands/up", cwd=tmp_path)
    assert "# 代理" in _run(str(installed / command), "help", "zh-CN/network", cwd=tmp_path)


def test_installed_code_is_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    """The tests above ran code of the clean venv."""
    origin = _run(str(installed / "python"), "-c", "import devenv; print(devenv.__file__)", cwd=tmp_path)
    assert Path(origin.strip()).is_relative_to(installed.parent)


def test_new_uses_the_templates_in_the_wheel(installed: Path, tmp_path: Path, state_env: dict[str, str]) -> None:
    """Hidden files are written, too."""
    _run(str(installed / "devenv"), "new", "express-postgres", "app", "--defaults", cwd=tmp_path, env=state_env)
    assert (tmp_path / "app/compose.yml").read_text(encoding="utf-8").startswith("# yaml-language-server")
    assert (tmp_path / "app/.dockerignore").exists()
    assert (tmp_path / "app/.env").exists()


def test_images_lists_needs_in_any_folder(
    installed: Path, tmp_path: Path, state_env: dict[str, str], base_image: str
) -> None:
    """The templates inside the wheel are used."""
    services = f"services:\n  idle:\n    image: {base_image}\n  web:\n    image: node:22\n"
    (tmp_path / "compose.yml").write_text(f"name: {unique_name('wheel')}\n{services}", encoding="utf-8")
    listed = _run(str(installed / "devenv"), "images", cwd=tmp_path, env=state_env)
    assert base_image in listed
    assert "node:22" in listed


def _build(folder: Path, *targets: str) -> Path:
    """Build a wheel and an sdist in the folder; without `targets`, the wheel is built from the sdist."""
    argv = [sys.executable, "-m", "build", "--no-isolation", *targets, "--outdir", str(folder), str(ROOT)]
    _run(*argv, env={"SOURCE_DATE_EPOCH": str(EPOCH)})
    return folder


def _tracked(folder: str) -> list[str]:
    """Files of the folder in git; all files if this is no git checkout."""
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return listed.stdout.splitlines()
    return [path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()]


def _run(*argv: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    overrides = {"PIP_CONSTRAINT": "", "PIP_REQUIRE_VIRTUALENV": "", "PYTHONPATH": "", **(env or {})}
    done = subprocess.run(argv, cwd=cwd, env={**os.environ, **overrides}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout
