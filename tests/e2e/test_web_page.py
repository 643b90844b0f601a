"""The page in Chromium, against a server that plays messages: what it shows, keys, speed, accessibility."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devenv.web import report
from support import page_story as story
from support.browser import CUT_OFF, LOAD_TIMEOUT
from support.page_server import Message, PageServer, page_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 360, "height": 740}
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
CONTRAST = "{type: 'rule', values: ['color-contrast']}"
# Chromium reports a connection that ended as an error of the network; the page says so by itself.
EXPECTED = re.compile(r"ERR_(INCOMPLETE_CHUNKED|CONNECTION|EMPTY|NETWORK|ABORTED)|status of (409|403|401)")

# The median time of a filter, and that of a plain loop over as many texts, in milliseconds.
SEARCH_TIMES = """() => {
    const field = document.querySelector('#search');
    const text = (n) => `info: request ${n} "get /api/items/${n * 7919 % 100000} http/1.1" 200 ok in ${n % 97} ms`;
    const texts = Array.from({length: 100000}, (_, index) => text(index));
    const median = (action) => Array.from({length: 5}, (_, n) => {
        const begin = performance.now();
        action(`items/1${n}99`);
        return performance.now() - begin;
    }).sort((one, other) => one - other)[2];
    let found = 0;
    const plain = median((word) => { for (const text of texts) if (text.includes(word)) found += 1; });
    const ours = median((word) => {
        field.value = word;
        field.dispatchEvent(new Event('input'));
    });
    return [ours, plain, found];
}"""
# The pauses between tasks that should run every 10 ms, in milliseconds.
RECORD_WAITS = """() => {
    window.waits = [];
    let last = performance.now();
    const look = () => {
        const at = performance.now();
        window.waits.push(at - last);
        last = at;
        setTimeout(look, 10);
    };
    setTimeout(look, 10);
}"""


class Tab:
    """The page in a tab, with all that its console said."""

    def __init__(self, page: Page, server: PageServer) -> None:
        self.page = page
        self.server = server
        self.complaints: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        page.on("requestfailed", lambda request: self._note("cut off", request.failure or ""))
        self.was_cut_off = False

    def _note(self, kind: str, text: str) -> None:
        self.was_cut_off = self.was_cut_off or CUT_OFF in text
        if kind in ("error", "warning") and not EXPECTED.search(text):
            self.complaints.append(f"{kind}: {text}")

    def load(self, url: str, ready: str) -> None:
        """Load until an element exists; again if Chromium dropped a request."""
        deadline = time.monotonic() + LOAD_TIMEOUT
        self.page.goto(url)
        while self.page.locator(ready).count() == 0:
            assert time.monotonic() < deadline, self.page.locator("body").aria_snapshot()
            if self.was_cut_off:
                self.was_cut_off = False
                self.page.goto("about:blank")
                self.page.goto(url)
            self.page.wait_for_timeout(20)

    def card(self, name: str) -> Any:
        """The card of a service."""
        return self.page.locator(f'[data-service="{name}"]')

    def until(self, expression: str, argument: Any = None) -> None:
        """Wait until an expression of JavaScript is true."""
        self.page.wait_for_function(expression, arg=argument, timeout=15_000)

    def sent(self, count: int) -> list[tuple[str, str]]:
        """The verbs and services of all actions, once there are so many."""
        deadline = time.monotonic() + LOAD_TIMEOUT
        while len(self.server.actions()) < count:
            assert time.monotonic() < deadline, self.server.actions()
            self.page.wait_for_timeout(20)
        return [(action["verb"], action["service"]) for action in self.server.actions()]

    def rows(self) -> list[str]:
        """The texts of the log lines that can be seen."""
        return list(self.page.locator(".row:not([hidden]) .row-text").all_inner_texts())


Open = Callable[..., Tab]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens the page: `open_page(messages, viewport=WIDE, ...)`; nothing may complain in its console."""
    tabs: list[Tab] = []
    with ExitStack() as stack:

        def open_(messages: list[Message], viewport: Any = WIDE, path: Path | None = None, **options: Any) -> Tab:
            server = stack.enter_context(page_server(messages))
            context = browser.new_context(viewport=viewport, reduced_motion="reduce", **options)
            stack.callback(context.close)
            tab = Tab(context.new_page(), server)
            tabs.append(tab)
            tab.load(path.as_uri() if path else server.url, ".service" if messages else "#spans button")
            lines = sum(len(message["lines"]) for message in messages if message["type"] == "log")
            tab.until("(text) => document.querySelector('#matches').innerText === text", f"{lines:,} lines")
            return tab

        yield open_
        for tab in tabs:
            assert tab.complaints == []


