"""Templates are read and rendered as data; anything that could do more is refused, and nothing is written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import anyio
import pytest

from devenv.docker import process
from devenv.errors import ConfigError, DevenvError, RefusedError, UsageError
from devenv.scaffold.new import render
from devenv.scaffold.new import template as templates
from devenv.scaffold.new.template import Template

ABOUT = 'description = "a test"\n[[questions]]\nkey = "word"\nprompt = "A word"\ndefault = "x"\n'
Plant = Callable[[Path], object]


class Done(Protocol):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def write(path: str, text: str = "text") -> Plant:
    """Plants a file below files/."""

    def plant(folder: Path) -> None:
        target = folder / "files" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    return plant


def both(*plants: Plant) -> Plant:
    """Plants all of them."""
    return lambda folder: [plant(folder) for plant in plants]


def link(path: str, to: str) -> Plant:
    """Plants a symbolic link below the template."""
    return lambda folder: os.symlink(to, folder / path)


def hard_link(folder: Path) -> None:
    """Plants a second name of a file outside the template."""
    canary = folder.parent / "canary"
    os.link(canary, folder / "files/hard")


def files_is_link(folder: Path) -> None:
    """The folder of files is a link out of the template."""
    os.rmdir(folder / "files")
    os.symlink(folder.parent, folder / "files")


def large(folder: Path) -> None:
    """A file that says to have 200 MB."""
    with open(folder / "files/large", "wb") as file:
        file.truncate(200 * 1024**2)


def many(folder: Path) -> None:
    """More files than a template may have, which is less here."""
    for count in range(FEW + 1):
        (folder / "files" / str(count)).touch()


JINJA = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
ESCAPES: dict[str, Plant] = {
    "link to a file": link("files/passwd", "/etc/passwd"),
    "link to a folder": link("files/etc", "/etc"),
    "link within": both(write("a"), link("files/b", "a")),
    "template.toml is a link": both(
        lambda folder: (folder / "template.toml").unlink(), link("template.toml", "/etc/passwd")
    ),
    "hard link": hard_link,
    "pipe": lambda folder: os.mkfifo(folder / "files/pipe"),
    "git hook": write(".git/hooks/pre-commit"),
    "git in capitals": write(".GIT/config"),
    "git by its short name": write("git~1/config"),
    "ssh": write(".ssh/authorized_keys"),
    "an option": write("-rf"),
    "a drive": write("C:evil"),
    "a backslash": write("..\\evil"),
    "hidden characters": write(".g\u200cit/config"),
    "a trailing dot": write(".git./config"),
    "up by a name": write("{{ '..' }}/evil"),
    "up by an answer in a name": write("{{ ['..', 'evil']|join('%c'|format(47)) }}"),
    "absolute by a name": write("{{ '%cetc%cevil'|format(47, 47) }}"),
    "twice but for case": both(write("a.txt"), write("A.txt")),
    "file and folder": both(write("a/b"), write("{{ 'a' }}.jinja")),
    "class": write("x.jinja", JINJA),
    "class in a name": write("{{ ''.__class__.__mro__ }}"),
    "include": write("x.jinja", "{% include '/etc/passwd' %}"),
    "include up": write("x.jinja", "{% include '../../canary' %}"),
    "huge range": write("x.jinja", "{% for i in range(10**9) %}x{% endfor %}"),
    "endless loops": write("x.jinja", "{% for i in range(9**5) %}{% for i in range(9**5) %}{% endfor %}{% endfor %}"),
    "huge text": write("x.jinja", "{{ 'x' * 10**10 }}"),
    "huge number": write("x.jinja", "{{ 9**(9**9) }}"),
    "huge files": write("x.jinja", "{% for i in range(150) %}{{ word * 10**6 }}{% endfor %}"),
    "large": large,
    "many": many,
}  # fmt: skip

ENDLESS = ("endless loops", "huge number")
COSTLY = (*ENDLESS, "huge range", "huge text", "huge files")
FEW = 100


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A valid template, beside a file that must be neither read nor changed."""
    folder = tmp_path / "template"
    (folder / "files").mkdir(parents=True)
    (folder / "template.toml").write_text(ABOUT, encoding="utf-8")
    (tmp_path / "canary").write_text("canary", encoding="utf-8")
    return folder


def left(template: Path) -> list[str]:
    """The files in the place of the project, and the content of the canary."""
    return [*os.listdir(template.parent / "work"), (template.parent / "canary").read_text(encoding="utf-8")]


