"""Answers of commands as lines of text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devenv.model.answers import (
    AREAS,
    Explained,
    Finding,
    Here,
    MachineRun,
    Mounted,
    RuleVerdict,
    Shown,
    ShownRule,
    ShownService,
)
from devenv.model.containers import Container
from devenv.model.ps import Address, Stand, stands
from devenv.ui import tables


def test_the_state_comes_first_and_commands_in_columns() -> None:
    """Cleaned: names in Compose files are chosen by their authors."""
    here = Here("up", "sh\x1b[2Jop is up", "shop", urls=("http://localhost:1/",), guardians=("one waits",))
    state, url, guardian, *commands = tables.status(here, here.commands)
    assert (state, url, guardian) == ("shop is up", "  http://localhost:1/", "one waits")
    texts = [suggestion.does for suggestion in here.commands]
    assert len(commands) == len(texts) > 1
    assert len({line.index(text) for line, text in zip(commands, texts, strict=True)}) == 1


def test_addresses_name_the_machine_that_they_are_forwarded_from() -> None:
    """In the status, in the list of runs, and below the list of services if one of them has a port."""
    far = {"urls": ("http://localhost:1/",), "forwarded_from": "f\x07ar"}
    here = Here("up", "shop is up", "shop", **far)  # type: ignore[arg-type] # text and a tuple
    assert list(tables.status(here, here.commands))[1] == "  http://localhost:1/ (forwarded from far)"
    run = MachineRun("shop", "/shop", "running", **far)  # type: ignore[arg-type] # as above
    assert "http://localhost:1/ (forwarded from far)" in tables.machine_runs([run], "/home/me", 0.0, None)[1]
    for ports, lines in ((("127.0.0.1", 80, 80),), ["ports are forwarded from far"]), ((), []):
        states = stands("p", ("web",), [replace(WEB, ports=ports)], lambda _: 60.0)
        assert list(tables.services(replace(states, forwarded_from="far")))[2:] == lines


def test_lines_for_people() -> None:
    """Errors, warnings and notes have a mark; healthy parts are one line; no output moves the cursor."""
    report = (
        Finding("a", "error", "engine", "bad\x1b[2J", "type \x07this"),
        Finding("b", "warning", "machine", "so so"),
        Finding("c", "info", "proxies", "by the way"),
    )
    assert list(tables.findings(report, AREAS, 0.51)) == [
        "✗ a: bad",
        "  hint: type this",
        "! b: so so",
        "· c: by the way",
        "✓ tools, registries, proxies, builder, project",
        "1 error, 1 warning (0.5 s); devenv help troubleshooting explains each",
    ]
    assert list(tables.findings((), ("tools",), 2)) == ["✓ tools", "no errors, no warnings (2.0 s)"]
    assert list(tables.findings(report[:1], ("engine",), 2))[-1].startswith("1 error, no warnings")


WEB = Container("1", "p-web-1", "web", "running", ours=True, health="healthy", started_at="60")
SERVICES = ("web", "db", "tool")


def shown(*containers: Container, services: tuple[str, ...] = SERVICES) -> list[str]:
    """The table, with one space between cells."""
    answer = stands("p", services, containers, lambda at: float(at) if at else None)
    return [" ".join(line.split()) for line in tables.services(answer)]


def test_services_come_in_the_order_of_the_file_and_orphans_last() -> None:
    """Services without a container are listed, and so are services of which only a container is left."""
    gone = Container("2", "p-gone-1", "gone", "exited", ours=False, exit_code=1, finished_at="300", restarts=3)
    assert shown(gone, WEB) == [
        "SERVICE STATE HEALTH PORTS AGE RESTARTS MADE BY",
        "web ● running healthy 1 min devenv",
        "db ○ absent",
        "tool ○ absent",
        "gone ✗ exited (1) 5 min ago 3 not devenv",
    ]
    assert shown(services=()) == []


@pytest.mark.parametrize(
    ("state", "health", "code", "text"),
    [
        ("running", None, 0, "● running"),
        ("running", "starting", 0, "◐ running starting"),
        ("running", "unhealthy", 0, "✗ running unhealthy"),
        ("exited", "unhealthy", 0, "■ stopped"),
        ("exited", None, 137, "✗ exited (137)"),
        ("created", None, 0, "○ created"),
        ("paused", None, 0, "◌ paused"),
        ("restarting", None, 1, "◐ restarting"),
        ("dead", None, 0, "✗ dead"),
        ("some-new-one", None, 0, "○ some-new-one"),
    ],
)
def test_each_state_has_a_shape_and_a_word(state: str, health: str | None, code: int, text: str) -> None:
    """They are visible without colours; an old health is not shown."""
    row = replace(WEB, state=state, health=health, exit_code=code, started_at="", ours=False)
    assert shown(row, services=())[1:] == [f"web {text} not devenv"]


def test_containers_of_a_service_are_numbered() -> None:
    """The numbers are in their names, without characters that move the cursor."""
    other = replace(WEB, name="p-web-2\x1b[2J", started_at="59")
    assert [line.split()[0] for line in shown(WEB, other, services=())[1:]] == ["p-web-1", "p-web-2"]
    assert "just now" in shown(other, services=())[1]


def test_ports_are_addresses_to_click() -> None:
    """Once for both kinds of loopback, and once for all addresses."""
    ports = (
        ("127.0.0.1", 8080, 80),
        ("::1", 8080, 80),
        ("0.0.0.0", 8443, 443),
        ("::", 8443, 443),
        ("10.0.0.1", 81, 81),
        ("fd00::1", 82, 82),
    )
    (stand,) = stands("p", (), [replace(WEB, ports=ports)], lambda _: None).services
    assert stand.ports == (
        Address(80, "localhost:8080"),
        Address(81, "10.0.0.1:81"),
        Address(82, "[fd00::1]:82"),
        Address(443, "0.0.0.0:8443"),
    )
    assert "localhost:8080->80, 10.0.0.1:81->81" in shown(replace(WEB, ports=ports))[1]


def test_a_udp_port_says_so() -> None:
    """It is nothing to click."""
    service = replace(WEB, ports=(), udp_ports=(("0.0.0.0", 5353, 53),))
    (stand,) = stands("p", (), [service], lambda _: None).services
    assert stand.ports == (Address(53, "0.0.0.0:5353", "udp"),)
    assert "0.0.0.0:5353->53/udp" in shown(service)[1]


def test_what_has_ended_says_with_what() -> None:
    """Only ended services have an exit code; `ours` is unknown for missing containers."""
    ended = replace(WEB, state="exited", exit_code=3, finished_at="9")
    found = stands("p", ("db",), [ended, replace(WEB, name="p-web-2")], float).services
    assert [(s.container, s.exit_code, s.age, s.ours) for s in found] == [
        (None, None, None, None),
        ("p-web-1", 3, 9, True),
        ("p-web-2", None, 60, True),
    ]
    assert found[0] == Stand("db")


def test_a_screen_is_never_left() -> None:
    """Lines are cut at its width, and the last line counts those that do not fit."""
    assert tables.screen(["a" * 9, "b"], 6, 4) == ["aaaaa", "b"]
    assert tables.screen(["a", "b", "c", "d"], 6, 4) == ["a", "b", "... 2 more"]


def verdict(**more: object) -> RuleVerdict:
    """The verdict of rule 1 of `web`, with these fields."""
    fields = {"service": "web", "index": 0, "action": "sync", "place": "compose.yml:9", "matches": False, **more}
    return RuleVerdict(**fields)  # type: ignore[arg-type] # the fields are keyword arguments


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"matches": True, "effects": ("sync",), "target": "/app/x"}, "sync to /app/x"),
        (
            {"matches": True, "effects": ("sync", "exec"), "target": "/x", "decided_by": "ignore", "pattern": "!x"},
            "sync to /x, then run its command (`!x` in `ignore`)",
        ),
        ({"matches": True, "effects": ("restart",)}, "restart"),
        ({"matches": True, "reason": "a bind mount has it already"}, "nothing: a bind mount has it already"),
        ({"decided_by": "built-in", "pattern": "**/.git"}, "nothing: git's own (`**/.git`, built in)"),
        ({"decided_by": "built-in", "pattern": "**/*~"}, "nothing: a temporary file (`**/*~`, built in)"),
        ({"decided_by": "own file"}, "nothing: a compose file or Dockerfile is not copied"),
        ({"decided_by": "ignore", "pattern": "*.md"}, "nothing: ignored (`*.md` in `ignore`)"),
        (
            {"decided_by": ".dockerignore", "pattern": "dist/", "file": "web/.dockerignore:3"},
            "nothing: ignored (`dist/` in web/.dockerignore:3)",
        ),
        ({"decided_by": "include"}, "nothing: `include` does not name it"),
        ({"decided_by": "include", "pattern": "!a"}, "nothing: ignored (`!a` in `include`)"),
    ],
)
def test_verdict_of_a_rule(fields: dict[str, object], text: str) -> None:
    """It says what happens, or why nothing does, and names the place of the rule."""
    assert tables.explained([Explained("src/x", "file", (verdict(**fields),))]) == [
        "src/x",
        f"  web  {text}  compose.yml:9",
    ]


def test_paths_are_blocks_with_one_set_of_columns() -> None:
    """The columns are the same for all paths; other kinds of files are named; a name cannot move the cursor."""
    row = verdict(service="a", matches=True, effects=("restart",), place="x:1")
    two = verdict(service="long", matches=True, effects=("rebuild",), place="y:22")
    own = Explained(".env", "file", is_input=True)
    assert tables.explained([Explained("d", "dir", (row, two)), Explained("\x1b[2Jn", "absent"), own]) == [
        "d (a folder: what is saved in it)",
        "  a     restart  x:1",
        "  long  rebuild  y:22",
        "n (does not exist)",
        "  no rule covers it",
        ".env",
        "  a file of the project: valid changes are applied while the project is up",
    ]


def test_mounts_and_rules_below_a_folder() -> None:
    """A bind mount brings a save by itself; a rule of the same service may do more."""
    mount = Mounted("web", ".:/code", "c.yml:16", "/code/app.py")
    restart = verdict(service="web", matches=True, effects=("restart",), place="c.yml:9")
    other = verdict(service="api", matches=True, effects=("restart",), place="c.yml:9")
    seen = "  web: bind mount .:/code (c.yml:16): the container sees the save"
    assert tables.explained([Explained("app.py", "file", (), (mount,))]) == [
        "app.py",
        f"{seen}; nothing is restarted",
    ]
    assert tables.explained([Explained("app.py", "file", (restart,), (mount,))])[2] == seen
    assert tables.explained([Explained("app.py", "file", (other,), (mount,))])[2] == f"{seen}; nothing is restarted"

    rule = ShownRule("sync", "src", "/app", (), (), False, (), "c.yml:7")
    below = Explained(".", "dir", (), (replace(mount, target=None),), (ShownService("web", None, (rule,)),))
    assert tables.explained([below]) == [
        ". (a folder: what is saved in it)",
        "  web: bind mount .:/code (c.yml:16)",
        "  SERVICE  ACTION  PATH         PLACE",
        "  web      sync    src -> /app  c.yml:7",
    ]


def test_overview_of_a_project() -> None:
    """Services with rules, each rule's lists below it, notes, and services without rules."""
    sync = ShownRule("sync+exec", "src", "/app", ("a", "*.md"), ("b",), True, ("make", "it"), "c.yml:7", "a note")
    plain = ShownRule("rebuild", "package.json", None, (), (), False, (), "c.yml:9")
    services = (ShownService("web", "web/.dockerignore", (sync, plain)), ShownService("db", None, ()))
    settings = {"ports": "as-written", "hooks": {"before_up": ["ü", 1]}}
    assert tables.rules(Shown("demo", "/p", ("c.yml", "d.yml"), services, settings, ("c.yml:7: far",))) == [
        "demo in /p",
        "  files: c.yml, d.yml",
        "  x-devenv: ports: as-written",
        '  x-devenv: hooks: {"before_up": ["ü", 1]}',
        "web, with web/.dockerignore",
        "  sync+exec  src -> /app   c.yml:7",
        "             ignore: a, *.md",
        "             include: b",
        "             exec: make it",
        "             initial_sync: true",
        "             a note",
        "  rebuild    package.json  c.yml:9",
        "no rules: db",
        "warning: c.yml:7: far",
    ]


def test_runs_of_the_machine_are_cut_to_the_terminal() -> None:
    """A line per run; the home folder is `~`, control characters are removed, and an ellipsis ends a wide line."""
    runs = [
        MachineRun("shop", "/home/me/sh\nop", "running", running=1, containers=2, urls=("http://localhost:1/", "x")),
        MachineRun("old", "/home/men/old", "ended", is_removed=True, began=1000.0, memory=2_300_000),
    ]
    lines = tables.machine_runs(runs, "/home/me", 1120.0, None)
    assert lines == [
        "PROJECT  FOLDER                          BRANCH  STATE        ADDRESS              SINCE  MEMORY",
        "shop     ~/shop                                  running 1/2  http://localhost:1/",
        "old      /home/men/old (folder removed)          ended                             2 min  2.3 MB",
    ]
    assert tables.machine_runs(runs, "/home/me", 1120.0, 20)[2] == "old      /home/men…"
