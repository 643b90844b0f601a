"""Which rules match a path, and the container path that it is copied to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.errors import ConfigError
from devenv.model.project import Action, Build, Mount, Project, Service, WatchRule
from devenv.sync.rules.patterns import Patterns
from devenv.sync.rules.rules import EDITOR_TEMP, BoundRule, bind, prune, roots


def bound(
    path: str = "/p/src",
    *,
    action: Action = Action.SYNC,
    target: str | None = "/app",
    ignore: str = "",
    include: str = "",
    dockerignore: str = "",
    context: str = "/p",
    volumes: tuple[Mount, ...] = (),
) -> BoundRule:
    """A bound rule; lists of patterns are separated by spaces."""
    rule = WatchRule(path, action, target, tuple(ignore.split()), tuple(include.split()))
    service = Service("web", build=Build(context), watch=(rule,), volumes=volumes)
    project = Project("demo", "/p", ("/p/compose.yml", "more.yml"), (service,))
    return bind(project, {"web": tuple(dockerignore.split())})[0]


@pytest.mark.parametrize(
    ("lists", "path", "matched"),
    [
        # the place of the rule
        ({}, "/p/src/a.js", True),
        ({}, "/p/src/a/b/c.js", True),
        ({}, "/p/src", True),
        ({}, "/p/srcs/a.js", False),
        ({}, "/p/lib/a.js", False),
        ({}, "/p", False),
        ({"path": "/p/src/"}, "/p/src/a.js", True),
        ({"path": "/"}, "/etc/x", True),
        # ignore
        ({"ignore": "node_modules/"}, "/p/src/node_modules/x", False),
        ({"ignore": "node_modules/"}, "/p/src/a/node_modules/x", True),
        ({"ignore": "**/*.log"}, "/p/src/a/b.log", False),
        ({"ignore": "/dist"}, "/p/src/dist/x", False),
        ({"ignore": "*"}, "/p/src/a", False),
        ({"ignore": "*"}, "/p/src", True),
        ({"ignore": "* !keep"}, "/p/src/keep/a", True),
        # include
        ({"include": "*.js"}, "/p/src/a.js", True),
        ({"include": "*.js"}, "/p/src/a.css", False),
        ({"include": "*.js"}, "/p/src/a/b.js", False),
        ({"include": "**/*.js", "ignore": "vendor"}, "/p/src/vendor/b.js", False),
        ({"include": "lib"}, "/p/src/lib/a/b", True),
        ({"include": "lib !lib/a"}, "/p/src/lib/a/b", False),
        ({"include": "."}, "/p/src/a", True),
        ({"include": "*"}, "/p/src/a", True),
        ({"include": "*"}, "/p/src/a/b", True),
        ({"include": "/lib"}, "/p/src/lib/a", True),
        ({"include": "/lib"}, "/p/src/a/lib", False),
        # .dockerignore, relative to the context
        ({"dockerignore": "src/*.md"}, "/p/src/a.md", False),
        ({"dockerignore": "*.md"}, "/p/src/a.md", True),
        ({"dockerignore": "**/node_modules"}, "/p/src/a/node_modules/b", False),
        ({"dockerignore": "**/*.md", "context": "/other"}, "/p/src/a.md", True),
        ({"dockerignore": "*.md", "context": "/p/src"}, "/p/src/a.md", False),
        ({"dockerignore": "*.md", "context": "/p/src/in"}, "/p/src/a.md", True),
        ({"dockerignore": "*.md", "context": "/p/src/in"}, "/p/src/in/a.md", False),
        ({"dockerignore": "*", "context": "/p/src/in"}, "/p/src/in", True),
        # `ignore` continues the list of .dockerignore
        ({"dockerignore": "**/*.md", "ignore": "!keep.md"}, "/p/src/keep.md", True),
        ({"dockerignore": "**/*.md", "ignore": "!keep.md"}, "/p/src/other.md", False),
        ({"dockerignore": "!**/a.md", "ignore": "*.md"}, "/p/src/a.md", False),
        ({"dockerignore": "* !src", "path": "/p"}, "/p/src/a", True),
        ({"dockerignore": "* !src", "path": "/p"}, "/p/lib/a", False),
        # a path in the rule is deliberate
        ({"dockerignore": "src"}, "/p/src/a", True),
        ({"dockerignore": "*"}, "/p/src/a", True),
        ({"dockerignore": "src src/*.md"}, "/p/src/a.md", False),
        ({"dockerignore": "* !src src/*.md"}, "/p/src/a.md", False),
        ({"dockerignore": "* !src src/*.md"}, "/p/src/a.js", True),
        # a rule on a single file
        ({"path": "/p/a.json"}, "/p/a.json", True),
        ({"path": "/p/a.json", "ignore": "*"}, "/p/a.json", True),
        ({"path": "/p/a.json", "include": "*.js"}, "/p/a.json", True),
        ({"path": "/p/a.json", "dockerignore": "*.json"}, "/p/a.json", True),
        ({"path": "/p/a.json"}, "/p/b.json", False),
        ({"path": "/p/4913"}, "/p/4913", True),
        # .git
        ({}, "/p/src/.git/HEAD", False),
        ({}, "/p/src/sub/.git", False),
        ({"ignore": "!.git"}, "/p/src/.git/HEAD", True),
        ({"ignore": "!.git/HEAD"}, "/p/src/.git/HEAD", True),
        ({"ignore": "!.git/HEAD"}, "/p/src/.git/config", False),
        ({"ignore": "!sub"}, "/p/src/sub/.git/HEAD", False),
        ({"dockerignore": "!**/.git"}, "/p/src/.git/HEAD", False),
        ({"dockerignore": "**/.git", "ignore": "!.git"}, "/p/src/.git/HEAD", True),
        ({"path": "/p/.git"}, "/p/.git/HEAD", True),
        # files of devenv: not copied, but a reason to rebuild
        ({"path": "/p"}, "/p/compose.yml", False),
        ({"path": "/p"}, "/p/more.yml", False),
        ({"path": "/p"}, "/p/Dockerfile", False),
        ({"path": "/p"}, "/p/sub/Dockerfile", True),
        ({"path": "/p", "ignore": "!Dockerfile"}, "/p/Dockerfile", True),
        ({"path": "/p/Dockerfile"}, "/p/Dockerfile", True),
        ({"path": "/p", "action": Action.REBUILD}, "/p/Dockerfile", True),
        ({"path": "/p", "action": Action.REBUILD, "dockerignore": "*.md"}, "/p/a.md", False),
        ({"path": "/p", "action": Action.REBUILD, "ignore": "*.md"}, "/p/a.md", False),
        # names that are not valid text
        ({"ignore": "*.log"}, "/p/src/\udcff.log", False),
        ({}, "/p/src/new\nline", True),
    ],
)
def test_matches(lists: dict[str, str], path: str, matched: bool) -> None:
    """Each row of the table holds."""
    assert bound(**lists).matches(path) is matched  # type: ignore[arg-type] # rows are keyword arguments


@pytest.mark.parametrize(
    "name",
    [
        ".devenv-1a2b~", "a~", ".a.swp", ".a.swx", ".a.swo", ".a.swn", "4913", ".#a", "#a#", ".a.kate-swp",
        "a___jb_old___", "a___jb_tmp___", ".idea", "a-go-tmp-umask", ".goutputstream-X", "a.crswap",
    ],
)  # fmt: skip
def test_temporary_files_of_editors_never_match(name: str) -> None:
    """They match neither at the top nor deeper, even if `ignore` includes all files again."""
    rule = bound(ignore="!**")
    assert not rule.matches(f"/p/src/{name}")
    assert not rule.matches(f"/p/src/a/{name}")
    assert not rule.matches(f"/p/src/a/{name}/below")


def test_every_editor_pattern_is_used() -> None:
    """The list has no pattern twice, and all match at any depth."""
    assert len(set(EDITOR_TEMP)) == len(EDITOR_TEMP)
    assert all(pattern.startswith("**/") for pattern in EDITOR_TEMP)


@pytest.mark.parametrize(
    ("lists", "directory", "pruned"),
    [
        ({}, "/p/src", False),
        ({}, "/p/src/a", False),
        ({}, "/p", False),
        ({}, "/", False),
        ({}, "/p/lib", True),
        ({}, "/p/srcs", True),
        ({}, "/p/src/.git", True),
        ({}, "/p/src/a/.git/objects", True),
        ({"ignore": "!.git/HEAD"}, "/p/src/.git", False),
        ({"ignore": "!.git/HEAD"}, "/p/src/.git/objects", True),
        ({}, "/p/src/.idea", True),
        ({"ignore": "node_modules"}, "/p/src/node_modules", True),
        ({"ignore": "node_modules !node_modules/mine"}, "/p/src/node_modules", False),
        ({"ignore": "node_modules !node_modules/mine"}, "/p/src/node_modules/other", True),
        ({"ignore": "logs/*"}, "/p/src/logs", True),
        ({"ignore": "*"}, "/p/src", True),
        ({"include": "lib"}, "/p/src/doc", True),
        ({"include": "lib"}, "/p/src/lib/a", False),
        ({"include": "*.js"}, "/p/src", False),
        ({"include": "*.js"}, "/p/src/lib", True),
        ({"include": "*.js"}, "/p/src/lib.js", False),
        ({"include": "a/*.js"}, "/p/src/lib", True),
        ({"include": "**/*.js"}, "/p/src/lib", False),
        ({"dockerignore": "**/node_modules"}, "/p/src/node_modules", True),
        ({"dockerignore": "**/node_modules", "ignore": "!node_modules/a"}, "/p/src/node_modules", False),
        ({"dockerignore": "**/node_modules", "ignore": "!node_modules/a"}, "/p/src/node_modules/b", True),
        ({"dockerignore": "*", "context": "/p/src"}, "/p/src", True),
        ({"dockerignore": "*", "context": "/p/src/in"}, "/p/src", False),
        ({"dockerignore": "*", "context": "/p/src/in"}, "/p/src/in", True),
        ({"dockerignore": "**", "context": "/other"}, "/p/src", False),
        ({"dockerignore": "src"}, "/p/src", False),
        ({"path": "/p/a.json"}, "/p", False),
        ({"path": "/p/a.json"}, "/p/sub", True),
    ],
)
def test_prunes(lists: dict[str, str], directory: str, pruned: bool) -> None:
    """A folder is skipped exactly if nothing below it can match."""
    assert bound(**lists).prunes(directory) is pruned  # type: ignore[arg-type] # rows are keyword arguments


_LIST = st.lists(
    st.sampled_from(["*", "a", "!a", "a/b", "!a/b", "**/b", "!**/b", "*/b", "!.git", "in", "!in/a", "**"]), max_size=3
).map(" ".join)
_BELOW = st.lists(st.sampled_from(["a", "b", ".git", "in", "b~"]), min_size=1, max_size=3).map("/".join)


@given(
    lists=st.fixed_dictionaries({"ignore": _LIST, "include": _LIST, "dockerignore": _LIST}),
    context=st.sampled_from(["/p", "/p/src", "/p/src/in", "/other"]),
    directory=st.one_of(st.sampled_from(["/p", "/p/src"]), _BELOW.map("/p/src/{}".format)),
    below=_BELOW,
)
def test_nothing_that_matches_is_pruned(lists: dict[str, str], context: str, directory: str, below: str) -> None:
    """Whatever the lists contain, no path below a pruned folder matches."""
    rule = bound(**lists, context=context)  # type: ignore[arg-type] # lists are keyword arguments
    assert not (rule.prunes(directory) and rule.matches(f"{directory}/{below}"))


@given(
    lists=st.fixed_dictionaries({"ignore": _LIST, "include": _LIST, "dockerignore": _LIST}),
    context=st.sampled_from(["/p", "/p/src", "/p/src/in", "/other"]),
    path=st.one_of(st.sampled_from(["/p/src", "/p/compose.yml"]), _BELOW.map("/p/src/{}".format)),
)
def test_the_decision_explains_the_match(lists: dict[str, str], context: str, path: str) -> None:
    """A path matches exactly if the list and the pattern of the decision mean so."""
    rule = bound(**lists, context=context)  # type: ignore[arg-type] # lists are keyword arguments
    named, pattern = rule.decision(path)
    taken = pattern.startswith("!") is not (named == "include")
    speaks_for = not named or (bool(pattern) and taken)
    assert rule.matches(path) is (speaks_for and path != "/p/compose.yml")


@pytest.mark.parametrize(
    ("lists", "path", "decision"),
    [
        ({}, "/p/src/a", ("", "")),
        ({}, "/p/src", ("", "")),
        ({"ignore": "*.md !a.md"}, "/p/src/a.md", ("ignore", "!a.md")),
        ({"ignore": "*.md !a.md"}, "/p/src/b.md", ("ignore", "*.md")),
        ({"ignore": "*.md", "include": "*.md"}, "/p/src/b.md", ("ignore", "*.md")),
        ({"include": "*.md"}, "/p/src/b.md", ("include", "*.md")),
        ({"include": "*.md"}, "/p/src/b.js", ("include", "")),
        ({"dockerignore": "**/dist/"}, "/p/src/dist/a", (".dockerignore", "**/dist")),
        ({"dockerignore": "**/dist/", "ignore": "!dist"}, "/p/src/dist/a", ("ignore", "!dist")),
        ({}, "/p/src/a~", ("built-in", "**/*~")),
        ({}, "/p/src/.git/HEAD", ("built-in", "**/.git")),
        ({"ignore": "!.git"}, "/p/src/.git/HEAD", ("ignore", "!.git")),
        ({"path": "/p"}, "/p/compose.yml", ("own file", "")),
        ({"path": "/p", "ignore": "!compose.yml"}, "/p/compose.yml", ("ignore", "!compose.yml")),
    ],
)
def test_decision(lists: dict[str, str], path: str, decision: tuple[str, str]) -> None:
    """The list that decides, and the normalised pattern in it."""
    assert bound(**lists).decision(path) == decision  # type: ignore[arg-type] # rows are keyword arguments


@pytest.mark.parametrize(
    ("path", "target", "changed", "expected"),
    [
        ("/p/src", "/app", "/p/src/a/b.js", "/app/a/b.js"),
        ("/p/src", "/app/", "/p/src/a.js", "/app/a.js"),
        ("/p/src", "/", "/p/src/a.js", "/a.js"),
        ("/p/src", "//app//x/../y/", "/p/src/a.js", "/app/y/a.js"),
        ("/p/src", "/../app", "/p/src/a", "/app/a"),
        ("/", "/app", "/etc/x", "/app/etc/x"),
        ("/p/a.json", "/app/b.json", "/p/a.json", "/app/b.json"),
        ("/p/a.json", "/app/", "/p/a.json", "/app/a.json"),
        ("/p/a.json", "/", "/p/a.json", "/a.json"),
        ("/p/src", "/app", "/p/src/\udcff", "/app/\udcff"),
    ],
)
def test_target_for(path: str, target: str, changed: str, expected: str) -> None:
    """A path below a folder keeps its relative path; a single file is put at the target, or into it."""
    assert bound(path, target=target).target_for(changed) == expected


@pytest.mark.parametrize(
    ("volumes", "skipped"),
    [
        ((), False),
        ((Mount("bind", "/app", "/p/src"),), True),
        ((Mount("bind", "/app/", "/p/src/"),), True),
        ((Mount("bind", "/", "/p"),), True),
        ((Mount("bind", "/app", "/p/sr"),), False),
        ((Mount("bind", "/app", "/p/src/deeper"),), False),
        ((Mount("bind", "/app", None),), False),
        ((Mount("bind", "/elsewhere", "/p/src"),), False),
        ((Mount("volume", "/app", "/p/src"),), False),
        ((Mount("bind", "/", "/p"), Mount("volume", "/app", "data")), False),
        ((Mount("volume", "/", "data"), Mount("bind", "/app", "/p")), True),
    ],
)
def test_a_bind_mount_of_the_same_files_leaves_nothing_to_copy(volumes: tuple[Mount, ...], skipped: bool) -> None:
    """Copying is skipped if the innermost mount over the target provides the rule's files."""
    rule = bound(volumes=volumes)
    assert (rule.skip_sync, rule.inert, rule.copies) == (skipped, skipped, not skipped)


