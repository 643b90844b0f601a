"""Recognizing the stack of a folder with code from its files."""

from __future__ import annotations

import json

import pytest

from devenv.scaffold.new.detect import Stack, stack

GO = {"go.mod": "module a\n\ngo 1.22.1\n", "server.go": 'package main // "x:99"\n'}
MAIN = 'package main\n\nfunc main() { http.ListenAndServe("0.0.0.0:3000", nil) }\n'
VITE = json.dumps({"scripts": {"dev": "vite"}, "devDependencies": {"vite": "^7"}})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"Dockerfile": "FROM x\nexpose 81/tcp\n", "package.json": VITE}, Stack("dockerfile", {"port": "81"})),
        ({"Dockerfile": "FROM x\n"}, Stack("dockerfile", {})),
        ({"package.json": VITE}, Stack("node", {"command": "npm run dev -- --host=0.0.0.0", "port": "5173"})),
        (
            {"package.json": '{"scripts": {"start": "node src/a.js"}}'},
            Stack("node", {"command": "node src/a.js", "port": "3000"}),
        ),
        (
            {"package.json": '{"scripts": {"dev": "node --watch --env-file=.env a.js", "start": "node b.js"}}'},
            Stack("node", {"command": "node --env-file=.env a.js", "port": "3000"}),
        ),
        (
            {"package.json": '{"scripts": {"dev": "node --watch-path=src --watch-path lib a.js"}}'},
            Stack("node", {"command": "node a.js", "port": "3000"}),
        ),
        (
            {"package.json": '{"scripts": {"dev": "node make.js && node --watch a.js"}}'},
            Stack("node", {"command": "npm run dev", "port": "3000"}),
        ),
        (
            {"package.json": "{}", "requirements.txt": "Flask>=3\n", "app.py": ""},
            Stack(
                "python",
                {
                    "command": "flask --app=app run --host=0.0.0.0 --port=5000 --reload",
                    "port": "5000",
                    "install": "requirements",
                },
            ),
        ),
        (
            {"pyproject.toml": 'dependencies = ["fastapi[standard]>=0.1"]', "src/main.py": ""},
            Stack(
                "python",
                {
                    "command": "uvicorn src.main:app --host=0.0.0.0 --port=8000 --reload",
                    "port": "8000",
                    "install": "project",
                },
            ),
        ),
        (
            {"requirements.txt": "django==5", "manage.py": ""},
            Stack(
                "python",
                {"command": "python manage.py runserver 0.0.0.0:8000", "port": "8000", "install": "requirements"},
            ),
        ),
        (
            {**GO, "main.go": MAIN, "cmd/tool/main.go": MAIN, "main_test.go": "package main\n"},
            Stack("go", {"package": ".", "port": "3000", "go": "1.24"}),
        ),
        (
            {"go.mod": "go 1.31", "lib.go": "package lib\n", "cmd/api/main.go": "package main\n"},
            Stack("go", {"package": "./cmd/api", "port": "8080", "go": "1.31"}),
        ),
        ({"go.mod": "", "main.go": MAIN}, Stack("go", {"package": ".", "port": "3000", "go": "1.24"})),
    ],
)
def test_a_stack_is_recognised(files: dict[str, str], expected: Stack) -> None:
    """A stack is recognised by the content of files; a Dockerfile has priority."""
    assert stack(files) == expected


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"package.json": "{"},
        {"package.json": "[]"},
        {"package.json": '{"scripts": 3}'},
        {"package.json": '{"scripts": {"start": "node a.js > log"}}'},
        {"requirements.txt": "django", "app.py": ""},
        {"requirements.txt": "flask"},
        {"requirements.txt": "flask-login", "app.py": ""},
        {"main.go": MAIN},
        {"go.mod": "go 1.24", "lib.go": "package lib\n", "main_test.go": MAIN},
        {"go.mod": "go 1.24", "cmd/a/main.go": MAIN, "cmd/b/main.go": MAIN},
    ],
)
def test_unrecognised_stack_is_reported(files: dict[str, str]) -> None:
    """Nothing is guessed: a sentence in place of a stack."""
    assert stack(files) == "name a template: no framework was recognised in this folder"


def test_folder_with_a_compose_file_is_not_detected() -> None:
    """The other files do not matter."""
    assert stack({"compose.yml": "", "package.json": VITE}) == "there is a compose.yml already: `devenv up`"
