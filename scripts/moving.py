"""The program of `scripts/pictures`, and the moving pictures of docs/images, from real runs of the sample app.

moving-view.svg is what the terminal showed; moving-page.webp and moving-page-dark.webp are screenshots by Chromium.
Waits are shortened. A caption below says what the developer does. Arguments: `lines` (with the app), `view`, `page`,
`moving-view`, `moving-page`; by default all.
"""

from __future__ import annotations

import io
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, sync_playwright
from scripts import animation, pictures

STARTING = "devenv up: what is each service waiting for?"
ENDING = "q: the database is saved, and everything is removed"
LONGEST = {STARTING: 0.35, ENDING: 1.0}  # seconds that a frame lasts at most
PAUSE = 2.5  # seconds: the same with any other caption, and what a reader needs for the end
EVERY = 1.5  # seconds between screenshots
MARGIN, POINTS = 40, 20  # pixels: height of the caption, and its size
LIMIT = 500_000  # bytes of a picture
QUALITIES = (50, 40, 30)  # of a screenshot: the best that keeps the limit
SCHEMES = {
    "light": ("moving-page.webp", "#ffffff", "#1c2124"),
    "dark": ("moving-page-dark.webp", "#1c2124", "#d6dcdb"),
}
Steps = Sequence[tuple[str, Callable[[], object], str, float]]  # caption, action, what the screen shows then, seconds


def make_view() -> int:
    """Write moving-view.svg; return the exit code of the run."""
    captions = [(0.0, STARTING)]
    with tempfile.TemporaryDirectory() as scratch:
        folder, terminal = pictures.started(scratch, *pictures.VIEW, rows=animation.ROWS)
        try:
            terminal.until("up after", timeout=pictures.UP_TIMEOUT)
            captions.append((time.monotonic(), "All services are healthy"))
            time.sleep(5)  # a sample of the containers' usage
            saves = pictures.edits(folder)
            typo, correction = pictures.typo(folder)
            steps: Steps = (
                ("Save client/src/components/Header.jsx: it is in the container", saves[0][1], "Header.jsx", 3),
                ("Save backend/src/greeting.js", saves[2][1], "greeting.js", 3),
                ("A typo in backend/src/greeting.js: the service is marked", typo, "e shows", 3),
                ("e: the last error", lambda: terminal.press("e"), "▶", 3),
                ("The typo is corrected", correction, "up after", 3),
                ("End: follow the log again", lambda: terminal.press("\x1b[F"), "greeting.js", 2),
                (ENDING, lambda: terminal.press("q"), "q again", 1),
            )
            for caption, act, output, pause in steps:
                mark = len(terminal.seen)
                captions.append((time.monotonic(), caption))
                act()
                terminal.until(output, since=mark)
                time.sleep(pause)
            terminal.press("q")
            terminal.process.wait(pictures.STEP_TIMEOUT)
        finally:
            code = terminal.interrupt()
    _write("moving-view.svg", animation.svg(_shortened(terminal.writes, captions), "sample-todo-app", "e: ").encode())
    return code


def _shortened(writes: animation.Writes, captions: Sequence[tuple[float, str]]) -> list[animation.Frame]:
    frames = animation.frames(writes, "devenv up", captions)
    *shown, last = (replace(one, seconds=min(one.seconds, LONGEST.get(one.caption, PAUSE))) for one in frames)
    return [*shown, replace(last, seconds=PAUSE)]


@dataclass(frozen=True)
class Shot:
    """A screenshot by colour scheme, how long it is shown, and its caption."""

    pictures: dict[str, bytes]
    seconds: float
    caption: str


def make_page() -> int:
    """Write moving-page.webp and moving-page-dark.webp; return the exit code of the run."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = pictures.launched(playwright)
        folder, terminal = pictures.started(scratch, *pictures.VIEW)
        try:
            terminal.until("up after", timeout=pictures.UP_TIMEOUT)
            page = browser.new_page(viewport=pictures.PAGE_SIZE)
            page.goto(pictures.address(folder, scratch))
            saves = pictures.edits(folder)
            typo, correction = pictures.typo(folder)
            chain = page.locator(".chain-item.is-bad .chain-button").first
            broken = page.locator(".cause").first
            shots = [
                *_shots(page, "Each save is on the timeline, joined to what follows from it", saves[0][1], 6),
                *_shots(page, "Save proxy/Caddyfile: the proxy reads its settings again", saves[5][1], 8),
                *_shots(page, "A typo in backend/src/greeting.js", typo, 2),
                *_shots(page, "The service with the error is the first", broken.wait_for, 4),
                *_shots(page, "“after the save of greeting.js”: what led to the error", chain.click, 5),
                *_shots(page, "The typo is corrected", correction, 7),
            ]
        finally:
            code = terminal.interrupt()
            browser.close()
    for scheme, (name, background, colour) in SCHEMES.items():
        _write(name, _animated(shots, scheme, background, colour))
    return code


def _shots(page: Page, caption: str, act: Callable[[], object], seconds: float) -> Iterator[Shot]:
    """Do it, and look at the page for these seconds."""
    act()
    page.mouse.move(0, 0)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        shown = {scheme: pictures.shot(page, scheme) for scheme in SCHEMES}
        time.sleep(max(0.0, began + EVERY - time.monotonic()))
        yield Shot(shown, time.monotonic() - began, caption)


def _animated(shots: Sequence[Shot], scheme: str, background: str, colour: str) -> bytes:
    """The screenshots with their captions as a moving WebP."""
    frames = [_captioned(shot.pictures[scheme], shot.caption, background, colour) for shot in shots]
    durations = [round(1000 * min(PAUSE, shot.seconds)) for shot in shots]
    durations[-1] = round(1000 * PAUSE)
    first, *others = frames
    for quality in QUALITIES:
        out = io.BytesIO()
        first.save(
            out, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, quality=quality, method=3
        )
        if len(out.getvalue()) < LIMIT:
            break
    return out.getvalue()


def _captioned(picture: bytes, caption: str, background: str, colour: str) -> Image.Image:
    shown = Image.open(io.BytesIO(picture)).convert("RGB")
    frame = Image.new("RGB", (shown.width, shown.height + MARGIN), background)
    frame.paste(shown)
    draw = ImageDraw.Draw(frame)
    draw.text((16, shown.height + MARGIN / 2), caption, colour, ImageFont.load_default(POINTS), anchor="lm")
    return frame


def _write(name: str, content: bytes) -> None:
    if len(content) > LIMIT:
        sys.exit(f"{name}: {len(content)} bytes are more than {LIMIT}")
    (pictures.IMAGES / name).write_bytes(content)


WAYS = {**pictures.WAYS, "moving-view": make_view, "moving-page": make_page}


def main(wanted: list[str]) -> int:
    """Write docs/images; return the exit code."""
    pictures.IMAGES.mkdir(parents=True, exist_ok=True)
    codes = [WAYS[name]() for name in wanted or WAYS]
    return 0 if set(codes) == {128 + signal.SIGINT} else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