@pytest.mark.parametrize("action", [Action.SYNC_RESTART, Action.SYNC_EXEC])
def test_what_follows_a_copy_remains_on_a_bind_mount(action: Action) -> None:
    """Restart and exec rules on a bind mount copy nothing, but still act."""
    rule = bound(action=action, volumes=(Mount("bind", "/app", "/p"),))
    assert rule.skip_sync
    assert not rule.inert


@pytest.mark.parametrize("action", [Action.RESTART, Action.REBUILD])
def test_bind_mounts_do_not_concern_rules_that_copy_nothing(action: Action) -> None:
    """There is nothing to skip."""
    rule = bound(action=action, target=None, volumes=(Mount("bind", "/", "/p"),))
    assert not rule.skip_sync
    assert not rule.copies
    assert not rule.inert


def test_a_bind_mount_below_the_target() -> None:
    """Only container paths in the mount count as mounted; a volume does not count."""
    volumes = (Mount("bind", "/app/conf/", "/x"), Mount("volume", "/app/data", "d"), Mount("bind", "/b", "/y"))
    rule = bound(volumes=volumes)
    assert rule.is_mounted("/app/conf/a")
    assert rule.is_mounted("/app/conf")
    assert not rule.is_mounted("/app/config")
    assert not rule.is_mounted("/app/data/a")
    assert not rule.is_mounted("/app/a")