@pytest.fixture
def now() -> float:
    """The time in milliseconds."""
    return time.time() * 1000


def violations(tab: Tab, run_only: str = RULES) -> list[str]:
    """The rules of axe that the page breaks, with the elements."""
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    tab.page.evaluate(axe)
    found = tab.page.evaluate(f"axe.run(document, {{runOnly: {run_only}}})")["violations"]
    return [f"{rule['id']}: {[node['html'][:150] for node in rule['nodes'][:3]]}" for rule in found]


def test_one_look_shows_what_broke_and_which_save_broke_it(open_page: Open, now: float) -> None:
    """The broken service is first, with file:line and the save; the header counts; the title and icon say so too."""
    tab = open_page(story.story(now))
    page = tab.page
    assert page.locator("#summary").inner_text() == "5 of 6 up, 1 error"
    assert page.title() == "✕ todo: 5 of 6 up, 1 error"
    assert "favicon-bad" in str(page.locator("#favicon").get_attribute("href"))
    assert page.locator(".service").first.get_attribute("data-service") == "backend"
    assert "app/routes/todos.py:63 SyntaxError" in tab.card("backend").inner_text()
    assert "after the save of routes/todos.py" in tab.card("backend").locator(".cause").inner_text()
    assert tab.card("proxy").get_by_role("link").get_attribute("href") == "http://localhost:8080/"
    assert "#" not in page.url


def test_repair_turns_the_card_green(open_page: Open, now: float) -> None:
    """A new state changes card, header and title, and a screen reader hears of it."""
    tab = open_page(story.story(now))
    tab.server.send(story.healthy(now))
    tab.until("() => document.querySelector('#summary').innerText === '6 of 6 up'")
    assert "backend is healthy again" in tab.page.locator("#announcer").inner_text()
    assert tab.page.title() == "todo: 6 of 6 up"
    assert tab.page.locator(".service").first.get_attribute("data-service") == "proxy"


def test_error_and_save_lead_to_each_other_in_one_click(open_page: Open, now: float) -> None:
    """From the card to the save and the traceback; from the save on the timeline to the error."""
    tab = open_page(story.story(now))
    page = tab.page
    tab.card("backend").locator(".cause").click()
    items = page.locator(".chain-item")
    assert "routes/todos.py" in items.first.inner_text()
    assert "SyntaxError" in page.locator(".chain-item.is-chosen").inner_text()
    assert "Traceback" in page.locator(".row.is-chosen").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.locator("#spans").get_by_text("All").click()
    place = page.locator("#tracks-scroll").bounding_box()
    assert place
    saves = page.locator("#tracks-scroll")
    saves.focus()
    for _ in range(60):
        page.keyboard.press("ArrowLeft")
        if page.locator(".chain-item.is-chosen").first.inner_text().startswith("routes/todos.py"):
            break
    assert "1 error" in page.locator(".chain-title").inner_text()


