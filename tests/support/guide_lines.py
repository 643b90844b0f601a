"""The command lines of the README, getting started and the guides: which a test runs, and why another is not run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from support.console import FENCE, ROOT

PAGES = [ROOT / "README.md", ROOT / "docs/getting-started.md", *sorted((ROOT / "docs/guides").glob("*.md"))]
ANOTHER_MACHINE = {"remote.md"}  # pages whose lines need a second machine; tests of the remote engine run them

# Run in this order in a small project of the same services. The first part only edits and reads files.
EDITS = (
    "devenv add rules --from-mounts --dry-run",
    "devenv add rules --from-mounts",
    "devenv add rules db --from-mounts",
    "devenv add rules",
    "devenv add postgres --to api --dry-run",
    "devenv add postgres --to api",
    "devenv agent init",
    "devenv new --list",
    "devenv --help",
    "devenv help",
    "devenv help databases",
)
MAIN = (
    "devenv config --validate",
    "devenv explain src/worker.py",
    "devenv up -d",
    "devenv settle api --timeout 120",
    "devenv ps --output json",
    "devenv logs --level error --since 5m --tail 20",
    'devenv logs api --since 2m --grep "GET /orders"',
    "devenv shell api -- python -m pytest -q",
    "devenv shell api",
    "devenv exec SERVICE COMMAND",
    "devenv sync --verify",
    "devenv page --print",
    "devenv snapshot save --name before-migration",
    "devenv shell api -- npm run migrate",
    "devenv snapshot restore before-migration",
    "devenv snapshot save --name base",
    "devenv snapshot export base seed.tar",
    "devenv snapshot rm NAME",
    "devenv snapshot import FILE",
)
WORKTREE = (
    "git worktree add ../shop-feature -b feature && cd ../shop-feature",
    "devenv up -d --from main",
    "devenv settle",
    "devenv snapshot restore --from shop",
)
LAST = (  # in the main worktree again
    "devenv down shop-feature",
    "devenv down",
    "devenv up --detach --timeout 600",
    "npm run e2e",
    "devenv logs > logs.txt",
    "devenv page --export run.html",
    "devenv down --volumes",
    "devenv up --no-build",
    "devenv up --isolated=NAME",
    "devenv gc --snapshots",
)
RUN = (*EDITS, *MAIN, *WORKTREE, *LAST)
# What stands for the words of a page that the reader replaces, and for programs that need a terminal.
PLACEHOLDERS = {
    "exec SERVICE COMMAND": "exec -T api true",
    "rm NAME": "rm base",
    "=NAME": "=second",
    "import FILE": "import seed.tar",
}

SAME = "a line that is run differs only in names or values"
# Why a line is not run: a reason, or the test that has its option.
NOT_RUN: Mapping[str, str] = {
    "devenv up --on HOST": "it needs a second machine; tests of the remote engine run it",
    "devenv sync --watch --stack NAME": "tests/e2e/test_swarm.py",
    "scripts/demo": "CI runs `scripts/demo --check`",
    "scripts/test": "CI runs it",
    "uv tool install .": "tests/engine/test_wheel.py installs the wheel",
    "devenv up --stand-ins": "tests/e2e/test_sample.py",
    "devenv up -d --stand-ins": "tests/e2e/test_sample.py",
    "devenv up --host-settings": "tests/e2e/test_host_settings.py",
    "devenv up --timings": "tests/e2e/test_times.py",
    "devenv up --fresh": "tests/e2e/test_random_sequences.py",
    "devenv up --keep-volumes": "tests/e2e/test_snapshots.py",
    "devenv up --no-watch": "tests/e2e/test_reload.py",
    "devenv up --watcher poll": "tests/engine/test_watching.py",
    "devenv up --port api:5679=5678": "tests/e2e/test_several.py",
    "devenv up --from main": SAME,
    "devenv up --from PROJECT": "tests/e2e/test_snapshots.py",
    "devenv up --from shop-feature": "tests/e2e/test_snapshots.py",
    "devenv up --timeout 3600": SAME,
    "devenv up --isolated": SAME,
    "devenv ps --isolated": SAME,
    "devenv ps --isolated=NAME": SAME,
    "devenv explain src/server.js": SAME,
    "devenv explain src/main.py": SAME,
    "devenv explain PATH": SAME,
    "devenv shell SERVICE": SAME,
    "devenv exec postgres psql -U app": SAME,
    "devenv exec web ...": "Compose's command; tests/e2e/test_remote_files.py",
    "devenv cp web:/app/report.html .": "Compose's command",
    "devenv snapshot export before-migration FILE": SAME,
    "devenv add mysql": SAME,
    "devenv attach api": "tests/e2e/test_background.py",
    "devenv logs -f api": "it does not end; tests/e2e/test_background.py",
    "devenv images save images.tar": "tests/engine/test_saved.py",
    "devenv images load images.tar": "tests/engine/test_saved.py",
    "devenv images save shop.tar": "tests/engine/test_saved.py",
    "devenv images load shop.tar": "tests/engine/test_saved.py",
    "devenv new express-postgres": "tests/e2e/test_new.py",
    "devenv new fastapi-postgres": "tests/e2e/test_docs.py",
    "devenv new flask-redis": "tests/e2e/test_new.py",
    "devenv new worker-queue": "tests/e2e/test_new.py",
    "devenv new todo": "tests/e2e/test_new.py",
    "devenv snapshot save --name before": SAME,
    "devenv snapshot save --name NAME": SAME,
    "devenv snapshot restore before": SAME,
    "devenv snapshot restore NAME": SAME,
    "devenv page --export run.html || true": SAME,
    "git worktree add ../shop-feature -b feature": SAME,
    "cd ../shop-feature": SAME,
}


def shell_lines(page: Path) -> list[str]:
    """The lines of a page's blocks of commands, without prompts and comments."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line.strip()
        for mark, block in FENCE.findall(text)
        if mark in {"sh", "console"}
        for line in block.splitlines()
        if line.strip() and (mark == "sh" or line.startswith("$ "))
    ]
    return [without_comment(line.removeprefix("$ ")) for line in lines]


def without_comment(line: str) -> str:
    """The command line without a comment at its end."""
    return re.sub(r"\s+# .*$", "", line)
