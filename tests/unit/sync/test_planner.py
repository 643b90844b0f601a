"""Changes and rules in, the plan's text out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.model.project import Action, Build, Hook, Mount, Project, Service, WatchRule
from devenv.model.sync_plan import Sync
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.host.manifest import Changes, Manifest, apply, diff
from devenv.sync.planner import env_files, initial, plan, skipped
from devenv.sync.rules.rules import BoundRule, bind

FILE = FileState(FileKind.FILE, 0o644, 3, 10, 20, 7)
STATES = {
    "": FILE,
    "/": FileState(FileKind.DIR, 0o755, 4096, 10, 20, 8),
    "@": FileState(FileKind.LINK, 0o777, 1, 10, 20, 9, "to"),
    "|": FileState(FileKind.OTHER, 0o600, 0, 10, 20, 6),
}


def state(word: str) -> tuple[str, FileState]:
    """A path below /p and its state: `a` is a file, `a/` a folder, `a@` a link, `a|` a pipe."""
    sign = word[-1] if word[-1] in STATES else ""
    return f"/p/{word.removesuffix(sign)}", STATES[sign]


def changes(words: str) -> Changes:
    """Parse `+a -b/`: the file a is present, the folder b is gone."""
    present = dict(state(word[1:]) for word in words.split() if word[0] == "+")
    gone = dict(state(word[1:]) for word in words.split() if word[0] == "-")
    # As diff gives them, which its own tests assure.
    deepest_first = sorted(gone.items(), key=lambda item: (-item[0].count("/"), item[0]))
    return Changes(tuple(sorted(present.items())), tuple(deepest_first))


def rule(text: str) -> WatchRule:
    """`sync src:/app !ignored =included`, or `restart src`; sync+exec runs `make it`."""
    action, where, *lists = text.split()
    path, _, target = where.partition(":")
    return WatchRule(
        path=f"/p/{path}" if path != "." else "/p",
        action=Action(action),
        target=target or None,
        ignore=tuple(word[1:] for word in lists if word[0] == "!"),
        include=tuple(word[1:] for word in lists if word[0] == "="),
        exec=Hook(("make", "it")) if action == Action.SYNC_EXEC else None,
    )


def bound(*texts: str, volumes: tuple[Mount, ...] = ()) -> tuple[BoundRule, ...]:
    """Rules of the service `web`, or of NAME if the text begins with `NAME: `."""
    services: dict[str, list[WatchRule]] = {}
    for text in texts:
        name, service, rest = text.partition(": ")
        services.setdefault(name if service else "web", []).append(rule(rest if service else text))
    return bind(
        Project(
            "demo",
            "/p",
            ("/p/compose.yml",),
            tuple(
                Service(name, build=Build("/p"), watch=tuple(rules), volumes=volumes)
                for name, rules in services.items()
            ),
        ),
        {},
    )


SRC = ("sync src:/app",)

# rules, changes, the plan
ROWS: list[tuple[Sequence[str], str, str]] = [
    # nothing
    (SRC, "", ""),
    (SRC, "+lib/a", ""),
    ((), "+src/a", ""),
    # sync
    (SRC, "+src/a", "web sync /app/a <- /p/src/a"),
    (SRC, "+src/b +src/a", "web sync /app/a <- /p/src/a\nweb sync /app/b <- /p/src/b"),
    (SRC, "+src/a@", "web sync /app/a <- /p/src/a"),
    (("sync a.json:/app/",), "+a.json", "web sync /app/a.json <- /p/a.json"),
    (("sync src:/app !*.log",), "+src/a.log +src/b", "web sync /app/b <- /p/src/b"),
    (("sync src:/app =*.js",), "+src/a.css +src/b.js", "web sync /app/b.js <- /p/src/b.js"),
    (SRC, "+src/a| -src/b|", ""),
    (SRC, "+src/\udcff", "web sync /app/\udcff <- /p/src/\udcff"),
    # a folder is put only if no file creates it
    (SRC, "+src/d/", "web sync /app/d <- /p/src/d"),
    (SRC, "+src/d/ +src/d/a", "web sync /app/d/a <- /p/src/d/a"),
    (SRC, "+src/d/ +src/d/e/", "web sync /app/d/e <- /p/src/d/e"),
    (SRC, "+src/d/ +src/d/e/ +src/d/e/a", "web sync /app/d/e/a <- /p/src/d/e/a"),
    (SRC, "+src/d/ +src/d/e|", "web sync /app/d <- /p/src/d"),
    (("sync src:/app !d/a",), "+src/d/ +src/d/a", "web sync /app/d <- /p/src/d"),
    (("sync src:/app =*.js",), "+src/d/", ""),
    (SRC, "+src/", ""),
    # delete: deepest first, before the syncs
    (SRC, "-src/a", "web delete /app/a <- src/a"),
    (SRC, "-src/a@", "web delete /app/a <- src/a"),
    (SRC, "-src/d/", "web delete /app/d/ <- src/d"),
    (
        SRC,
        "+src/z -src/d/ -src/d/e/ -src/d/e/a -src/b",
        (
            "web delete /app/d/e/a <- src/d/e/a\n"
            "web delete /app/d/e/ <- src/d/e\n"
            "web delete /app/b <- src/b\n"
            "web delete /app/d/ <- src/d\n"
            "web sync /app/z <- /p/src/z"
        ),
    ),
    (("sync src:/app !*.log",), "-src/a.log", ""),
    (SRC, "-src/ -src/a", "web delete /app/a <- src/a"),
    (SRC, "-src/", ""),
    # an excluded folder is deleted with the files that were in it
    (
        ("sync src:/app =**/*.js",),
        "-src/ -src/d/ -src/d/a.js",
        "web delete /app/d/a.js <- src/d/a.js\nweb delete /app/d/ <- src/d",
    ),
    (("sync src:/app =**/*.js",), "-src/d/ -src/d/a.css", ""),
    (("sync src/in:/app",), "-src/ -src/in/ -src/in/a", "web delete /app/a <- src/in/a"),
    # a path that changes its kind
    (SRC, "-src/a +src/a/ +src/a/b", "web delete /app/a <- src/a\nweb sync /app/a/b <- /p/src/a/b"),
    (SRC, "-src/a +src/a/", "web delete /app/a <- src/a\nweb sync /app/a <- /p/src/a"),
    (
        SRC,
        "-src/a/ -src/a/b +src/a",
        "web delete /app/a/b <- src/a/b\nweb delete /app/a/ <- src/a\nweb sync /app/a <- /p/src/a",
    ),
    (SRC, "-src/a +src/a@", "web delete /app/a <- src/a\nweb sync /app/a <- /p/src/a"),
    (SRC, "-src/a +src/a|", "web delete /app/a <- src/a"),
    (SRC, "-src/ -src/a +src", "web delete /app/a <- src/a\nweb delete /app/ <- src\nweb sync /app <- /p/src"),
    (SRC, "-src +src/ +src/a", "web delete /app <- src\nweb sync /app/a <- /p/src/a"),
    # two rules onto one target: the last rule wins, and provides what the other one lost
    (("sync a:/app", "sync b:/app"), "+a/x +b/x", "web sync /app/x <- /p/b/x"),
    (("sync b:/app", "sync a:/app"), "+a/x +b/x", "web sync /app/x <- /p/a/x"),
    (("sync a:/app", "sync b:/app"), "-a/x +b/x", "web sync /app/x <- /p/b/x"),
    (("sync a:/app", "sync b:/app"), "+a/x -b/x", "web sync /app/x <- /p/a/x"),
    (("sync a:/app", "sync b:/app"), "-a/x -b/x", "web delete /app/x <- b/x"),
    (("sync a:/app", "sync b:/app"), "-a/x/ +b/x/", "web sync /app/x <- /p/b/x"),
    (("sync a:/app", "sync b:/app"), "-a/x/ +b/x", "web delete /app/x/ <- a/x\nweb sync /app/x <- /p/b/x"),
    (("sync a:/app", "sync b:/app"), "-a/x +b/x/", "web delete /app/x <- a/x\nweb sync /app/x <- /p/b/x"),
    # every matching rule applies
    (("sync src:/app", "sync src:/lib"), "+src/a", "web sync /app/a <- /p/src/a\nweb sync /lib/a <- /p/src/a"),
    (
        ("web: sync src:/app", "api: sync src:/api"),
        "+src/a",
        "web sync /app/a <- /p/src/a\napi sync /api/a <- /p/src/a",
    ),
    # restart
    (("restart conf",), "+conf/a", "web restart <- conf/a"),
    (("restart conf",), "-conf/a", "web restart <- conf/a"),
    (("restart a.json",), "+a.json", "web restart <- a.json"),
    (("restart conf",), "+conf/a +conf/b -conf/c", "web restart <- conf/a (+2 more)"),
    (("restart conf",), "+conf/ +conf/d/ -conf/e/", ""),
    (("restart conf",), "+conf/a|", ""),
    (("restart conf",), "-conf/a +conf/a@", "web restart <- conf/a"),
    (("sync+restart src:/app",), "+src/a", "web sync /app/a <- /p/src/a\nweb restart <- src/a"),
    (("sync+restart src:/app",), "-src/a", "web delete /app/a <- src/a\nweb restart <- src/a"),
    (("sync+restart src:/app",), "+src/d/", "web sync /app/d <- /p/src/d"),
    (
        ("restart b", "sync+restart a:/app", "restart ."),
        "+a/x +b/y",
        "web sync /app/x <- /p/a/x\nweb restart <- b/y (+1 more)",
    ),
    # exec, once for each rule
    (
        ("sync+exec a:/app", "sync+exec b:/app", "sync+exec c:/app"),
        "+a/x +a/y -b/z",
        (
            "web delete /app/z <- b/z\n"
            "web sync /app/x <- /p/a/x\n"
            "web sync /app/y <- /p/a/y\n"
            "web exec make it <- a/x (+1 more)\n"
            "web exec make it <- b/z"
        ),
    ),
    (("sync+exec a:/app",), "+a/d/", "web sync /app/d <- /p/a/d"),
    # rebuild, which makes the service's other work needless
    (("rebuild package.json",), "+package.json", "web rebuild <- package.json"),
    (("rebuild .",), "", ""),
    (("rebuild .",), "+a +b", "web rebuild <- a (+1 more)"),
    (("rebuild .",), "+d/", ""),
    (("rebuild .",), "+Dockerfile", "web rebuild <- Dockerfile"),
    (
        ("web: sync+exec .:/app", "web: rebuild package.json", "web: restart .", "api: sync .:/api"),
        "+package.json -old",
        "web rebuild <- package.json\napi delete /api/old <- old\napi sync /api/package.json <- /p/package.json",
    ),
]


@pytest.mark.parametrize(("rules", "changed", "expected"), ROWS)
def test_plan(rules: Sequence[str], changed: str, expected: str) -> None:
    """Each row of the table holds."""
    planned = plan(changes(changed), bound(*rules), directory="/p")
    assert str(planned) == expected
    assert bool(planned) is bool(expected)


BIND = (Mount("bind", "/app", "/p/src"),)


@pytest.mark.parametrize(
    ("text", "changed", "expected"),
    [
        ("sync src:/app", "+src/a -src/b", ""),
        ("sync+restart src:/app", "+src/a -src/b", "web restart <- src/a (+1 more)"),
        ("sync+exec src:/app", "+src/a -src/b", "web exec make it <- src/a (+1 more)"),
        ("restart src", "+src/a", "web restart <- src/a"),
        ("rebuild src", "+src/a", "web rebuild <- src/a"),
        ("sync .:/", "+app/a -app/b +lib/c", "web sync /lib/c <- /p/lib/c"),
        ("sync src:/app-two", "+src/a", "web sync /app-two/a <- /p/src/a"),
    ],
)
def test_a_bind_mount_brings_the_files_itself(text: str, changed: str, expected: str) -> None:
    """On a bind mount nothing is copied or deleted; what follows a copy still happens."""
    assert str(plan(changes(changed), bound(text, volumes=BIND), directory="/p")) == expected


def test_causes_are_relative_to_the_project() -> None:
    """Paths outside the project, and the project itself, stay absolute."""
    rules = bound("restart .")
    assert str(plan(changes("+a/b"), rules, directory="/p/a")) == "web restart <- b"
    assert str(plan(changes("+a/b"), rules, directory="/p/c")) == "web restart <- /p/a/b"
    assert str(plan(changes("+a"), rules, directory="/p/a")) == "web restart <- /p/a"


def test_a_rule_without_its_command_runs_nothing() -> None:
    """The mistake is reported elsewhere and does not end the watch."""
    service = Service("web", watch=(WatchRule("/p/a", Action.SYNC_EXEC, "/app"),))
    rules = bind(Project("demo", "/p", (), (service,)), {})
    assert str(plan(changes("+a/x"), rules, directory="/p")) == "web sync /app/x <- /p/a/x"


def test_initial_is_all_that_the_rules_copy() -> None:
    """Files, links and empty folders of copying rules, the last rule of a target; no command, no restart."""
    words = "src/ src/a src/b@ src/c| src/d/ src/e/ src/e/f lib/ lib/a x"
    states = dict(state(word) for word in words.split())
    rules = bound("sync+exec src:/app", "sync+restart lib:/app", "restart .", "rebuild x")
    assert [f"{sync.target} <- {sync.source}" for sync in initial(states, rules)] == [
        "/app/a <- /p/lib/a",
        "/app/b <- /p/src/b",
        "/app/d <- /p/src/d",
        "/app/e/f <- /p/src/e/f",
    ]
    assert initial(states, bound("sync src:/app", volumes=BIND)) == ()


def test_initial_asks_for_whole_paths() -> None:
    """`ignore` and `include` mean the path below the rule, not the name alone; temporary files stay out."""
    words = "src/ src/a/ src/a/b src/b src/a/c.js src/c.js src/.git/ src/.git/HEAD src/a~ src/.env.development"
    states = dict(map(state, words.split()))

    def targets(text: str) -> list[str]:
        return [sync.target for sync in initial(states, bound(text))]

    everything = ["/app/.env.development", "/app/a/b", "/app/a/c.js", "/app/b", "/app/c.js"]
    assert targets("sync+exec src:/app") == everything
    assert targets("sync+restart src:/app !a/b") == [path for path in everything if path != "/app/a/b"]
    assert targets("sync src:/app !b") == [path for path in everything if path != "/app/b"]
    assert targets("sync src:/app =*.js") == ["/app/c.js"]
    assert targets("sync src:/app =**/*.js") == ["/app/a/c.js", "/app/c.js"]


def test_skipped_are_pipes_that_would_have_been_copied() -> None:
    """Ignored pipes are not listed, and neither are pipes of rules that copy nothing."""
    changed = changes("+src/a| +src/b +lib/c| +src/d.log| -src/e|")
    assert list(skipped(dict(changed.present), bound("sync src:/app !*.log", "restart ."))) == ["/p/src/a"]
    assert skipped(dict(changed.present), bound("sync src:/app", volumes=BIND)) == {}


def test_skipped_says_whether_it_is_a_link_that_leads_to_itself() -> None:
    """A loop has a text, a pipe has none."""
    states = {"/p/src/loop": STATES["|"].but(link="loop"), "/p/src/pipe": STATES["|"]}
    assert skipped(states, bound("sync src:/app")) == {
        "/p/src/loop": "a link that leads to itself: not synced",
        "/p/src/pipe": "neither a file, a folder nor a link: not synced",
    }


def test_env_files_are_those_that_would_be_copied() -> None:
    """They are named exactly `.env`, in any folder, are regular files, not ignored, and copied by a rule."""
    changed = changes("+src/.env +src/a/.env +src/b/.env +src/.env.development +src/c/.env/ +lib/.env -src/d/.env")
    assert env_files(changed, bound("sync src:/app !b", "restart .")) == ("/p/src/.env", "/p/src/a/.env")
    assert env_files(changed, bound("sync src:/app", volumes=BIND)) == ()


# Two rules for one target: rules, other paths of the host, changes, the plan.
A_B = ("sync a:/app", "sync b:/app")
MEETINGS: list[tuple[Sequence[str], str, str, str]] = [
    # the later rule's file stays, whenever the other one changes
    (A_B, "b/x", "+a/x", ""),
    (A_B, "b/x", "-a/x", ""),
    (A_B, "a/x", "+b/x", "web sync /app/x <- /p/b/x"),
    (A_B, "b/x", "+a/x +a/y", "web sync /app/y <- /p/a/y"),
    # the other rule provides the file that the later rule lost
    (A_B, "a/x", "-b/x", "web sync /app/x <- /p/a/x"),
    (A_B, "a/x@", "-b/x", "web sync /app/x <- /p/a/x"),
    (A_B, "a/x|", "-b/x", "web delete /app/x <- b/x"),
    (A_B, "", "-b/x", "web delete /app/x <- b/x"),
    (A_B, "a/x", "+a/x -b/x", "web sync /app/x <- /p/a/x"),
    (("sync a:/app", "sync b:/app", "sync c:/app"), "a/x b/x", "-c/x", "web sync /app/x <- /p/b/x"),
    (("sync a:/app", "sync b:/app", "sync c:/app"), "a/x c/x", "-b/x", ""),
    # a path that a rule ignores is not its own
    (("sync a:/app", "sync b:/app !x"), "b/x", "+a/x", "web sync /app/x <- /p/a/x"),
    (("sync a:/app !x", "sync b:/app"), "a/x", "-b/x", "web delete /app/x <- b/x"),
    # a rule inside another, a file onto a file
    (("sync .:/app", "sync lib:/app/src"), "lib/x", "+src/x", ""),
    (
        ("sync .:/app", "sync lib:/app/src"),
        "src/x",
        "+lib/x",
        "web sync /app/lib/x <- /p/lib/x\nweb sync /app/src/x <- /p/lib/x",
    ),
    (("sync src:/app", "sync one.json:/app/x"), "one.json", "+src/x", ""),
    (("sync src:/app", "sync one.json:/app/x"), "src/x", "-one.json", "web sync /app/x <- /p/src/x"),
    (
        ("sync src:/app", "sync one.json:/app/"),
        "src/one.json",
        "-one.json",
        "web sync /app/one.json <- /p/src/one.json",
    ),
    (("sync src:/app", "sync one.json:/app/"), "one.json", "+src/one.json", ""),
    (("sync lib:/app", "sync src:/app/"), "src/ src/a", "+lib/src", "web sync /app/src <- /p/lib/src"),
    # folders: a folder that another rule has, too, stays
    (A_B, "b/d/", "-a/d/ -a/d/x", "web delete /app/d/x <- a/d/x"),
    (A_B, "a/d/", "-b/d/ -b/d/x", "web delete /app/d/x <- b/d/x"),
    (A_B, "a/d/ a/d/x", "-b/d/ -b/d/x", "web sync /app/d/x <- /p/a/d/x"),
    (A_B, "a/d", "-b/d/", "web delete /app/d/ <- b/d\nweb sync /app/d <- /p/a/d"),
    (A_B, "a/d/", "-b/d", "web delete /app/d <- b/d\nweb sync /app/d <- /p/a/d"),
    (A_B, "a/d", "-b/d +b/d/", "web delete /app/d <- b/d\nweb sync /app/d <- /p/b/d"),
    # rules that copy nothing have no part in it, and still do what they do
    (("sync a:/app", "restart b"), "b/x", "+a/x", "web sync /app/x <- /p/a/x"),
    (("sync+restart a:/app", "sync b:/app"), "b/x", "+a/x", "web restart <- a/x"),
    (("web: sync a:/app", "api: sync b:/app"), "b/x", "+a/x", "web sync /app/x <- /p/a/x"),
]


@pytest.mark.parametrize(("rules", "others", "changed", "expected"), MEETINGS)
def test_overlapping_rules_are_planned(rules: Sequence[str], others: str, changed: str, expected: str) -> None:
    """Each row holds: the last rule wins, whichever of the files was changed last."""
    differences = changes(changed)
    states = dict(map(state, others.split())) | dict(differences.present)
    assert str(plan(differences, bound(*rules), directory="/p", states=states)) == expected


def test_nothing_comes_back_into_a_bind_mount() -> None:
    """The files of the mount are the host's own."""
    rules = bound(*A_B, volumes=(Mount("bind", "/app/conf", "/elsewhere"),))
    states = dict(map(state, ("a/conf/x", "a/y")))
    planned = plan(changes("-b/conf/x -b/y"), rules, directory="/p", states=states)
    assert str(planned) == "web sync /app/y <- /p/a/y"


