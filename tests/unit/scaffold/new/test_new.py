"""`devenv new` from the command line: lists, questions, trees, and existing files."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
import typer
import yaml

from devenv.cli.commands import scaffold as command
from devenv.errors import UsageError
from devenv.scaffold.new import new as new_module
from devenv.scaffold.new.template import Question, read, shipped
from support.terminal import Terminal

COMMON = {".dockerignore", ".gitignore", "Dockerfile", "README.md", "compose.yml"}
PYTHON = {"requirements.txt", "requirements-dev.txt"}
TREES = {
    "express-postgres": {
        ".env", ".env.example", "package.json", "tsconfig.json", "src/main.ts", "src/app.ts", "src/notes.ts",
        "public/index.html", "public/main.js", "public/style.css", "tests/notes.test.ts",
    },
    "fastapi-postgres": PYTHON | {
        ".env", ".env.example", "app/__init__.py", "app/main.py", "app/db.py", "app/schema.sql",
        "tests/test_notes.py",
    },
    "flask-redis": PYTHON | {
        "app/__init__.py", "app/static/style.css", "app/templates/index.html", "tests/test_site.py",
    },
    "static-nginx": {
        "nginx/nginx.conf", "site/404.html", "site/index.html", "site/main.js", "site/style.css", "tests/test.sh",
    },
    "worker-queue": PYTHON | {
        "jobs.py", "api/__init__.py", "api/main.py", "worker/__init__.py", "worker/__main__.py", "worker/health.py",
        "worker/work.py", "tests/test_jobs.py",
    },
}  # fmt: skip


class Done(Protocol):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


New = Callable[..., Done]


def made(folder: Path) -> set[str]:
    """The paths of all files below the folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("template", TREES)
def test_each_template_makes_its_tree(template: str, new: New) -> None:
    """The files that it is known for, none else, none with a trace of Jinja."""
    assert {*TREES, "todo"} == {*shipped()}  # test_todo.py has the tree of the template todo
    done = new(template, "--defaults")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{len(made(Path(template)))} files in {template}",
        f"  cd {template} && devenv up",
    ]
    assert made(Path(template)) == TREES[template] | COMMON
    for path in TREES[template] | COMMON:
        text = (Path(template) / path).read_text(encoding="utf-8")
        assert "{%" not in text
        assert ("{{" in text) == (path == "app/templates/index.html")
        assert text == "" or text.endswith("\n")


@pytest.mark.parametrize("template", shipped())
def test_the_rules_cover_every_file_of_the_app(template: str, new: New) -> None:
    """Each is synced or rebuilds, but for tests, documents and what compose itself reads."""
    assert new(template, "app", "--defaults").returncode == 0
    services = yaml.safe_load(Path("app/compose.yml").read_text())["services"].values()
    rules = {
        rule["path"].removeprefix("./")
        for service in services
        for rule in service.get("develop", {}).get("watch", ())
    }
    left = {
        path for path in made(Path("app")) if not any(path == rule or path.startswith(f"{rule}/") for rule in rules)
    }
    assert {path for path in left if not path.startswith("tests/")} <= {
        ".env", ".env.example", ".gitignore", "README.md", "compose.yml",
    }  # fmt: skip


def test_the_list_names_every_template(new: New) -> None:
    """The list is a table, or one JSON value per line."""
    assert [line.split()[0] for line in new("--list").stdout.splitlines()[1:]] == sorted(shipped())
    templates = json.loads(new("--list", "--output=json").stdout)
    assert [row["template"] for row in templates["templates"]] == sorted(shipped())


def test_a_dry_run_shows_the_tree_and_writes_nothing(new: New) -> None:
    """The tree on stdout; in JSON the paths."""
    done = new("static-nginx", "--dry-run")
    assert done.returncode == 0
    assert "  nginx/\n    nginx.conf\n" in done.stdout
    answer = json.loads(new("static-nginx", "site", "--dry-run", "--output=json").stdout)
    assert set(answer["files"]) == TREES["static-nginx"] | COMMON
    assert (answer["dry_run"], answer["folder"], answer["replaced"]) == (True, os.path.abspath("site"), [])
    assert os.listdir() == []


