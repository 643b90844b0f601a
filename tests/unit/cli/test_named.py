"""A typo in the name of a service gets devenv's error instead of Compose's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from devenv.cli import main
from devenv.docker import process

Capture = pytest.CaptureFixture[str]
FILE = "services: {web: {image: x}, worker: {image: x, profiles: [off]}}\n"
UNKNOWN = "error: there is no service `wbe`\n  hint: Did you mean `web`?\n"


@pytest.fixture(autouse=True)
def passed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Sequence[str]]:
    """What would have become of our process, in a project of two services."""
    seen: list[Sequence[str]] = []
    monkeypatch.setattr(process, "exec_replace", seen.append)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compose.yml").write_text(FILE)
    return seen


@pytest.mark.parametrize(
    "line",
    [
        "exec wbe ls",
        "exec -it wbe sh",
        "exec --env=A=B wbe sh",
        "run --rm wbe npm test",
        "port wbe 80",
        "stop wbe",
        "rm -f wbe",
        "stop -t 5 web wbe",
        "restart web wbe",
        "scale wbe=2",
        "-p other kill wbe",
    ],
)
def test_a_typo(passed: list[Sequence[str]], capfd: Capture, line: str) -> None:
    """The error suggests the service that is meant."""
    assert main.run(line.split()) == 2
    assert (capfd.readouterr().err, passed) == (UNKNOWN, [])


@pytest.mark.parametrize(
    "line",
    [
        "exec web wbe",
        "exec -u wbe web ls",
        "exec --workdir /x web ls",
        "exec --help wbe",
        "stop worker",
        "stop -t 5 web",
        "kill -s INT web",
        "stop",
        "scale web=2 worker=1",
        "cp wbe:/x .",
        "--env-file x stop wbe",
        "-f absent.yml stop wbe",
    ],
)
def test_compose_checks_what_devenv_cannot(passed: list[Sequence[str]], line: str) -> None:
    """Known services, values of options, and files that only Compose reads."""
    main.run(line.split())
    assert passed == [["docker", "compose", *line.split()]]


def test_a_service_may_come_from_a_file_that_compose_fetches(passed: list[Sequence[str]], tmp_path: Path) -> None:
    """It is not reported as unknown."""
    (tmp_path / "compose.yml").write_text(f"include: [https://example.test/x.git]\n{FILE}")
    main.run(["stop", "wbe"])
    assert passed
