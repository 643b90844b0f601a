"""The walls of the house as data; run as a script it prints the pure modules as coverage patterns."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "devenv"

PURE = (
    "errors.py",
    "model/*.py",
    "cli/candidates.py",
    "cli/words.py",
    "config/dangers/paths.py",
    "config/dangers/table.py",
    "config/dangers/uses.py",
    "config/naming.py",
    "config/parse.py",
    "config/runmodel.py",
    "config/shapes.py",
    "preflight/checks.py",
    "images/advice.py",
    "preflight/codes.py",
    "preflight/diagnosis.py",
    "preflight/report.py",
    "images/dockerfile.py",
    "images/layers.py",
    "images/mirrors.py",
    "images/hostsettings.py",
    "images/overlay.py",
    "images/runfaults.py",
    "images/outcomes.py",
    "images/references.py",
    "images/tags.py",
    "images/wishes.py",
    "lifecycle/causes.py",
    "lifecycle/difference.py",
    "lifecycle/identity.py",
    "lifecycle/lineage.py",
    "lifecycle/losses.py",
    "lifecycle/notes.py",
    "lifecycle/order.py",
    "lifecycle/timings.py",
    "watch/changes.py",
    "watch/commands.py",
    "watch/guard.py",
    "watch/links.py",
    "watch/outcome.py",
    "watch/reconcile.py",
    "watch/staging.py",
    "watch/hand.py",
    "watch/tar.py",
    "watch/waiting.py",
    "watch/patterns.py",
    "watch/rules.py",
    "watch/faults.py",
    "watch/planner.py",
    "scaffold/detect.py",
    "scaffold/names.py",
    "ui/cells.py",
    "ui/findings.py",
    "ui/keys.py",
    "ui/logbook.py",
    "ui/pane.py",
    "ui/progress.py",
    "ui/screen.py",
    "ui/state.py",
    "ui/table.py",
    "ui/text.py",
    "ui/graph.py",
    "ui/here.py",
    "ui/layers.py",
    "ui/rules.py",
    "ui/standing.py",
    "ui/waterfall.py",
)

PURE_STDLIB = frozenset({
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "configparser", "contextlib", "copy",
    "dataclasses", "datetime", "difflib", "enum", "errno", "fnmatch", "functools", "graphlib", "hashlib", "heapq",
    "ipaddress", "itertools", "json", "math", "numbers", "operator", "os", "pathlib", "posixpath", "re",
    "shlex", "stat", "string", "struct", "textwrap", "types", "typing", "unicodedata", "urllib.parse",
})  # fmt: skip

# Third-party (and process) modules and the only files that may import them; a folder stands for all in it.
OWNERS: dict[str, tuple[str, ...]] = {
    "subprocess": ("engine/process.py", "engine/endpoint.py"),
    "multiprocessing": (),
    "python_on_whales": ("engine/docker.py",),
    "h11": ("engine/http.py",),
    "watchfiles": ("watch/source.py",),
    "ctypes": ("watch/inotify.py", "memory.py"),
    "yaml": ("config/", "scaffold/"),
    "rich": ("ui/",),
    "typer": ("cli/",),
    "click": ("cli/",),
}

# Other ways to start a process, which are subprocess by another name.
STARTERS = frozenset({
    "os.system", "os.popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.posix_spawnp",
    "os.execv", "os.execve", "os.execvp", "os.execvpe", "pty.spawn",
    "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell", "anyio.open_process",
    "anyio.run_process",
})  # fmt: skip

# The guardian forks for each try: what the try loads is gone with the child.
MAY_START = {"lifecycle/guardian.py": frozenset({"os.fork"})}

# The console, the version path, and the guardian, whose standard output is its own log and never a terminal.
PRINTERS = ("ui/console.py", "__main__.py", "lifecycle/guardian.py")

# What writes to the terminal beside `print`, and the only files that may use it: the console and the live view clean
# every text, `ask` cleans questions, and what `render` writes is read by its parent.
WRITERS = frozenset({
    "typer.echo", "typer.secho", "typer.confirm", "typer.prompt", "typer.launch", "typer.progressbar",
    "sys.stdout.write", "sys.stderr.write", "sys.stdout.writelines", "sys.stderr.writelines",
    "sys.__stdout__", "sys.__stderr__",
})  # fmt: skip
MAY_WRITE = ("ui/console.py", "cli/ask.py", "scaffold/render.py")

# What each room may import of the others (itself, model and errors always); None is no limit.
ROOMS: dict[str, frozenset[str] | None] = {
    "model": frozenset(),
    "errors": frozenset(),
    "engine": frozenset(),
    "ui": frozenset(),
    "config": frozenset({"engine"}),
    "scaffold": frozenset({"config", "engine", "images", "watch", "preflight"}),
    "images": frozenset({"config", "engine"}),
    "watch": frozenset({"config", "engine", "images"}),
    "preflight": frozenset({"config", "engine", "images", "watch"}),
    "lifecycle": frozenset({"config", "engine", "images", "watch", "preflight"}),
    "cli": frozenset({"config", "engine", "images", "watch", "preflight", "lifecycle", "scaffold", "ui"}),
    "__main__": None,
}


def is_pure(module: str) -> bool:
    """Whether the file, named from src/devenv, is one of the pure ones."""
    return any(Path(module).match(pattern) for pattern in PURE)


if __name__ == "__main__":
    print(",".join(f"*/devenv/{pattern}" for pattern in PURE))  # noqa: T201 - what the script is for