def test_actions_are_sent_and_stop_asks_first(open_page: Open, now: float) -> None:
    """Buttons and keys send the verb and the service; Cancel sends nothing; a refusal is shown with its hint."""
    tab = open_page(story.story(now))
    page = tab.page
    page.get_by_role("button", name="Restart client").click()
    assert tab.sent(1) == [("restart", "client")]
    page.get_by_role("button", name="Rebuild worker").click()
    assert tab.sent(2)[1] == ("rebuild", "worker")
    page.get_by_role("button", name="Stop db").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.keyboard.press("k")
    page.keyboard.press("s")
    name = page.evaluate("document.querySelector('.service.is-chosen').dataset.service")
    assert f"Stop {name}?" in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Enter")
    assert tab.sent(3)[2:] == [("stop", name)]
    tab.server.answers["/api/action"] = (409, {"error": "client is busy: rebuilding", "hint": "wait for it"})
    page.get_by_role("button", name="Restart client").click()
    page.get_by_text("client is busy: rebuilding · hint: wait for it").wait_for()


def test_a_question_right_after_cancel_waits_for_its_own_answer(open_page: Open, now: float) -> None:
    """The browser tells of a closed dialog later: that is not the answer of the next question."""
    tab = open_page(story.story(now))
    tab.page.get_by_role("button", name="Stop db").click()
    tab.page.get_by_role("dialog").wait_for()
    tab.page.evaluate(
        """() => {
          document.querySelector("#confirm [value=no]").click();
          document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "s", bubbles: true }));
        }"""
    )
    name = tab.page.evaluate("document.querySelector('.service.is-chosen').dataset.service")
    assert f"Stop {name}?" in tab.page.get_by_role("dialog").inner_text()
    tab.page.keyboard.press("Enter")
    assert tab.sent(1) == [("stop", name)]


def test_read_only_has_no_actions(open_page: Open, now: float) -> None:
    """There is no button, and keys send nothing."""
    tab = open_page(story.story(now, read_only=True))
    tab.page.get_by_text("read-only").wait_for()
    assert tab.page.locator(".action:visible").count() == 0
    for key in "jrbs":
        tab.page.keyboard.press(key)
    assert tab.server.actions() == []


def test_the_log_has_a_bounded_number_of_elements_and_finds_among_100_000_lines(open_page: Open, now: float) -> None:
    """Rows are those that can be seen; a filter is applied within 50 ms, or a small multiple of a plain loop."""
    tab = open_page([story.hello(now), story.healthy(now), story.lines(100_000, now)])
    page = tab.page
    assert page.locator(".row").count() < 80
    before = page.evaluate("document.querySelectorAll('*').length")
    page.evaluate("document.querySelector('#log-scroll').scrollTop = 700000")
    tab.until("() => document.querySelector('#log-space').innerText.includes('request 35010 ')")
    assert page.evaluate("document.querySelectorAll('*').length") <= before + 60
    took = page.evaluate(SEARCH_TIMES)
    assert took[0] < 50 or took[0] < 15 * took[1], took
    page.keyboard.press("/")
    page.locator("#search").fill("items/12345 ")
    assert page.locator("#matches").inner_text() == "1 of 100,000"
    assert page.locator(".row mark").first.inner_text() == "items/12345"
    page.locator("#search").fill("/items\\/(12345|54321) /")
    assert page.locator("#matches").inner_text() == "2 of 100,000"
    page.locator("#search").fill("/items(/")
    assert "not a regular expression" in page.locator("#search-fault").inner_text()


def test_a_flood_of_lines_keeps_the_page_responsive(open_page: Open, now: float) -> None:
    """During 5,000 lines a second, a key is answered soon, and the number of elements stays."""
    tab = open_page([story.hello(now), story.healthy(now)])
    page = tab.page
    page.evaluate(RECORD_WAITS)
    begin = time.monotonic()
    for batch in range(60):
        tab.server.send(story.lines(250, time.time() * 1000, first=1 + batch * 250))
        time.sleep(max(0.0, begin + (batch + 1) * 0.05 - time.monotonic()))
    tab.until("() => document.querySelector('#matches').innerText === '15,000 lines'")
    waits = sorted(page.evaluate("window.waits"))
    assert waits[int(len(waits) * 0.95)] < 250, waits[-10:]
    assert waits[-1] < 2500, waits[-10:]
    assert page.locator(".row").count() < 80
    assert "15000" in tab.rows()[-1]