def test_overlapping_rules_are_detected() -> None:
    """They are rules of one service that copy, with the target of one at or below the other's."""
    rules = bound("sync a:/app", "sync b:/app/b", "sync c:/app-c", "restart a", "api: sync a:/app")
    assert [rule.overlaps for rule in rules] == [True, True, False, False, False]


# A container as the plan's reader would record it: its paths, and whether each is a folder.
_PATHS = ("a", "a/x", "a/x/1", "a/y", "b", "b.log", "c", "c/z", "c/z.log")
_STEP = st.dictionaries(st.sampled_from(_PATHS), st.sampled_from(["", "", "/", "@", "|", "gone"]), max_size=4)


def _settle(disk: Manifest, step: dict[str, str], top: str = "/p/src") -> set[str]:
    """Make the disk consistent after a step (only folders have content), and return the paths that changed."""
    touched = set()
    for name in sorted(step):
        path, sign = f"{top}/{name}", step[name]
        parent = path.rpartition("/")[0]
        if parent != top and disk.get(parent, FILE).kind is not FileKind.DIR:
            continue
        if sign != "/":
            for below in [known for known in disk if known.startswith(f"{path}/")]:
                del disk[below]
        disk.pop(path, None)
        if sign != "gone":
            disk[path] = STATES[sign]
        touched.add(path)
    return touched


