"""What people and their tools do to files, on bytes paths, and as roughly as they do it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from support.naive import IGNORED
from support.rig import short

NAMES = (
    b"a",
    b"b",
    b"c",
    b"two words",
    b"-rf",
    b"new\nline",
    b"\xff\xfe",
    "übung-日本".encode(),
    b"it's $(id) \\ *",
    b"x" * 255,
)
MODES = (0o644, 0o600, 0o755, 0o444, 0o777, 0o4755)
LINKS = (b"a", b"..", b"../../..", b"nowhere", b"/etc/hostname", b"b/c")


class Edits:
    """Edits below `root`, which itself never changes; an edit that is impossible at the moment is skipped.

    `outside` is beside it, on the same file system, and holds a file that must never be copied.
    """

    def __init__(self, root: Path, outside: Path, canary: bytes) -> None:
        self.root = os.fsencode(root)
        self.outside = os.fsencode(outside)
        self.canary = os.path.join(self.outside, b"canary")
        self.done: list[str] = []
        outside.mkdir()
        Path(os.fsdecode(self.canary)).write_bytes(canary)
        self._numbers = iter(range(10**9))

    def do(self, edit: Callable[..., None], *args: object) -> None:
        """Do the edit as far as possible."""
        report = f"{edit.__name__}{short(args)}"
        try:
            edit(*args)
        except (OSError, shutil.Error) as error:
            report += f" -> {type(error).__name__}"
        self.done.append(report)

    def _at(self, names: Sequence[bytes]) -> bytes:
        return os.path.join(self.root, *names)

    def _all(self, *kinds: Callable[[int], bool]) -> list[bytes]:
        paths = []
        for place, folders, files in os.walk(self.root):
            for name in (*folders, *files):
                path = os.path.join(place, name)
                with contextlib.suppress(OSError):
                    mode = os.lstat(path).st_mode
                    if not kinds or any(kind(mode) for kind in kinds):
                        paths.append(path)
        return sorted(paths)

    def _one(self, number: int, *kinds: Callable[[int], bool]) -> bytes:
        paths = self._all(*kinds)
        if not paths:
            raise FileNotFoundError
        return paths[number % len(paths)]

    def _parent(self, path: bytes) -> bytes:
        above = os.path.dirname(path)
        while above != self.root:
            if os.path.islink(above):
                raise FileExistsError  # the destination of a link is not ours
            above = os.path.dirname(above)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def _text(self, size: int) -> bytes:
        return (b"%d " % next(self._numbers)).ljust(size, b".")

    # --- content -------------------------------------------------------------------------------------------------

    def create(self, names: Sequence[bytes], size: int) -> None:
        """Write a file in place."""
        self._write(self._parent(self._at(names)), size)

    def _write(self, path: bytes, size: int) -> None:
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            raise FileExistsError  # a link leads elsewhere, and a pipe would wait for a reader
        with open(path, "wb") as file:
            file.write(self._text(size))

    def burst(self, names: Sequence[bytes], count: int) -> None:
        """Write many files in one folder."""
        for number in range(count):
            self.create((*names, b"burst%d" % number), number)

    def append(self, number: int, size: int) -> None:
        """Append to a file."""
        with open(self._one(number, stat.S_ISREG), "ab") as file:
            file.write(self._text(size))

    def truncate(self, number: int, size: int) -> None:
        """Shorten or extend a file."""
        os.truncate(self._one(number, stat.S_ISREG), size)

    def save(self, number: int, size: int) -> None:
        """Replace a file as editors do: write a new file beside it, and rename it over the old one."""
        path = self._one(number, stat.S_ISREG)
        beside = os.path.join(os.path.dirname(path), b".save.tmp")
        with open(beside, "wb") as file:
            file.write(self._text(size))
        os.rename(beside, path)

    def disguise(self, number: int) -> None:
        """Change the bytes, but neither the length nor the time of a file."""
        path = self._one(number, stat.S_ISREG)
        was = os.stat(path)
        with open(path, "r+b") as file:
            file.write(self._text(0)[: was.st_size])
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))

    # --- metadata ------------------------------------------------------------------------------------------------

    def chmod(self, number: int, mode: int) -> None:
        """Change the permissions of a file."""
        os.chmod(self._one(number, stat.S_ISREG), mode)

    def touch(self, number: int) -> None:
        """Set a new time and nothing else."""
        os.utime(self._one(number, stat.S_ISREG, stat.S_ISDIR))

    # --- names ---------------------------------------------------------------------------------------------------

    def rename(self, number: int, names: Sequence[bytes]) -> None:
        """Rename anything, perhaps over something else."""
        os.rename(self._one(number), self._parent(self._at(names)))

    def swap(self, one: int, other: int) -> None:
        """Exchange two paths."""
        first, second = self._one(one), self._one(other)
        aside = os.path.join(self.root, b"aside")
        os.rename(first, aside)
        try:
            os.rename(second, first)
            os.rename(aside, second)
        finally:
            if os.path.lexists(aside) and not os.path.lexists(first):
                os.rename(aside, first)

    def hard_link(self, number: int, names: Sequence[bytes]) -> None:
        """Give a file a second name."""
        os.link(self._one(number, stat.S_ISREG), self._parent(self._at(names)))

    def symlink(self, names: Sequence[bytes], to: int) -> None:
        """Create a link: absolute, dangling, upwards, a cycle, or to the file that must never be copied."""
        path = self._parent(self._at(names))
        texts = (*LINKS, os.path.basename(path), self.canary, self.outside)
        os.symlink(texts[to % len(texts)], path)

    # --- folders -------------------------------------------------------------------------------------------------

    def mkdir(self, names: Sequence[bytes]) -> None:
        """Create an empty folder."""
        os.mkdir(self._parent(self._at(names)))

    def remove(self, number: int) -> None:
        """Delete a file, a link, or a folder with all its content."""
        path = self._one(number)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def flip(self, number: int, kind: int) -> None:
        """Turn a path into something else: a file, link, folder, or a kind that cannot be copied."""
        path = self._one(number)
        self.remove(number)
        match kind % 8:
            case 0 | 1:
                self._write(path, 9)
            case 2:
                os.symlink(LINKS[number % len(LINKS)], path)
            case 3:
                os.symlink(os.path.basename(path), path)
            case 4:
                os.mkfifo(path)
            case 5:
                self._listen(path)
            case _:
                os.mkdir(path)
                if kind % 8 == 7:
                    self.burst([os.path.relpath(path, self.root), b"inner"], 2)

    def _listen(self, path: bytes) -> None:
        folder = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            with socket.socket(socket.AF_UNIX) as server:  # a path of the folder itself may be too long
                server.bind(b"/proc/self/fd/%d/" % folder + os.path.basename(path))
        finally:
            os.close(folder)

    def move_out(self, number: int) -> None:
        """Move a folder out of the tree."""
        path = self._one(number, stat.S_ISDIR)
        os.rename(path, os.path.join(self.outside, b"moved%d" % next(self._numbers)))

    def move_in(self, names: Sequence[bytes]) -> None:
        """Move a folder into the tree: one that was moved out before, or a new one."""
        moved = sorted(name for name in os.listdir(self.outside) if name.startswith(b"moved"))
        if not moved:
            moved = [b"moved"]
            os.makedirs(os.path.join(self.outside, b"moved/deep/er"))
            with open(os.path.join(self.outside, b"moved/deep/er/file"), "wb") as file:
                file.write(self._text(50))
        os.rename(os.path.join(self.outside, moved[-1]), self._parent(self._at(names)))

    # --- files that no rule concerns -------------------------------------------------------------------------------

    def ignored(self, names: Sequence[bytes], size: int) -> None:
        """Write a file that every rule ignores; every other time, rename a synced file so."""
        path = self._parent(self._at((*names[:-1], names[-1][:200] + IGNORED.encode())))
        if size % 2 and self._at(names) in self._all(stat.S_ISREG):
            os.rename(self._at(names), path)
        else:
            self._write(path, size)


def become(path: Path, kind: str, text: str) -> None:
    """Make the path that kind of thing, whatever it is now."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "file":
        path.write_text(text)
    elif kind == "link":
        path.symlink_to("pointed-at")
    elif kind in ("folder", "full"):
        path.mkdir()
    if kind == "full":
        (path / "deep").mkdir()
        (path / "deep/inside").write_text(text)
        (path / "beside").symlink_to("deep")
