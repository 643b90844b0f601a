"""`devenv sync`: any containers, brought to the tree as it is now, and nothing else touched."""

from __future__ import annotations

import shutil

import pytest

from support.cli import Devenv
from support.stack import NewStack, Stack, idle_service

pytestmark = pytest.mark.engine


@pytest.fixture
def stack(new_stack: NewStack) -> Stack:
    """A project that plain compose has brought up, two replicas of a service that syncs."""
    stack = new_stack()
    for path in ("a", "deep/b", "deep/c"):
        stack.write(f"src/{path}", f"{path}\n")
    rule = {"path": "./src", "action": "sync", "target": "/app/src", "ignore": ["*.log"]}
    stack.compose_file({"web": idle_service(develop={"watch": [rule]}, scale=2), "db": idle_service()})
    assert stack.compose("up", "-d").returncode == 0
    return stack


def sync(stack: Stack, *args: str, code: int = 0) -> Devenv:
    """The command, ended with this exit code."""
    run = Devenv("sync", *args, cwd=stack.folder, env=stack.env)
    assert run.wait(timeout=60) == code, run.report()
    return run


def test_containers_of_anybody_equal_the_tree_when_it_returns(stack: Stack) -> None:
    """Both replicas; saves, deletes and moves between two calls arrive with the second; what is theirs stays."""
    run = sync(stack, "--verify")
    compared = run.all("compared")
    assert [(c["files"], c["different"]) for c in compared] == [(3, []), (3, [])]
    assert run.all("synced", service="web", files=3)
    stack.execute_in_all("web", "sh", "-c", "echo own > /app/src/deep/own; echo own > /app/src/x.log")
    stack.write("src/a", "new\n")
    shutil.move(stack.folder / "src/deep", stack.folder / "src/moved")
    assert sync(stack, "--verify").all("compared", different=[])
    assert stack.read_all("web", "/app/src/a") == {"new\n"}
    assert stack.read_all("web", "/app/src/moved/b") == {"deep/b\n"}
    assert stack.read_all("web", "/app/src/deep/b") == {None}
    assert stack.read_all("web", "/app/src/deep/own") == {"own\n"}
    assert stack.read_all("web", "/app/src/x.log") == {"own\n"}


def test_a_dry_run_says_what_would_be_done_and_does_nothing(stack: Stack) -> None:
    """Copies and deletes, one a line."""
    sync(stack)
    stack.write("src/a", "new\n")
    (stack.folder / "src/deep/b").unlink()
    said = {n["message"] for n in sync(stack, "--dry-run").all("notice")}
    assert said == {
        f"web sync /app/src/a <- {stack.folder}/src/a",
        "web delete /app/src/deep/b <- src/deep/b",
    }
    assert stack.read_all("web", "/app/src/a") == {"a\n"}
    assert stack.read_all("web", "/app/src/deep/b") == {"deep/b\n"}


def test_a_source_that_is_not_mounted_deletes_nothing(stack: Stack) -> None:
    """Moved away or emptied as a whole: said, and left."""
    sync(stack)
    shutil.rmtree(stack.folder / "src")
    for _ in range(2):
        run = sync(stack)
        assert run.all("notice", message="src is not there or empty: nothing of it is deleted in containers")
        assert stack.read_all("web", "/app/src/a") == {"a\n"}
        (stack.folder / "src").mkdir(exist_ok=True)


def test_what_the_container_has_otherwise_is_found_and_mended(stack: Stack) -> None:
    """A file that was changed or deleted in the container itself."""
    sync(stack)
    stack.execute_in_all("web", "sh", "-c", "echo wrong > /app/src/a; rm /app/src/deep/c")
    assert sync(stack, "web").all("synced", files=2)
    assert stack.read_all("web", "/app/src/a") == {"a\n"}
    assert stack.read_all("web", "/app/src/deep/c") == {"deep/c\n"}


def test_mistakes(stack: Stack) -> None:
    """A service that is not there is a mistake; one without rules, or without containers, is none."""
    assert sync(stack, "nope", code=2).all("error", message="there is no service `nope`")
    assert sync(stack, "db").all("notice")
    stack.compose("down", "-t", "0")
    assert sync(stack).all("notice", hint="devenv up")


def test_a_container_that_does_not_run_is_not_called_equal(stack: Stack) -> None:
    """Files go into it; what has gone cannot be deleted there, and that is said and is no success."""
    sync(stack)
    assert stack.compose("stop", "-t", "0", "web").returncode == 0
    stack.write("src/a", "new\n")
    assert sync(stack, "--verify").all("compared", different=[])
    (stack.folder / "src/deep/b").unlink()
    run = sync(stack, "--verify", code=1)
    assert run.all("problem", hint="docker compose start web, then: devenv sync"), run.report()
    assert run.all("compared", different=["/app/src/deep/b"])
    assert stack.compose("start", "web").returncode == 0
    assert sync(stack, "--verify").all("compared", different=[])
    assert stack.read_all("web", "/app/src/a") == {"new\n"}