def _run(container: dict[str, FileKind], disk: Manifest, changed: Changes, rules: Sequence[BoundRule]) -> None:
    """Carry out the plan like `apply`: only empty folders are removed, a put over another kind is an error."""
    kinds = {path: state.kind for path, state in disk.items()}
    for service in plan(changed, rules, directory="/p", states=disk).services:
        for delete in service.deletes:
            held = [path for path in container if path.startswith(f"{delete.target}/")]
            if not delete.directory or not held:
                assert container.pop(delete.target, FileKind.DIR if delete.directory else None) is not None
        for sync in service.syncs:
            kind = kinds[sync.source]
            assert container.get(sync.target, kind) is kind
            parent = sync.target.rpartition("/")[0]
            while parent != "/app":
                assert container.setdefault(parent, FileKind.DIR) is FileKind.DIR
                parent = parent.rpartition("/")[0]
            container[sync.target] = kind


@given(st.lists(_STEP, max_size=6))
def test_the_container_follows_the_disk(steps: list[dict[str, str]]) -> None:
    """After any steps the container holds exactly what the rule copies, and every operation made sense."""
    rules = bound("sync src:/app !**/*.log")
    disk, manifest = Manifest(), Manifest()
    container: dict[str, FileKind] = {}
    for step in steps:
        touched = _settle(disk, step)
        changed = diff(manifest, {path: disk.get(path) for path in touched})
        _run(container, disk, changed, rules)
        apply(manifest, changed)
        assert manifest == disk
        expected = {
            path.replace("/p/src", "/app"): state.kind
            for path, state in disk.items()
            if state.kind is not FileKind.OTHER and not path.endswith(".log")
        }
        assert container == expected