def test_a_selected_time_filters_the_log(open_page: Open, now: float) -> None:
    """A drag over the timeline selects a range; the log shows its lines; Escape shows all again."""
    tab = open_page(story.story(now))
    page = tab.page
    box = page.locator("#tracks-scroll").bounding_box()
    assert box
    y = box["y"] + 40
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, y, steps=4)
    page.mouse.up()
    chip = page.locator("#chips .chip")
    assert re.match(r"\d\d:\d\d:\d\d – \d\d:\d\d:\d\d", chip.inner_text())
    shown, total = map(int, re.findall(r"\d+", page.locator("#matches").inner_text()))
    assert 0 < shown < total
    page.keyboard.press("Escape")
    assert page.locator("#matches").inner_text() == f"{total} lines"


def test_wheel_and_keys_zoom_the_timeline(open_page: Open, now: float) -> None:
    """The wheel zooms about the pointer, and a button follows the time again."""
    tab = open_page(story.story(now))
    page = tab.page
    five = page.locator("#spans").get_by_text("5 min")
    assert five.get_attribute("aria-pressed") == "true"
    page.locator("#tracks-scroll").hover()
    page.mouse.wheel(0, -300)
    tab.until("() => !document.querySelector('#spans [aria-pressed=true]')")
    five.click()
    assert five.get_attribute("aria-pressed") == "true"


def test_tracebacks_fold_and_lines_lead_to_their_event(open_page: Open, now: float) -> None:
    """A traceback is one row with its error; unfolded it has all lines; a click on one chooses its event."""
    tab = open_page(story.story(now))
    page = tab.page
    folded = page.locator(".row", has_text="8 more lines")
    assert "SyntaxError: '{' was never closed" in folded.inner_text()
    folded.get_by_role("button", name="Traceback of 9 lines").click()
    assert any("in import_module" in row for row in tab.rows())
    page.locator(".row", has_text="in import_module").locator(".row-text").click()
    assert "importlib/__init__.py" in page.locator("#line").inner_text()
    assert "SyntaxError" in page.locator(".chain-item.is-chosen").inner_text()
    assert "SyntaxError" in page.locator("#tracks-announcer").inner_text()


def test_long_lines_wrap(open_page: Open, now: float) -> None:
    """A narrow page wraps lines, and no row covers another; a button cuts them again."""
    tab = open_page(story.story(now), viewport=NARROW)
    tab.page.evaluate("document.querySelector('#log-scroll').scrollTop = 0")
    assert tab.page.locator(".row .ansi-bold.ansi-6").inner_text() == "LOG:"
    boxes = "[...document.querySelectorAll('.row:not([hidden])')].map((row) => row.getBoundingClientRect())"
    tops = f"{boxes}.map(({{top, bottom}}) => [top, bottom]).sort((one, other) => one[0] - other[0])"
    places = tab.page.evaluate(tops)
    assert all(abs(after[0] - before[1]) < 0.5 for before, after in itertools.pairwise(places))
    assert any(bottom - top > 30 for top, bottom in places)
    hidden = "(row) => row.scrollHeight > row.clientHeight + 2"
    overflowing = (
        f"[...document.querySelectorAll('.row:not([hidden], .is-folded) .row-text')].filter({hidden}).length"
    )
    assert tab.page.evaluate(overflowing) == 0
    tab.page.get_by_role("button", name="Wrap").click()
    assert {round(bottom - top) for top, bottom in tab.page.evaluate(tops)} == {20}


