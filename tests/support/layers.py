"""The import rules as data; as a script, the pure modules as coverage patterns, or with `tests` their test files."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath

SOURCE = Path(__file__).parents[2] / "src" / "devenv"

PURE = (
    "errors.py",
    "events.py",
    "lazy_dataclass.py",
    "paths.py",
    "phrases.py",
    "redact.py",
    "model/*.py",
    "cli/candidates.py",
    "cli/completion_table.py",
    "cli/registry.py",
    "compose/safety/paths.py",
    "compose/safety/table.py",
    "compose/parse.py",
    "compose/remote_files.py",
    "compose/run_model.py",
    "compose/schema.py",
    "explain/*.py",
    "host/ports.py",
    "docker/build_progress.py",
    "docker/compose_failures.py",
    "doctor/diagnose.py",
    "doctor/facts.py",
    "images/dockerfile.py",
    "images/dockerfile_parser.py",
    "images/layers.py",
    "host/package_managers.py",
    "images/host_settings/overlay.py",
    "images/failures.py",
    "inspect/log_merge.py",
    "images/needs.py",
    "remote/forwards.py",
    "remote/ssh.py",
    "run/active/causes.py",
    "run/active/model_diff.py",
    "state/identity.py",
    "volumes/lineage.py",
    "run/active/phases.py",
    "run/timings.py",
    "sync/host/file_state.py",
    "sync/host/manifest.py",
    "sync/host/link_loops.py",
    "sync/container/shell_commands.py",
    "sync/reconcile.py",
    "sync/container/perl_helper.py",
    "sync/container/tar.py",
    "sync/code_health.py",
    "sync/queue.py",
    "sync/rules/patterns.py",
    "sync/rules/rules.py",
    "sync/rules/lint.py",
    "sync/planner.py",
    "scaffold/add/programs.py",
    "scaffold/new/detect.py",
    "ui/cells.py",
    "ui/live/commands.py",
    "ui/live/log.py",
    "ui/live/pane.py",
    "ui/live/screen.py",
    "ui/live/state.py",
    "ui/run_state.py",
    "ui/text.py",
    "ui/drawing.py",
    "ui/tables.py",
    "web/access.py",
    "web/fold.py",
    "web/lines.py",
    "web/messages.py",
    "web/timeline.py",
    "web/timeline_items.py",
)

PURE_STDLIB = frozenset({
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "configparser", "contextlib", "copy",
    "dataclasses", "datetime", "difflib", "enum", "errno", "fnmatch", "functools", "graphlib", "hashlib", "heapq",
    "hmac", "ipaddress", "itertools", "json", "math", "numbers", "operator", "os", "pathlib", "posixpath", "re",
    "shlex", "stat", "string", "struct", "textwrap", "types", "typing", "unicodedata", "urllib.parse",
})  # fmt: skip

# What single pure modules may import, too. The tables of causes are files of the package, and so constants; a module
# of the standard library that is loaded later is the same.
MAY_IMPORT = {
    "explain/table.py": frozenset({"tomllib"}),
    "lazy_dataclass.py": frozenset({"devenv.lazy_imports.LazyImports"}),
}

# Writes methods as text: `exec` of this text defines them and does nothing else.
MAY_COMPILE = ("lazy_dataclass.py",)

# Third-party (and process) modules and the only files that may import them; a folder means all its files.
OWNERS: dict[str, tuple[str, ...]] = {
    "subprocess": ("docker/process.py", "docker/connection.py"),
    "multiprocessing": (),
    "python_on_whales": ("docker/cli.py",),
    "h11": ("docker/http.py", "docker/exchange.py", "docker/bulk.py", "web/http.py"),
    "isal": ("state/gzip_members.py",),
    "watchfiles": ("sync/host/watcher.py",),
    "ctypes": ("sync/host/inotify.py", "sync/adoption.py"),
    "yaml": ("compose/", "scaffold/"),
    "rich": (),
    "typer": ("cli/",),
    "click": ("cli/",),
}

# Other ways to start a process.
STARTERS = frozenset({
    "os.system", "os.popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.posix_spawnp",
    "os.execv", "os.execve", "os.execvp", "os.execvpe", "pty.spawn",
    "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell", "anyio.open_process",
    "anyio.run_process",
})  # fmt: skip

# The guardian forks for each attempt: what the attempt loads is gone with the child.
MAY_START = {name: frozenset({"os.fork"}) for name in ("docker/start_gate.py", "run/cleanup/guardian.py")}

# The writer, the version path, and the guardian, whose standard output is its own log and never a terminal.
PRINTERS = ("__main__.py", "run/cleanup/guardian.py")

# Calls that write to the terminal besides `print`, and the only files that may use them: the writer and the live view
# clean every text, `ask` cleans questions, and the output of `render` is read by its parent.
WRITERS = frozenset({
    "typer.echo", "typer.secho", "typer.confirm", "typer.prompt", "typer.launch", "typer.progressbar",
    "sys.stdout.write", "sys.stderr.write", "sys.stdout.writelines", "sys.stderr.writelines",
    "sys.__stdout__", "sys.__stderr__",
})  # fmt: skip
MAY_WRITE = ("ui/writer.py", "cli/options.py", "scaffold/new/render.py")

# Each package may import itself and packages on lower floors, none on its own. The modules of the lowest floor may
# import each other.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({
        "bounded_search", "errors", "events", "explain", "lazy_dataclass", "lazy_imports", "lazy_patterns", "model",
        "paths", "phrases", "private_files", "redact", "signals", "tasks",
    }),
    frozenset({"docker"}),
    frozenset({"remote"}),
    frozenset({"state"}),
    frozenset({"compose"}),
    frozenset({"host"}),
    frozenset({"images", "sync", "volumes"}),
    frozenset({"doctor", "scaffold", "swarm"}),
    frozenset({"run"}),
    frozenset({"inspect", "ui"}),
    frozenset({"web"}),
    frozenset({"keeper"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)  # fmt: skip


def floor(name: str) -> int | None:
    """The floor of a package, or of a module that is in none; None for `__init__`."""
    return next((number for number, names in enumerate(FLOORS) if name in names), None)


def may_import(name: str, other: str) -> bool:
    """Whether a package (or a module outside of packages) may import the other."""
    own, imported = floor(name), floor(other)
    return own is None or imported is None or name == other or imported < own or own == imported == 0


def is_pure(module: str) -> bool:
    """Whether the file, relative to src/devenv, is pure."""
    return any(PurePosixPath("/", module).match(f"/{pattern}") for pattern in PURE)


def tests() -> list[str]:
    """The test files of the pure modules, relative to the checkout."""
    modules = [path.relative_to(SOURCE) for path in sorted(SOURCE.rglob("*.py"))]
    files = (Path("tests/unit", path.parent, f"test_{path.name}") for path in modules if is_pure(path.as_posix()))
    return [str(path) for path in files if (SOURCE.parents[1] / path).exists()]


if __name__ == "__main__":
    print(" ".join(tests()) if "tests" in sys.argv else ",".join(f"*/devenv/{p}" for p in PURE))  # noqa: T201