@pytest.mark.parametrize("old", STATES)
@pytest.mark.parametrize("now", [None, *STATES])
@pytest.mark.parametrize("held", [None, FileKind.FILE, FileKind.LINK, FileKind.DIR])
def test_a_path_in_doubt_becomes_what_the_host_has(old: str, now: str | None, held: FileKind | None) -> None:
    """The container may have no file, a file, a link or an empty folder there."""
    path, state = "/p/src/a", STATES[now] if now is not None else None
    if STATES[old].kind is FileKind.DIR and held in (FileKind.FILE, FileKind.LINK):
        return  # a path that may be a file is never taken for a folder
    changed = diff(Manifest({path: STATES[old].doubtful()}), {path: state})
    for service in plan(changed, bound("sync src:/app"), directory="/p").services:
        for delete in service.deletes:
            if not delete.directory or held is FileKind.DIR:
                held = None
        for sync in service.syncs:
            assert held in (None, FileKind.DIR) if sync.folder else held is not FileKind.DIR
            held = state.kind if state else None
    assert held is (state.kind if state and state.kind is not FileKind.OTHER else None)


# Folders are folders everywhere, so that no rule has a file at a path for which another has a folder.
_MEETING = ("/d/", "/d/x", "/d/y.log", "/e/", "/x", "/y.log")
_MEETING_STEP = st.dictionaries(
    st.sampled_from([f"{top}{name}" for top in ("a", "b", "c") for name in _MEETING] + ["a/", "b/"]),
    st.booleans(),
    max_size=6,
)
_MEETING_RULES = st.lists(
    st.sampled_from(["sync a:/app", "sync b:/app !**/*.log", "sync c:/app/d", "sync .:/app", "sync c/x:/app/x"]),
    min_size=2,
    max_size=4,
    unique=True,
)