def test_keys(open_page: Open, now: float) -> None:
    """`/` searches, `e` goes to the last error, `j` chooses, `l` shows one log, `?` helps, Escape goes back."""
    tab = open_page(story.story(now))
    page = tab.page
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.innerText") == "backend"
    page.keyboard.press("l")
    assert page.locator("#chips").inner_text().strip() == "backend ×"
    page.keyboard.press("e")
    assert "Traceback" in page.locator(".row.is-chosen").inner_text()
    page.keyboard.press("/")
    page.keyboard.type("jek")
    assert page.locator("#search").input_value() == "jek"
    for _ in range(4):
        page.keyboard.press("Escape")
    assert page.locator("#search").input_value() == ""
    assert page.locator("#chips").inner_text() == ""
    page.keyboard.press("?")
    assert "the last error in the log" in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    assert "Critical path: " in page.locator("#startup").inner_text()
    page.keyboard.press("t")
    assert page.evaluate("document.activeElement.id") == "tracks-scroll"


def test_lost_connection_keeps_the_page_and_connects_again(open_page: Open, now: float) -> None:
    """The page says that the connection was lost, tries again, and has each line once."""
    tab = open_page(story.story(now))
    page = tab.page
    lines = page.locator("#matches").inner_text()
    tab.server.is_gone = True
    tab.server.drop()
    page.get_by_text("Connection lost.").wait_for()
    assert page.locator(".service").count() == 6
    tab.server.is_gone = False
    tab.until("() => document.querySelector('#connection').innerText === 'live'")
    assert page.locator("#banner").is_hidden()
    assert page.locator("#matches").inner_text() == lines
    tab.load(page.url, ".service")  # without the token in the address, as a reload
    tab.until("() => document.querySelector('#summary').innerText === '5 of 6 up, 1 error'")


def test_without_a_token_the_page_says_how_to_get_one(open_page: Open, browser: Browser) -> None:
    """The command is named; nothing is asked of the server."""
    tab = open_page([])
    other = Tab(browser.new_page(), tab.server)
    asked: list[str] = []
    other.page.on("request", lambda request: asked.append(request.method))
    other.load(tab.server.url.partition("#")[0], "#banner:not([hidden])")
    assert "devenv page" in other.page.locator("#banner").inner_text()
    other.page.close()
    assert set(asked) == {"GET"}


def test_earlier_lines_and_the_last_run(open_page: Open, now: float) -> None:
    """Earlier lines are put before; those of the last run are shown alone, and back."""
    tab = open_page(story.story(now))
    page = tab.page
    old = [[-1, now - 900_000, "db", "", "an older line", 0]]
    tab.server.answers["/api/earlier"] = (200, {"lines": old, "source": "this run"})
    page.get_by_role("button", name="Earlier").click()
    tab.until("() => document.querySelector('#matches').innerText === '113 lines'")
    page.get_by_role("button", name="Last run").click()
    tab.until("() => document.querySelector('#matches').innerText === '1 lines'")
    assert page.get_by_role("heading", name="Log of the last run").is_visible()
    page.get_by_role("button", name="Last run").click()
    tab.until("() => document.querySelector('#matches').innerText === '113 lines'")


def test_shown_lines_are_copied_and_downloaded(open_page: Open, now: float) -> None:
    """Both take the lines that the filter shows, and all lines of folded tracebacks."""
    tab = open_page(story.story(now), permissions=["clipboard-read", "clipboard-write"])
    page = tab.page
    page.locator("#search").fill("@backend level:error")
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert [line.partition(" | ")[2] for line in copied] == list(story.TRACEBACK)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "todo.log"
    assert download.value.path().read_text(encoding="utf-8").splitlines() == copied


def test_the_end_of_the_run_is_shown(open_page: Open, now: float) -> None:
    """The page keeps what it has, offers no actions, and does not ask for the run again."""
    tab = open_page(story.story(now))
    asked = len(tab.server.requests)
    tab.server.send({"type": "ended", "reason": "Ctrl-C"})
    tab.server.drop()
    tab.page.get_by_text("The run has ended: Ctrl-C.").wait_for()
    tab.until("() => document.querySelector('#connection').innerText === 'ended'")
    tab.until("() => !document.querySelector('.action:not([hidden])')")
    assert tab.page.locator(".service").count() == len(story.SERVICES)
    tab.page.wait_for_timeout(500)  # the first attempt would come after 300 ms
    assert len(tab.server.requests) == asked


