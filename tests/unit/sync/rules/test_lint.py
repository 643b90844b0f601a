"""Errors in watch rules, and warnings about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from devenv.model.project import Action, Build, Hook, Mount, Project, Service, WatchRule
from devenv.sync.rules.lint import faults, without_rules

FINE = WatchRule("/home/me/p/fine", Action.RESTART)


def found(rule: WatchRule, *others: WatchRule, **service: Any) -> list[tuple[str, str]]:
    """Level and message of every fault of the last of a service's rules."""
    rules = (FINE, *others, rule)
    project = Project("demo", "/home/me/p", (), (Service("api"), Service("web", watch=rules, **service)))
    every = faults(project, "/home/me")
    assert {fault.service for fault in every} <= {"web"}
    assert {fault.index for fault in every} <= {len(rules) - 1}
    assert all(fault.hint.endswith(".") or fault.level == "warning" for fault in every)
    assert all(fault.is_of_mount is fault.message.startswith("nothing is copied") for fault in every)
    return [(fault.level, fault.message) for fault in every]


def sync(target: str | None = "/app", path: str = "/home/me/p", **more: Any) -> WatchRule:
    """A rule that copies."""
    return WatchRule(path, more.pop("action", Action.SYNC), target, **more)


@pytest.mark.parametrize(
    ("rule", "service", "expected"),
    [
        (sync(), {}, []),
        (sync("/"), {}, []),
        (WatchRule("/home/me/p", Action.RESTART), {}, []),
        (WatchRule("/home/me/p", Action.REBUILD), {"build": Build("/home/me/p")}, []),
        (sync(action=Action.SYNC_EXEC, exec=Hook(("x",))), {}, []),
        (sync(None), {}, ["the `sync` rule for /home/me/p has no `target`"]),
        (sync("", action=Action.SYNC_RESTART), {}, ["the `sync+restart` rule for /home/me/p has no `target`"]),
        (sync("app"), {}, ["the `target` app is not absolute"]),
        (sync(action=Action.SYNC_EXEC), {}, ["the `sync+exec` rule for /home/me/p has no command"]),
        (
            sync(action=Action.SYNC_EXEC, exec=Hook(())),
            {},
            ["the `sync+exec` rule for /home/me/p has no command"],
        ),
        (
            WatchRule("/home/me/p", Action.REBUILD),
            {},
            ["service `web` has nothing to rebuild: it has no `build` section"],
        ),
        (
            WatchRule("/home/me/p", Action.RESTART, ignore=("[",), include=("a\\",)),
            {},
            [
                "`ignore`: bad pattern `[`: `[` is not complete",
                "`include`: bad pattern `a\\`: `\\` is not complete",
            ],
        ),
        # paths at which no file can be put
        (sync("/proc/x"), {}, ["the `target` /proc/x belongs to the system: no file can be put there"]),
        (sync("/a/../sys/"), {}, ["the `target` /a/../sys/ belongs to the system: no file can be put there"]),
        (sync("/dev/shm"), {}, ["the `target` /dev/shm belongs to the system: no file can be put there"]),
        (sync("/device"), {}, []),
        (
            sync("/run/app"),
            {"tmpfs": ("/run",)},
            ["the `target` /run/app is inside the tmpfs /run, where the engine can put no file"],
        ),
        (
            sync("/run"),
            {"volumes": (Mount("tmpfs", "/run/"),)},
            ["the `target` /run is inside the tmpfs /run/, where the engine can put no file"],
        ),
        (sync("/run/app/x"), {"tmpfs": ("/run",), "volumes": (Mount("volume", "/run/app", "v"),)}, []),
        (sync("/app"), {"tmpfs": ("/app/cache",)}, []),
        (
            sync("/app/x"),
            {"volumes": (Mount("volume", "/app", "v", read_only=True),)},
            ["the `target` /app/x is inside /app, which is mounted read-only"],
        ),
        (
            sync("/app"),
            {"read_only": True},
            ["service `web` is `read_only`, and no volume is mounted over the `target` /app"],
        ),
        (sync("/app"), {"read_only": True, "volumes": (Mount("volume", "/app", "v"),)}, []),
        (WatchRule("/home/me/p", Action.RESTART), {"read_only": True}, []),
    ],
)
def test_errors(rule: WatchRule, service: dict[str, Any], expected: list[str]) -> None:
    """Each rule that cannot work is reported, with its service, its index and a hint."""
    assert found(rule, **service) == [("error", message) for message in expected]


OTHER = (
    "the `target` {target} is inside the bind mount of /elsewhere: saves of {path} would be written into that folder "
    "of this machine"
)
SAME = "nothing is copied for {path}: the `target` {target} is inside the bind mount of /home/me/p"


