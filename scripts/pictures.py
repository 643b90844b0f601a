"""Makes docs/images from real runs of `devenv up` of the sample app: the lines, the app, the live view, and the page.

The terminal is a pty of 100 x 32, which rich turns into SVG: from its bytes, or, for the view, from the screen. The
app and the page of `devenv page` are screenshots by Chromium. moving.py has the program.
"""

from __future__ import annotations

import fcntl
import io
import itertools
import os
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyte
from playwright.sync_api import Browser, Page, Playwright, ViewportSize, sync_playwright
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
COLUMNS, ROWS = 100, 32
UP_TIMEOUT = 1800.0  # seconds; the first run builds or pulls the images
STEP_TIMEOUT = 120.0
ARGUMENTS = ["up", "--stand-ins", "--no-logs"]
VIEW = ["up", "--stand-ins"]
PAGE_SIZE: ViewportSize = {"width": 1240, "height": 740}
WIDE = {"brown": "yellow", "brightblack": "#8b979c"}  # pyte's names of colours that rich names differently
TODOS = ("Water the plants", "Answer Ada's letter", "Fix the garden gate", "Try the new bakery", "Book the ferry")
DONE = ("Water the plants", "Fix the garden gate")
CTRL_C = b"\x03"

# A dark window that reads well on light and dark pages.
THEME = TerminalTheme(
    (28, 33, 36),
    (214, 220, 219),
    [
        (70, 78, 82), (232, 116, 97), (126, 200, 140), (226, 190, 110),
        (110, 170, 235), (200, 150, 220), (105, 200, 205), (214, 220, 219),
    ],
)  # fmt: skip

# rich's own format would fetch fonts from the network.
FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
  <style>
    .{unique_id}-matrix {{
      font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
      font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
    }}
    .{unique_id}-title {{ font-size: 18px; font-family: system-ui, sans-serif; }}
    {styles}
  </style>
  <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
  </defs>
  {chrome}
  <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">{matrix}</g>
  </g>
</svg>
"""


class Terminal:
    """A command on a terminal of its own, and all its output."""

    def __init__(self, argv: list[str], folder: Path, env: dict[str, str], rows: int) -> None:
        self.seen = b""
        self.writes: list[tuple[float, bytes]] = []  # by the monotonic clock
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**os.environ, **env, "TERM": "xterm-256color", "CI": ""},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - no thread runs yet, and Ctrl-C needs a controlling terminal
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until(self, text: str, *, since: int = 0, timeout: float = STEP_TIMEOUT) -> None:
        """Wait until the text was written at or after byte `since`. Exits if time is up."""
        deadline = time.monotonic() + timeout
        while text.encode() not in self.seen[since:]:
            if not self._reader.is_alive() or time.monotonic() > deadline:
                sys.exit(f"{self.seen.decode(errors='replace')}\nnever seen: {text}")
            time.sleep(0.05)

    def press(self, keys: str) -> None:
        """Type on the terminal."""
        os.write(self._master, keys.encode())

    def interrupt(self) -> int:
        """The exit code after Ctrl-C."""
        if self.process.poll() is None:
            os.write(self._master, CTRL_C)
        code = self.process.wait(STEP_TIMEOUT)
        self._reader.join(5)
        return code

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._master, 65536)
            except OSError:  # Linux reports the end of the last writer so
                return
            if not chunk:
                return
            self.writes.append((time.monotonic(), chunk))
            self.seen += chunk


def _take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def picture(written: bytes) -> str:
    """The bytes as SVG, below the command that was typed. An overwritten line shows its last content."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(f"[bold green]$[/] devenv {' '.join(ARGUMENTS)}", highlight=False)
    lines = written.decode(errors="replace").replace("\r\n", "\n").rstrip("\n").split("\n")
    for line in lines:
        console.print(Text.from_ansi(line.rsplit("\x1b[2K", 1)[-1]), highlight=False)
    console.print("[bold green]$[/] █", highlight=False)
    return console.export_svg(title="sample-todo-app", theme=THEME, code_format=FORMAT, unique_id="devenv")


def view(written: bytes) -> str:
    """The content of the screen, as SVG."""
    display = pyte.Screen(COLUMNS, ROWS)
    # pyte knows no faint text: the colour of faint text marks it.
    pyte.ByteStream(display).feed(written.replace(b"\x1b[2m", b"\x1b[90m"))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for row in range(ROWS):
        cells = [display.buffer[row][column] for column in range(COLUMNS)]
        text = Text()
        for style, run in itertools.groupby(cells, _style):
            text.append("".join(cell.data for cell in run), style)
        console.print(text, highlight=False)
    return console.export_svg(title="sample-todo-app", theme=THEME, code_format=FORMAT, unique_id="live")


def _style(cell: pyte.screens.Char) -> Style:
    colour = WIDE.get(cell.fg, cell.fg)
    return Style(
        color=None if colour == "default" else colour, bold=cell.bold, reverse=cell.reverse, underline=cell.underscore
    )


def screenshot(page: Page, url: str) -> None:
    """The page with a few todos on it, as app.png."""
    page.goto(url)
    for title in TODOS:
        page.get_by_label("New todo").fill(title)
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_label(title, exact=True).wait_for()
    for title in DONE:
        page.get_by_label(title, exact=True).check()
    page.get_by_label("New todo").focus()
    page.mouse.move(0, 0)
    page.screenshot(path=IMAGES / "app.png")