def test_hostile_text_stays_text(open_page: Open, now: float) -> None:
    """Markup, control characters, controls of the writing direction and a huge line of a container do no harm."""
    texts = ["<img src=x onerror=alert(1)>", "a\u202egpj.exe", "\x1b[2Jx", "y" * 100_000]
    lines = [[1 + n, now, "<b>api</b>", "", text, 0] for n, text in enumerate(texts)]
    bad = story.service("<b>api</b>", now, urls=["javascript:alert(1)"], error="<i>x</i>", tone="bad")
    problems = [{"service": "<b>x</b>", "path": "<b>", "message": "<b>m</b>", "hint": "<b>h</b>", "since": now}]
    items = [story.item(1, "save", "", now, title="<b>s</b>", files=["<b>f</b>"])]
    tab = open_page([
        story.hello(now, project="<u>p</u>"), story.state(now, [bad], problems=problems),
        {"type": "timeline", "items": items}, {"type": "log", "lines": lines},
    ])  # fmt: skip
    page = tab.page
    shown = "\n".join(tab.rows())
    assert texts[0] in shown
    assert "a‹202E›gpj.exe" in shown
    assert "␛[2Jx" in shown
    assert "98500 more characters" in shown
    assert page.locator("img, #services b, #services i, #services a, #project u, b b, code b, #chain b").count() == 0
    page.locator(".row", has_text="more characters").click()
    assert len(page.locator(".line-text").inner_text()) == 100_000


def test_a_report_needs_no_server(open_page: Open, now: float, tmp_path: Path) -> None:
    """A report shows what the page did, and offers nothing that needs the run."""
    path = tmp_path / "report.html"
    report.write(str(path), story.story(now - 86_400_000))
    tab = open_page(story.story(now), path=path)
    page = tab.page
    assert page.locator("#summary").inner_text() == "5 of 6 up, 1 error"
    assert page.locator("#connection").inner_text().startswith("report of ")
    assert page.locator(".action:visible").count() == 0
    tab.card("backend").locator(".cause").click()
    assert "1 error" in page.locator(".chain-title").inner_text()
    assert tab.server.requests == []


def test_accessibility_rules_hold(open_page: Open, now: float) -> None:
    """No rule of axe is broken: names, roles, contrast; with an error, a chosen event, a filter, the start, help."""
    tab = open_page(story.story(now))
    page = tab.page
    tab.card("backend").locator(".cause").click()
    page.locator("#search").fill("api /20\\d/")
    assert violations(tab) == []
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    page.keyboard.press("?")
    assert violations(tab) == []


def test_the_dark_scheme_has_enough_contrast(open_page: Open, now: float) -> None:
    """Text has a contrast of at least 4.5 : 1, chosen by the system or by the button."""
    tab = open_page(story.story(now), color_scheme="dark")
    assert violations(tab, CONTRAST) == []
    background = "getComputedStyle(document.body).backgroundColor"
    dark = tab.page.evaluate(background)
    tab.page.locator("#theme").click()
    assert tab.page.evaluate(background) != dark
    tab.page.locator("#theme").click()
    assert tab.page.evaluate(background) == dark


def test_a_narrow_screen_and_50_services_do_not_overflow(open_page: Open, now: float) -> None:
    """The page never scrolls sideways, and a narrow one breaks no rule either."""
    for messages, viewport in ((story.many_services(now), WIDE), (story.story(now), NARROW)):
        tab = open_page(messages, viewport=viewport)
        assert tab.page.evaluate("document.scrollingElement.scrollWidth") <= viewport["width"]
        hidden = tab.page.locator("#hidden-tracks").inner_text()
        assert hidden == ("17 of 50 services" if viewport is WIDE else "")
    assert violations(tab, "['wcag2aa', 'wcag22aa']") == []