@pytest.mark.parametrize("escape", ESCAPES)
def test_an_escape_is_refused_and_nothing_is_written(
    template: Path, new: Callable[..., Done], escape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 6, the reason is one line, and no file is written."""
    monkeypatch.setattr(templates, "MAX_FILES", FEW)
    if escape in ENDLESS:
        monkeypatch.setattr(render, "SECONDS", 1)
    if escape in COSTLY:
        monkeypatch.setattr(render, "process", process)
    ESCAPES[escape](template)
    done = new("--from", str(template), "target", "--defaults")
    assert (done.returncode, done.stdout, left(template)) == (6, "", ["canary"]), done.stderr
    assert done.stderr.startswith("error: the template")
    assert "Traceback" not in done.stderr


def test_an_honest_template_is_taken(template: Path, new: Callable[..., Done]) -> None:
    """Names and texts are rendered, other files are copied unchanged with their x bit, empty names are left out."""
    both(
        write("{{ project }}/{{ word }}.txt.jinja", "{% include 'part.jinja' %}!\n"),
        write("part.jinja", "{{ word }}"),
        write("raw.txt", "{{ raw }} €\r\n"),
        write("{% if word == 'no' %}never{% endif %}", "x"),
        write("run.sh", "#!/bin/sh\n"),
    )(template)
    (template / "files/run.sh").chmod(0o755)
    done = new("--from", str(template), "target", "--defaults", "--data", "word=yes")
    assert done.returncode == 0, done.stderr
    target = template.parent / "work/target"
    made = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert made == {"target/yes.txt", "part", "raw.txt", "run.sh"}
    assert (target / "target/yes.txt").read_bytes() == b"yes!\n"
    assert (target / "raw.txt").read_bytes() == "{{ raw }} €\r\n".encode()
    assert os.access(target / "run.sh", os.X_OK)
    assert not os.access(target / "raw.txt", os.X_OK)


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (write("x.jinja", "{{ nobody }}"), "x.jinja: 'nobody' is undefined"),
        (write("x.jinja", "a\n{% if %}"), "x.jinja, line 2"),
        (write("x.jinja", "{{ 1 / 0 }}"), "division by zero"),
        (lambda folder: (folder / "files/x.jinja").write_bytes(b"\xff"), "UTF-8"),
        (lambda folder: os.remove(folder / "template.toml"), "no template.toml"),
        (lambda folder: os.rmdir(folder / "files"), "no folder `files`"),
        (lambda folder: (folder / "template.toml").write_text("x = "), "not a template's description"),
        (lambda folder: (folder / "template.toml").write_text("x = 1"), "not a template's description"),
        (
            lambda folder: (folder / "template.toml").write_text(ABOUT.replace('"word"', '"no key"')),
            "'no key' is not a key of a question",
        ),
        (
            lambda folder: (folder / "template.toml").write_text(f'{ABOUT}choices = ["a", "\\u001b]0;title"]\n'),
            "the question 'word' has characters that cannot be shown",
        ),
        (lambda folder: (folder / "template.toml").write_text(f'{ABOUT}kind = "z"\n'), "'z' is not a kind"),
    ],
)
def test_a_broken_template_is_one_clear_line(
    template: Path, new: Callable[..., Done], plant: Plant, message: str
) -> None:
    """Exit 5, and the file that is wrong."""
    plant(template)
    done = new("--from", str(template), "target", "--defaults")
    assert (done.returncode, left(template)) == (5, ["canary"])
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


SSH = """#!/bin/sh
# Stands for ssh to any host: runs the last argument here, and notes all of them.
printf '%s\\n' "$@" >>"$SSH_NOTES"
for last; do :; done
exec sh -c "$last"
"""


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a template at the tag v1, which `ssh://host/...` reaches."""
    folder = tmp_path / "shop.git"
    (folder / "files").mkdir(parents=True)
    (folder / "template.toml").write_text('description = "remote"\n')
    (folder / "files/a.txt").write_text("one")
    git(folder, "init", "-q")
    commit(folder)
    git(folder, "tag", "v1")
    (folder / "files/a.txt").write_text("two")
    commit(folder)
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin/ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SSH_NOTES", str(tmp_path / "notes"))
    return folder


def git(folder: Path, *arguments: str) -> None:
    """A git command in the folder, with a name for its commits."""
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


def commit(folder: Path) -> None:
    """All that the folder has, committed."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")


def fetched(source: str) -> Template:
    """The template, as `--from` gets it."""
    return anyio.run(templates.fetched, source)


@pytest.mark.parametrize(("ref", "text"), [("", b"two"), ("@v1", b"one")])
def test_a_repository_is_fetched_at_the_tag(remote: Path, ref: str, text: bytes) -> None:
    """Without a tag it is the newest commit; the template has the repository's name."""
    template = fetched(f"ssh://host{remote}{ref}")
    assert (template.name, template.files["a.txt"].content) == ("shop", text)


def test_nothing_of_the_environment_or_of_hooks_takes_part(
    remote: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As from within a git hook: GIT_DIR and its kind are not for this repository."""
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {tmp_path}/planted; false")
    assert fetched(f"ssh://host{remote}").name == "shop"
    assert not (tmp_path / "planted").exists()


def test_a_link_and_a_submodule_in_the_repository_are_refused(remote: Path) -> None:
    """A link that git would have written as a file is refused, too."""
    os.symlink("/etc/passwd", remote / "files/passwd")
    commit(remote)
    with pytest.raises(RefusedError, match=r"files/passwd.*link or a submodule"):
        fetched(f"ssh://host{remote}")
    git(remote, "rm", "-q", "files/passwd")
    git(remote, "submodule", "add", "-q", str(remote), "files/sub")
    commit(remote)
    with pytest.raises(RefusedError, match="submodule"):
        fetched(f"ssh://host{remote}")


def test_a_repository_that_is_not_there_is_one_clear_line(remote: Path) -> None:
    """The message has a hint, and not the output of git."""
    with pytest.raises(ConfigError, match="cannot be fetched") as caught:
        fetched(f"ssh://host{remote}/nowhere@v1")
    assert caught.value.hint == f"git ls-remote ssh://host{remote}/nowhere"


@pytest.mark.parametrize(
    "source",
    [
        "ext::sh -c id", "file:///etc", "http://host/x", "git://host/x", "ssh://-oProxyCommand=id/x", "-u",
        "--upload-pack=x", "https://host/x@--config=core.sshCommand=id", "https://host/x@../y", "https://host/x@-x",
        "git@-host:x", "git@host:-x", "https://host/a b", "fd::17/x", "ssh://host", "https:///x", "x@y",
    ],
)  # fmt: skip
def test_an_address_that_could_do_more_is_refused(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before git is started."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RefusedError, match="is not an address of a template"):
        fetched(source)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A name without the marks of an address is a folder."""
    with pytest.raises(UsageError, match="not found"):
        fetched(f"{tmp_path}/nowhere")


@pytest.mark.parametrize("source", ["https://me:secret@host/x@-", "https://secret@host/x@-", "https://[secret@/x::"])
def test_no_password_is_shown(source: str) -> None:
    """No kind of wrong address shows it."""
    with pytest.raises(DevenvError) as caught:
        fetched(source)
    assert "secret" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "a/..", "../a", "/etc", "a//b", "a/", "C:a", "a\\b", "-rf", "a/-rf", "a\nb", "a\0b",
        "a\u202eb", "a.", "a ", " a", ".git", ".GIT/config", "a/.git/hooks/x", "GIT~1", ".ssh/x", "a/.Ssh",
        "x" * 256, "é" * 128,
    ],
)  # fmt: skip
def test_a_path_that_could_do_harm_is_refused(path: str) -> None:
    """The reason may be the path, the name, or how another program or file system reads it."""
    with pytest.raises(RefusedError, match="is refused"):
        templates.check_paths([path])