def edits(folder: Path) -> tuple[tuple[str, Callable[[], object]], ...]:
    """Edits that a developer makes meanwhile, each with the output at its end."""

    def replaced(path: str, old: str, new: str) -> Callable[[], object]:
        file = folder / path
        return lambda: file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    return (
        ("Header.jsx →", replaced("client/src/components/Header.jsx", "Todos", "Our todos")),
        ("styles.css →", replaced("client/src/styles.css", "#2f6f5e", "#2f5f8e")),
        ("greeting.js →", replaced("backend/src/greeting.js", "Welcome back!", "Good morning!")),
        ("README.md →", lambda: (folder / "client/README.md").write_text("# The page\n", encoding="utf-8")),
        ("README.md removed", (folder / "client/README.md").unlink),
        ("proxy   healthy", replaced("proxy/Caddyfile", '"ok"', '"fine"')),
        ("backend healthy", replaced("backend/package.json", "1.0.0", "1.0.1")),
    )


def typo(folder: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    """A syntax error in the backend, and its correction, which is the state when the error was made."""
    file = folder / "backend/src/greeting.js"
    before: list[str] = []

    def make() -> None:
        before.append(file.read_text(encoding="utf-8"))
        file.write_text(before[-1].replace("'", "", 1), encoding="utf-8")

    return make, lambda: file.write_text(before[-1], encoding="utf-8")


def environment(scratch: str) -> dict[str, str]:
    """The environment of a run whose state is in a folder of its own."""
    return {"XDG_STATE_HOME": str(Path(scratch) / "state"), "COMPOSE_PROJECT_NAME": "todo"}


def started(scratch: str, *arguments: str, rows: int = ROWS) -> tuple[Path, Terminal]:
    """Start devenv in a fresh copy of the sample app, on a terminal."""
    ignored = shutil.ignore_patterns("node_modules", "dist", "data")
    folder = Path(shutil.copytree(ROOT / "sample-todo-app", Path(scratch) / "sample-todo-app", ignore=ignored))
    return folder, Terminal([sys.executable, "-m", "devenv", *arguments], folder, environment(scratch), rows)


def launched(playwright: Playwright) -> Browser:
    """Chromium, without a window."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])


def make_view() -> int:
    """Write live.svg; return the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, terminal = started(scratch, *VIEW)
        try:
            terminal.until("up after", timeout=UP_TIMEOUT)
            time.sleep(8)  # two samples of the containers' usage
            for output, edit in edits(folder)[:3]:
                mark = len(terminal.seen)
                edit()
                terminal.until(output, since=mark)
                time.sleep(2)
            (IMAGES / "live.svg").write_text(view(terminal.seen), encoding="utf-8")
        finally:
            code = terminal.interrupt()
    return code


def make_lines() -> int:
    """Write terminal.svg and app.png; return the exit code."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = launched(playwright)
        folder, terminal = started(scratch, *ARGUMENTS, "--no-ui")
        try:
            terminal.until("is up after", timeout=UP_TIMEOUT)
            port = os.environ.get("TODO_PORT", "80")
            screenshot(
                browser.new_page(viewport={"width": 900, "height": 720}, device_scale_factor=2),
                f"http://localhost:{port}/",
            )
            for output, edit in edits(folder):
                mark = len(terminal.seen)
                edit()
                terminal.until(output, since=mark)
                time.sleep(1)
        finally:
            code = terminal.interrupt()
            browser.close()
        (IMAGES / "terminal.svg").write_text(picture(terminal.seen), encoding="utf-8")
    return code


def address(folder: Path, scratch: str) -> str:
    """The address of the page of the run."""
    command = [sys.executable, "-m", "devenv", "page", "--print"]
    env = {**os.environ, **environment(scratch)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True).stdout.strip()


def shot(page: Page, scheme: str) -> bytes:
    """The page as PNG, in a colour scheme: light or dark."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.wait_for_timeout(200)  # until colours have changed
    folder = page.locator("#folder")  # it is a temporary one, and is drawn again at each change
    while True:
        folder.evaluate("folder => { folder.textContent = '~/todo'; }")
        picture = page.screenshot()
        if folder.text_content() == "~/todo":
            return picture


def make_page() -> int:
    """Write page.png and page-dark.png, of a run in which a save broke the backend; return the exit code."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = launched(playwright)
        folder, terminal = started(scratch, *VIEW)
        try:
            terminal.until("up after", timeout=UP_TIMEOUT)
            page = browser.new_page(viewport=PAGE_SIZE, color_scheme="light")
            page.goto(address(folder, scratch))
            for (_, edit), pause in zip(edits(folder), (6, 4, 8, 3, 5, 10, 30), strict=True):
                edit()
                time.sleep(pause)
            typo(folder)[0]()
            page.locator(".cause").wait_for()
            time.sleep(5)
            page.locator(".chain-item.is-bad .chain-button").first.click()
            page.mouse.move(0, 0)
            for name, scheme in (("page.png", "light"), ("page-dark.png", "dark")):
                (IMAGES / name).write_bytes(shot(page, scheme))
        finally:
            code = terminal.interrupt()
            browser.close()
    return code


WAYS = {"lines": make_lines, "view": make_view, "page": make_page}
