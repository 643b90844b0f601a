"""The state of the host: walked without following links; a path never counts as deleted without proof."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv.errors import ConfigError
from devenv.model.project import Build, Project, Service
from devenv.sync.host import manifest, scan
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.host.manifest import Manifest


def never(_folder: str) -> bool:
    """Nothing is ignored."""
    return False


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with each kind of file, an ignored folder, and a folder outside."""
    root = tmp_path / "root"
    for name in ("a/b/f", "a/g", "node_modules/m/x", "h"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("x")
    (root / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "pipe")
    return root


def modules(folder: str) -> bool:
    """As a rule that ignores node_modules."""
    return folder.endswith("/node_modules")


def names(states: dict[str, object], root: Path) -> str:
    """Paths relative to the root, in order."""
    return " ".join(sorted(os.path.relpath(path, root) for path in states))


def test_scan(tree: Path) -> None:
    """Each path is listed once, links are not followed, ignored folders are listed but not entered."""
    states = scan.scan([str(tree)], modules)
    assert names(dict(states), tree) == ". a a/b a/b/f a/g h link node_modules pipe"
    assert (states[f"{tree}/pipe"].kind, states[f"{tree}/link"].kind) == (FileKind.OTHER, FileKind.LINK)
    assert states[f"{tree}/link"].link == str(tree.parent / "outside")


def test_scan_of_single_files_and_missing_roots(tree: Path) -> None:
    """A root may be a file, a link, or missing."""
    states = scan.scan([f"{tree}/h", f"{tree}/gone", f"{tree}/link"], never)
    assert names(dict(states), tree) == "h link"


@pytest.mark.parametrize("first", ["nothing", "file", "link"])
def test_a_path_is_not_seen_without_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """A folder that is created during the scan is reported by its own event: until then its content is unknown."""
    folder, inside = tmp_path / "a", tmp_path / "a/b"
    if first == "file":
        folder.write_text("x")
    elif first == "link":
        folder.symlink_to("nowhere")
    look = scan._seen

    def made_after(path: str) -> FileState | None:
        state = look(path)
        if path == str(folder):
            folder.unlink(missing_ok=True)
            inside.mkdir(parents=True)
        return state

    monkeypatch.setattr(scan, "_seen", made_after)
    assert scan.look([str(inside), str(folder)], Manifest(), never)[str(inside)] is None
    assert scan.look([str(inside)], Manifest(), never)[str(inside)] is not None


def test_state_of_a_path() -> None:
    """A missing path is None, also if its name is impossible."""
    assert scan.state("/no/such/thing") is None
    assert scan.state("/etc/passwd/below") is None
    assert scan.state("/nul\0byte") is None
    assert scan.state(f"/{'x' * 300}") is None


def after(tree: Path, *touched: str, known: Manifest) -> str:
    """The changes after a look at the touched paths, as text."""
    fresh = scan.look([str(tree / t) if t else str(tree) for t in touched], known, modules)
    changed = manifest.diff(known, fresh)
    plus = [f"+{os.path.relpath(p, tree)}" for p, _ in changed.present]
    return " ".join([f"-{os.path.relpath(p, tree)}" for p, _ in changed.gone] + plus)


def test_look_finds_changes(tree: Path) -> None:
    """Changes are found at the touched path and, if it is a folder, below."""
    known = scan.scan([str(tree)], modules)
    assert after(tree, "a", "h", "", known=known) == ""
    (tree / "a/b/f").write_text("xx")
    (tree / "a/new/deep").mkdir(parents=True)
    (tree / "a/new/deep/n").write_text("x")
    (tree / "a/g").unlink()
    assert after(tree, "a/b/f", known=known) == "+a/b/f"
    assert after(tree, "a", known=known) == "-a/g +a/b/f +a/new +a/new/deep +a/new/deep/n"
    assert after(tree, "", known=known) == after(tree, "a", known=known)
    assert after(tree, "a/g", "a/gone", known=known) == "-a/g"


def test_look_at_a_folder_that_has_gone(tree: Path) -> None:
    """Its known content is gone, too, also if a file took its place."""
    known = scan.scan([str(tree)], modules)
    (tree / "a/b/f").unlink()
    (tree / "a/b").rmdir()
    assert after(tree, "a/b", known=known) == "-a/b/f -a/b"
    (tree / "a/b").write_text("now a file")
    assert after(tree, "a/b", known=known) == "-a/b/f -a/b +a/b"


def test_look_leaves_out_what_is_ignored(tree: Path) -> None:
    """Nothing in an ignored folder is ever stat'ed."""
    known = scan.scan([str(tree)], modules)
    (tree / "node_modules/m/x").write_text("xx")
    assert scan.look([f"{tree}/node_modules/m/x", f"{tree}/node_modules/m"], known, modules) == {}


@pytest.mark.parametrize("number", [13, 24, 5, 116])
def test_unreadable_paths_are_not_gone(tree: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """No right, no descriptor left, a disk or network error: nothing is deleted for that."""
    known = scan.scan([str(tree)], modules)
    real, real_lstat = os.scandir, os.lstat

    def scandir(path: str) -> object:
        if path.endswith("/b"):
            raise OSError(number, os.strerror(number), path)
        return real(path)

    def lstat(path: str) -> os.stat_result:
        if path.endswith("/h"):
            raise OSError(number, os.strerror(number), path)
        return real_lstat(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "lstat", lstat)
    (tree / "a/g").unlink()
    assert after(tree, "a", "h", known=known) == "-a/g"


def test_dockerignores(tmp_path: Path) -> None:
    """Each built service has the lines of its own file, or else of the folder's; without a file there are none."""
    (tmp_path / ".dockerignore").write_text("# no\n\nnode_modules\n*.log\n")
    (tmp_path / "Own.dockerignore").write_text("dist\n")
    (tmp_path / "empty").mkdir()
    services = (
        Service("plain", image="x"),
        Service("common", build=Build(str(tmp_path))),
        Service("own", build=Build(str(tmp_path), dockerfile="Own")),
        Service("none", build=Build(str(tmp_path / "empty"))),
    )
    ignored = scan.dockerignores(Project("p", str(tmp_path), (), services))
    assert ignored == {"common": ("node_modules", "*.log"), "own": ("dist",), "none": ()}


def test_a_bad_pattern_of_a_dockerignore(tmp_path: Path) -> None:
    """The error has the file and the line, comments and empty lines counted."""
    (tmp_path / ".dockerignore").write_text("# no\n\nnode_modules\n[\n")
    with pytest.raises(ConfigError, match="bad pattern") as caught:
        scan.dockerignore(Build(str(tmp_path)))
    assert caught.value.where == f"{tmp_path}/.dockerignore:4"


def test_a_folder_that_became_a_link(tree: Path) -> None:
    """The content behind the link is not the folder's: that is gone, in whatever order the events come."""
    known = scan.scan([str(tree)], never)
    (tree / "a/b/f").unlink()
    (tree / "a/b").rmdir()
    (tree.parent / "outside/f").write_text("behind the link")
    (tree / "a/b").symlink_to(tree.parent / "outside")
    for touched in ([f"{tree}/a/b/f", f"{tree}/a/b"], [f"{tree}/a/b", f"{tree}/a/b/f"]):
        fresh = scan.look(touched, known, never)
        assert fresh[f"{tree}/a/b/f"] is None
        link = fresh[f"{tree}/a/b"]
        assert link is not None
        assert link.kind is FileKind.LINK
    assert scan.look([f"{tree}/a/b/f"], known, never) == {f"{tree}/a/b/f": None}  # the link's event is still to come


def test_a_folder_is_entered_before_it_is_listed(tree: Path) -> None:
    """A change during the scan is either found or reported: each folder is watched before it is listed."""

    def enter(folder: str) -> None:
        entered.append(folder)
        Path(folder, "late").touch()

    entered: list[str] = []
    states = scan.scan([str(tree)], modules, enter)
    assert sorted(entered) == sorted([str(tree), f"{tree}/a", f"{tree}/a/b"])
    assert {path for path in states if path.endswith("/late")} == {f"{folder}/late" for folder in entered}


@pytest.mark.parametrize("count", [3, 30])
def test_look_at_many_folders_at_once(tmp_path: Path, count: int) -> None:
    """For few and many folders, exactly the known content of removed folders is gone."""
    for index in range(count):
        (tmp_path / f"d{index}/s").mkdir(parents=True)
        (tmp_path / f"d{index}/s/f").write_text("x")
        (tmp_path / f"d{index}x").write_text("x")
    known = scan.scan([str(tmp_path)], never)
    gone = [f"{tmp_path}/d{index}" for index in range(0, count, 2)]
    for folder in gone:
        Path(folder).rename(tmp_path.parent / f"{tmp_path.name}-{Path(folder).name}")
    fresh = scan.look(gone, known, never)
    assert fresh == {path + below: None for path in gone for below in ("", "/s", "/s/f")}


def test_differing(tree: Path) -> None:
    """Changed, removed and new paths are named; equal paths are not, and unchanged folders are listed only once."""
    known = scan.scan([str(tree)], modules)
    listed: dict[str, int] = {}

    def differs() -> str:
        return names(dict.fromkeys(scan.differing([*known.items()], known, modules, listed, 9.0)), tree)

    assert differs() == ""
    (tree / "a/b/f").write_text("y")
    (tree / "a/g").unlink()
    (tree / "new/deep").mkdir(parents=True)
    (tree / "link").unlink()
    (tree / "link").symlink_to("elsewhere")
    (tree / "node_modules/m/y").touch()
    assert differs() == "a/b/f a/g link new"
    known.update({p: s for p, s in scan.look([f"{tree}/new"], known, modules).items() if s})
    os.utime(tree / "new/deep", (1, 1))
    assert differs() == "a/b/f a/g link"
    assert listed == {f"{tree}/new/deep": 10**9}, "a folder that changed just now is not to be trusted"


def test_differing_in_slices(tree: Path) -> None:
    """It stops after the given time, and continues there the next time."""
    for index in range(500):
        (tree / f"f{index}").write_text("x")
    known = scan.scan([str(tree)], modules)
    todo: list[tuple[str, FileState | None]] = [*known.items()]
    slices = 0
    while todo:
        before = len(todo)
        assert not scan.differing(todo, known, modules, {}, 1e-9)
        assert 0 < before - len(todo) <= scan.GLANCE
        slices += 1
    assert slices > 5


MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda rw
30 22 0:5 / /mnt/c rw,noatime - 9p drvfs rw,aname=drvfs
31 22 0:6 / /home/me/with\040blank rw - fuse.sshfs me@there: rw
32 22 0:7 / /home/me/project/data rw - nfs4 server:/data rw
33 22 0:8 / /ntfs rw - fuseblk /dev/sdb1 rw
"""


@pytest.mark.parametrize(
    ("root", "kind"),
    [
        ("/home/me/src", None),
        ("/mnt/c/work", "9p"),
        ("/mnt/cat", None),
        ("/home/me/with blank", "fuse.sshfs"),
        ("/home/me/project", "nfs4"),
        ("/home/me/project/src", None),
        ("/ntfs/x", None),
    ],
)
def test_file_systems_without_events(tmp_path: Path, root: str, kind: str | None) -> None:
    """They are those of other machines and of a virtual machine's host, above or below the root, unlike a disk."""
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert scan.eventless_filesystem([root], str(tmp_path / "mountinfo")) == kind
    assert scan.eventless_filesystem([root], str(tmp_path / "no such file")) is None


def test_the_lock_of_git(tmp_path: Path) -> None:
    """It is that of the folder's work tree, also for one of several worktrees; elsewhere there is none."""
    deep = tmp_path / "repo/sub/project"
    deep.mkdir(parents=True)
    (tmp_path / "repo/.git").mkdir()
    assert scan.git_lock(str(deep)) == str(tmp_path / "repo/.git/index.lock")
    (tmp_path / "repo/sub/.git").write_text("gitdir: /elsewhere/worktrees/sub\n")
    assert scan.git_lock(str(deep)) == "/elsewhere/worktrees/sub/index.lock"
    assert scan.git_lock("/") is None