def test_honest_paths_are_taken() -> None:
    """Hidden files, spaces within, other scripts, and what only looks like a name of git's."""
    templates.check_paths(
        ["a", "b/c", ".env", ".gitignore", ".github/x", "a b", "日本", "x" * 255, "b/a", "..a", "a..b"]
    )


@pytest.mark.parametrize("paths", [["a", "A"], ["a/b", "A/B"], ["é", "e\u0301"], ["a", "a/b"], ["A/b", "a"]])
def test_paths_that_a_file_system_does_not_hold_apart_are_refused(paths: list[str]) -> None:
    """Two paths may be equal by case or Unicode form, or one would be a folder of the other."""
    with pytest.raises(RefusedError, match=r"twice|both as a file"):
        templates.check_paths(paths)


def test_too_many_paths_are_refused() -> None:
    """The number is one more than the limit."""
    templates.check_paths(map(str, range(templates.MAX_FILES)))
    with pytest.raises(RefusedError, match="10,000"):
        templates.check_paths(map(str, range(templates.MAX_FILES + 1)))


def test_a_tree_shows_each_folder_once() -> None:
    """Indented, in order, folders with a slash."""
    assert templates.tree(["b/d/e", "b/c", "a"]) == ["a", "b/", "  c", "  d/", "    e"]