@given(_MEETING_RULES, st.lists(_MEETING_STEP, max_size=6))
def test_rules_that_meet_leave_what_a_new_container_would_get(texts: list[str], steps: list[dict[str, bool]]) -> None:
    """After any steps the container has what the rules would put into a new one: the last rule for each path."""
    rules = bound(*texts)
    disk = Manifest({f"/p/{top}": STATES["/"] for top in "abc"})
    manifest = Manifest(disk)
    container: dict[str, str] = {}
    _put(container, initial(disk, rules), disk)
    for step in steps:
        signs = {
            name.rstrip("/"): ("/" if name.endswith("/") else "") if there else "gone" for name, there in step.items()
        }
        touched = _settle(disk, signs, top="/p")
        changed = diff(manifest, {path: disk.get(path) for path in touched})
        for service in plan(changed, rules, directory="/p", states=disk).services:
            for delete in service.deletes:
                if not delete.directory or not any(path.startswith(f"{delete.target}/") for path in container):
                    assert container.pop(delete.target, None) or delete.target == "/app/d"
            _put(container, service.syncs, disk)
        apply(manifest, changed)
        fresh: dict[str, str] = {}
        _put(fresh, initial(disk, rules), disk)
        container.pop("/app/d", None)  # stays once it was some rule's own folder, see `_concerns`
        fresh.pop("/app/d", None)
        assert container == fresh


def _put(container: dict[str, str], syncs: Sequence[Sync], disk: Manifest) -> None:
    """Return the file for each target, or "/" for a folder."""
    for sync in syncs:
        container[sync.target] = "/" if disk[sync.source].kind is FileKind.DIR else sync.source
        folder = sync.target.rpartition("/")[0]
        while folder != "/app":
            assert container.setdefault(folder, "/") == "/"
            folder = folder.rpartition("/")[0]