def test_bind_keeps_the_order_of_the_project() -> None:
    """Services in order, their rules in order, each with its own .dockerignore; no build, no context."""
    rules = (WatchRule("/p/a", Action.SYNC, "/a"), WatchRule("/p/b", Action.RESTART))
    services = (
        Service("two", watch=rules),
        Service("one", watch=rules[:1], build=Build("/p", dockerfile_inline="FROM scratch")),
        Service("none", build=Build("/p", dockerfile="/q/Containerfile")),
    )
    bound_rules = bind(Project("demo", "/p", (), services), {"one": ("x",)})
    assert [(rule.service, rule.index, rule.context) for rule in bound_rules] == [
        ("two", 0, None),
        ("two", 1, None),
        ("one", 0, "/p"),
    ]
    assert [rule.dockerignore for rule in bound_rules] == [Patterns(), Patterns(), Patterns(("x",))]
    assert [rule.own_files for rule in bound_rules] == [{"/q/Containerfile"}, set(), {"/q/Containerfile"}]


@pytest.mark.parametrize(
    ("lists", "where"),
    [
        ({"ignore": "ok ["}, "service `web`, rule 1 of `develop.watch`, `ignore`: bad pattern `[`"),
        ({"include": "["}, "service `web`, rule 1 of `develop.watch`, `include`: bad pattern `[`"),
        ({"dockerignore": "["}, "service `web`, .dockerignore: bad pattern `[`"),
    ],
)
def test_a_bad_pattern_is_named_with_its_place(lists: dict[str, str], where: str) -> None:
    """The error names service, list and pattern, and has a hint."""
    with pytest.raises(ConfigError) as raised:
        bound(**lists)  # type: ignore[arg-type] # rows are keyword arguments
    assert raised.value.message.startswith(where)
    assert raised.value.hint


IDLE = bound("/p/idle", volumes=(Mount("bind", "/app", "/p/idle"),))


def test_roots_are_minimal() -> None:
    """No root is below another, equal roots are one root, and a rule without an effect has none."""
    paths = ["/p/a/b", "/p/a", "/p/a-b", "/p/a", "/p/ab/c"]
    assert roots([*(bound(path) for path in paths), IDLE]) == ("/p/a", "/p/a-b", "/p/ab/c")
    assert roots([]) == ()


def test_a_folder_is_pruned_if_no_rule_needs_it() -> None:
    """A rule that does nothing does not count."""
    rules = [bound("/p/a", ignore="x y"), bound("/p/a", ignore="x"), IDLE]
    assert prune(rules, "/p/a/x")
    assert not prune(rules, "/p/a/y")
    assert prune(rules, "/p/idle")