def test_answers_are_taken_from_the_command_line(new: New) -> None:
    """The files contain the answers."""
    assert new("static-nginx", "s", "-d", "title=A & B: $x", "--data", "port=81", "-d", "project=p").returncode == 0
    assert "<title>A &amp; B: $x</title>" in Path("s/site/index.html").read_text()
    assert 'name: "p"\n' in Path("s/compose.yml").read_text()
    assert ":-81}:8080" in Path("s/compose.yml").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nope"], 2, "there is no template `nope`"),
        (["static-nginx", "a/b/c"], 2, "not found"),
        (["static-nginx", "--data", "port=0"], 2, "port is to be a port from 1 to 65535, not '0'"),
        (["static-nginx", "--data", "port=65536"], 2, "port is to be a port from 1 to 65535, not '65536'"),
        (["static-nginx", "--data", "title=a\nb"], 2, "title is to be one line of text"),
        (["static-nginx", "--data", "project=A b"], 2, "project is to be small letters"),
        (["static-nginx", "--data", "prot=1"], 2, "static-nginx does not ask for prot: port, title"),
        (["static-nginx", "--data", "port"], 2, "--data takes KEY=VALUE, not 'port'"),
        (["--from", "a", "b", "c"], 2, "with --from, the only argument is the directory"),
        (["--from", "nowhere"], 2, "folder nowhere not found"),
        ([], 2, "name a template: no framework was recognised in this folder"),
    ],
)  # fmt: skip
def test_errors_of_new_are_one_line(new: New, arguments: list[str], code: int, message: str) -> None:
    """Nothing is written."""
    done = new(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr.splitlines()[0]
    assert os.listdir() == []


def test_a_file_in_place_of_the_folder_is_said(new: New) -> None:
    """The error names the file, which is not changed."""
    Path("static-nginx").write_text("mine")
    assert "exists and is not a folder" in new("static-nginx").stderr
    assert Path("static-nginx").read_text() == "mine"


def test_nothing_is_overwritten_unasked(new: New) -> None:
    """Without a terminal and without the flag it is an error, and the folder is unchanged."""
    Path("site").mkdir()
    Path("site/Dockerfile").write_text("mine")
    Path("site/notes").write_text("mine")
    done = new("static-nginx", "site", "--defaults")
    assert done.returncode == 6
    assert "Dockerfile already; nothing was written" in done.stderr
    assert "hint: devenv new static-nginx site --overwrite" in done.stderr
    assert made(Path("site")) == {"Dockerfile", "notes"}
    assert Path("site/Dockerfile").read_text() == "mine"
    assert new("static-nginx", "site", "--defaults", "--overwrite").returncode == 0
    assert Path("site/Dockerfile").read_text().startswith("FROM nginx")
    assert Path("site/notes").read_text() == "mine"


def test_a_folder_without_files_of_these_names_is_filled(new: New) -> None:
    """A repository may be in the folder; `.` is the current directory."""
    Path(".git").mkdir()
    assert new("static-nginx", ".").returncode == 0
    assert made(Path()) == TREES["static-nginx"] | COMMON


def test_what_is_overwritten_is_asked_for_on_a_terminal(new: New) -> None:
    """The question names the files; after a no all files are unchanged."""
    Path("site").mkdir()
    Path("site/Dockerfile").write_text("mine")
    asked: list[str] = []

    def confirm(words: str) -> bool:
        asked.append(words)
        return len(asked) > 1

    wish = new_module.NewRequest("static-nginx", directory="site")
    with pytest.raises(Exception, match="nothing was written"):
        new_module.new(wish, lambda question: question.default, confirm, lambda _: None)
    assert Path("site/Dockerfile").read_text() == "mine"
    assert new_module.new(wish, lambda question: question.default, confirm, lambda _: None).replaced == (
        "Dockerfile",
    )
    assert asked == [f"{os.path.abspath('site')} has Dockerfile already. Overwrite?"] * 2


def test_a_folder_with_code_gets_what_it_lacks(new: New) -> None:
    """Its own files stay; on a terminal the tree is shown and asked for first."""
    Path("package.json").write_text('{"scripts": {"start": "node a.js"}}')
    Path(".dockerignore").write_text("mine")
    shown: list[str] = []
    with pytest.raises(Exception, match="nothing was written"):
        new_module.new(new_module.NewRequest(), None, lambda _: False, shown.extend)
    assert shown[1:] == ["  Dockerfile", "  compose.yml"]
    assert new("--defaults").returncode == 0
    assert made(Path()) == {"package.json", ".dockerignore", "Dockerfile", "compose.yml"}
    assert Path(".dockerignore").read_text() == "mine"
    assert 'CMD ["node", "a.js"]' in Path("Dockerfile").read_text()
    assert "action: sync+restart" in Path("compose.yml").read_text()
    assert "there is a compose.yml already" in new().stderr


def test_a_question_is_asked_until_it_has_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid answer is reported; choices are shown."""
    replies = iter(["x", " b "])
    questions: list[str] = []

    def prompt(words: str, **_: object) -> str:
        questions.append(words)
        return next(replies)

    monkeypatch.setattr(typer, "prompt", prompt)

    class Window:
        aside = questions.append

    question = Question("key", "Which", "a", choices=("a", "b"))
    assert command._ask(question, Window) == "b"  # type: ignore[arg-type]
    assert questions == ["Which (a, b) [a]", "key is to be one of a, b, not 'x'", "Which (a, b) [a]"]


def test_passwords_differ_and_git_does_not_see_them(new: New) -> None:
    """The variable's value is in no file that would be committed."""
    assert new("express-postgres", ".", "--defaults").returncode == 0
    password = Path(".env").read_text().split('"')[1]
    assert len(password) == 32
    subprocess.run(["git", "init", "-q"], check=True)
    seen = subprocess.run(["git", "ls-files", "-o", "--exclude-standard"], capture_output=True, text=True, check=True)
    assert ".env.example" in seen.stdout.split()
    assert ".env" not in seen.stdout.split()
    assert [path for path in seen.stdout.split() if password in Path(path).read_text()] == []


def test_files_have_the_modes_that_the_user_wants(new: New) -> None:
    """The modes respect the umask."""
    before = os.umask(0o077)
    try:
        assert new("static-nginx").returncode == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat("static-nginx/compose.yml").st_mode) == 0o600


def test_our_templates_have_defaults_that_are_answers() -> None:
    """Of projects and stacks alike."""
    for folder in (*shipped().values(), *shipped("stacks").values()):
        for question in read(folder, is_ours=True).questions:
            assert question.checked(question.default)
    with pytest.raises(UsageError):
        new_module.ours("stacks")


def test_a_folder_that_is_gone_is_said(new: New) -> None:
    """The error says that the current directory was removed."""
    os.rmdir(os.getcwd())
    done = new("static-nginx")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "error: the current folder does not exist any more")


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_ctrl_c_at_a_question_writes_nothing(new: New, key: str) -> None:
    """It ends with 130 and says so; on a terminal, since elsewhere nothing is asked."""
    with Terminal(sys.executable, "-m", "devenv", "new", "static-nginx", cwd=Path.cwd(), env={}) as terminal:
        terminal.until("8080")
        for _ in range(10):
            terminal.type(key)  # Python's input loses a Ctrl-C that comes in the moment before it waits
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert terminal.process.wait(3) == 130
                break
        terminal.until("nothing was written")
    assert os.listdir() == []