@pytest.mark.parametrize(
    ("rule", "mount", "expected"),
    [
        (sync("/app"), Mount("bind", "/app", "/elsewhere"), ("refused", OTHER)),
        (sync("/app"), Mount("bind", "/app", "/elsewhere", read_only=True), ("refused", OTHER)),
        (sync("/app/deep/er"), Mount("bind", "/app/", "/elsewhere"), ("refused", OTHER)),
        (sync("/app", action=Action.SYNC_RESTART), Mount("bind", "/", "/elsewhere"), ("refused", OTHER)),
        (sync("/app"), Mount("bind", "/app", "/home/me/p"), ("warning", SAME)),
        (sync("/app/src", "/home/me/p/src"), Mount("bind", "/app", "/home/me/p", read_only=True), ("warning", SAME)),
        (sync("/app/other", "/home/me/p/src"), Mount("bind", "/app", "/home/me/p"), ("warning", SAME)),
        (sync("/app", action=Action.SYNC_RESTART), Mount("bind", "/app", "/home/me/p"), None),
        (sync("/app"), Mount("bind", "/application", "/elsewhere"), None),
        (sync("/app"), Mount("volume", "/app", "data"), None),
        (WatchRule("/home/me/p", Action.RESTART), Mount("bind", "/", "/elsewhere"), None),
    ],
)
def test_a_target_in_a_bind_mount(rule: WatchRule, mount: Mount, expected: tuple[str, str] | None) -> None:
    """A rule must not write to another folder of the host; a rule that does nothing has a warning."""
    told = (
        [(level, text.format(target=rule.target, path=rule.path)) for level, text in [expected]] if expected else []
    )
    assert found(rule, volumes=(mount,)) == told


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/me/p/src", []),
        ("/home/me/p", []),
        ("/home/me/pp", [("warning", "the rule watches /home/me/pp, which is outside the project")]),
        ("/home/me/shared/", [("warning", "the rule watches /home/me/shared, which is outside the project")]),
        ("/home/me", [("refused", "the rule would watch all of /home/me")]),
        ("/home/", [("refused", "the rule would watch all of /home")]),
        ("/", [("refused", "the rule would watch all of /")]),
    ],
)
def test_paths_outside_the_project(path: str, expected: list[tuple[str, str]]) -> None:
    """A folder beside the project gives a warning; one that contains the home folder is an error."""
    assert found(sync(path=path)) == expected


def test_a_project_in_the_home_folder() -> None:
    """It may be watched."""
    rule = WatchRule("/home/me", Action.RESTART)
    assert faults(Project("demo", "/home/me", (), (Service("web", watch=(rule,)),)), "/home/me") == ()


@pytest.mark.parametrize(
    ("first", "second", "warned"),
    [
        (sync("/app", "/home/me/p/a"), sync("/app", "/home/me/p/b"), True),
        (sync("/app", "/home/me/p/a"), sync("/x/../app", "/home/me/p/b", action=Action.SYNC_RESTART), True),
        (sync("/app", "/home/me/p/a", include=("x",)), sync("/app", "/home/me/p/a", include=("y",)), False),
        (sync("/app", "/home/me/p/a"), sync("/app/b", "/home/me/p/b"), False),
        (sync("/app/", "/home/me/p/a.json"), sync("/app/", "/home/me/p/b.json"), False),
        (WatchRule("/home/me/p/a", Action.RESTART), sync("/app", "/home/me/p/b"), False),
    ],
)
def test_one_target_of_two_rules(first: WatchRule, second: WatchRule, warned: bool) -> None:
    """Two folders with one target give one warning; one folder in two rules, and files into a folder, give none."""
    message = "two rules have the target /app: a file of /home/me/p/b replaces one of /home/me/p/a"
    if warned:
        message = message.replace("/app:", f"{second.target}:")
    assert found(second, first, first) == ([("warning", message)] if warned else [])


@pytest.mark.parametrize(
    ("volumes", "ways"),
    [
        ((), "a rebuild"),
        ((Mount("volume", "/x", "data"), Mount("bind", "/y", "/var/log")), "a rebuild"),
        (
            (Mount("bind", "/code", "/shop"), Mount("bind", "/z", "/shop/a")),
            "a bind mount (web has .:/code, ./a:/z) or a rebuild",
        ),
    ],
)
def test_a_project_without_watch_rules(volumes: tuple[Mount, ...], ways: str) -> None:
    """The notice names the existing bind mounts; it is left out if nothing is built."""
    db = Service("db", volumes=(Mount("bind", "/data", "/shop/data"),))
    project = Project("shop", "/shop", (), (Service("web", build=Build("/shop"), volumes=volumes), db))
    assert (
        without_rules(project, {"web", "db"})
        == f"no service has watch rules: a save reaches a container only by {ways}"
    )
    assert without_rules(replace(project, services=(Service("web", volumes=volumes),)), {"web"}) is None
    site = Service("site", volumes=(Mount("bind", "/srv", "/shop/html"),))
    with_site = replace(project, services=(*project.services, site))
    assert "site" not in str(without_rules(with_site, {"web", "db"}))
    assert without_rules(with_site, {"site"}) is None
    message = str(without_rules(with_site, {"web", "db", "site"}))
    assert ("site has ./html:/srv" in message, "db has" in message) == (True, False)
