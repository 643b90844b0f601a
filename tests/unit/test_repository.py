"""The files for GitHub and pre-commit: they parse, and what they name exists."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def load(path: Path) -> Any:
    """The content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(workflow: Any) -> Iterator[Any]:
    """The jobs of a workflow that have steps."""
    yield from (job for job in workflow["jobs"].values() if "steps" in job)


def options(script: Path) -> set[str]:
    """The options that the comment at the beginning of a shell script describes."""
    return set(re.findall(r"^#.*?(--[a-z]+)", script.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.name))
def test_a_workflow_runs_scripts_of_this_tree(path: Path) -> None:
    """Each command is an executable file with options that it has; a job has a time limit, and no secret is used."""
    assert "secrets." not in path.read_text(encoding="utf-8")
    for job in jobs(load(path)):
        assert job["timeout-minutes"] <= 60
        for program, *arguments in (shlex.split(step["run"]) for step in job["steps"] if "run" in step):
            assert os.access(ROOT / program, os.X_OK)
            assert set(arguments) <= options(ROOT / program)


def test_the_fast_tests_run_on_every_python_that_is_supported() -> None:
    """The matrix has the versions that pyproject.toml names."""
    named = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    matrix = load(ROOT / ".github/workflows/test.yml")["jobs"]["fast"]["strategy"]["matrix"]

    assert matrix["python"] == named
    assert {row["python"] for row in matrix["include"]} <= set(named)


def test_the_hooks_run_the_tools_of_this_tree() -> None:
    """Hooks before a commit are the project's own tools: in `.venv`, from the lock, or in scripts/."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (local,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    programs = {hook["entry"].split()[0] for hook in local["hooks"]}

    assert local["repo"] == "local"
    assert {program for program in programs if not os.access(ROOT / program, os.X_OK)} == set()
    assert {name for name in programs if name.startswith(".venv/") and f"\n{Path(name).name}==" not in lock} == set()


@pytest.mark.parametrize(
    "path", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: str(path.name)
)
def test_an_issue_form_is_one_that_github_shows(path: Path) -> None:
    """It has a name and a description, and fields with unique ids and a label each."""
    form = load(path)
    fields = form["body"]

    assert form["name"]
    assert form["description"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes", "markdown"}
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
