"""The page of the sample app as its user sees it: elements by role and label, never by the page's inner structure."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Request

MARKER = "devenvTestMarker"
LOAD_TIMEOUT = 30.0  # seconds
UNDER_WAY = 2.0  # seconds that a request may take in the backend
# Chromium drops all connections when a network of the host comes or goes, as every compose project's does.
CUT_OFF = "net::ERR_NETWORK_CHANGED"


class LoadedPage:
    """A page in a tab, which is loaded again if Chromium drops a request before `is_shown`."""

    def __init__(self, page: Page, url: str, is_shown: Callable[[], bool]) -> None:
        self.page = page
        self._is_shown = is_shown
        self._cut_off = False
        page.on("requestfailed", self._note_failure)
        self._load(lambda: page.goto(url))

    def reload(self) -> None:
        """Reload the page."""
        self._load(self.page.reload)

    def _load(self, load: Callable[[], object]) -> None:
        self._repeat(load, self._is_shown)

    def _repeat(
        self, act: Callable[[], object], done: Callable[[], bool], again: Callable[[], object] | None = None
    ) -> None:
        deadline = time.monotonic() + LOAD_TIMEOUT
        self._attempt(act)
        while not done():
            assert time.monotonic() < deadline, self.page.locator("body").aria_snapshot()
            if self._cut_off:
                self._attempt(again or act)
            self.page.wait_for_timeout(50)

    def _attempt(self, act: Callable[[], object]) -> None:
        self._cut_off = False
        try:
            act()
        except PlaywrightError as error:
            if CUT_OFF not in error.message:
                raise
            self._cut_off = True

    def _note_failure(self, request: Request) -> None:
        self._cut_off = self._cut_off or request.failure == CUT_OFF


class TodoPage(LoadedPage):
    """The todo app, open in a tab. It is loaded when it shows todos or says that there are none."""

    def __init__(self, page: Page, url: str) -> None:
        super().__init__(page, url, page.get_by_role("status").is_visible)

    def _act(self, act: Callable[[], object], done: Callable[[], bool]) -> None:
        """Act as a user does; again if Chromium dropped the request and the reloaded page lacks its effect."""

        def again() -> None:
            self.reload()
            end = time.monotonic() + UNDER_WAY
            while not done():  # the dropped request may have reached the backend, which is still at work on it
                if time.monotonic() >= end:
                    act()
                    return
                self.page.wait_for_timeout(50)
                self._load(self.page.reload)

        self._repeat(act, done, again)

    @property
    def heading(self) -> Locator:
        """The page's heading."""
        return self.page.get_by_role("heading", level=1)

    @property
    def greeting(self) -> Locator:
        """The greeting of the backend."""
        return self.page.get_by_test_id("greeting")

    @property
    def new_todo(self) -> Locator:
        """The field for a new todo's title."""
        return self.page.get_by_label("New todo")

    def item(self, title: str) -> Locator:
        """The todo of that title in the list."""
        named = self.page.get_by_label(title, exact=True)
        return self.page.get_by_role("listitem").filter(has=named)

    def add(self, title: str) -> None:
        """Add a todo as a user does, and see it in the list."""

        def add() -> None:
            self.new_todo.fill(title)
            self.page.get_by_role("button", name="Add", exact=True).click()

        self._act(add, self.item(title).is_visible)
        expect(self.item(title)).to_be_visible()
        expect(self.new_todo).to_have_value("")

    def tick(self, title: str) -> None:
        """Tick the todo's box and see it done."""
        ticked = self.item(title).and_(self.page.locator(".done"))
        self._act(self.page.get_by_label(title, exact=True).check, ticked.is_visible)

    def rename(self, title: str, to: str) -> None:
        """Change the todo's title."""

        def rename() -> None:
            self.page.get_by_role("button", name=f"Edit {title}").click()
            self.page.get_by_label(f"Title of {title}").fill(to)
            self.page.get_by_role("button", name="Save").click()

        self._act(rename, self.item(to).is_visible)

    def remove(self, title: str) -> None:
        """Remove the todo and see it disappear."""
        remove = self.page.get_by_role("button", name=f"Remove {title}").click
        self._act(remove, lambda: not self.item(title).is_visible())

    def show(self, filter_name: str) -> None:
        """Show only the todos that the filter (All, Active, Done) selects."""
        self.page.get_by_role("group", name="Show").get_by_role("button", name=filter_name).click()

    def titles(self) -> list[str]:
        """The titles in the list, from top to bottom."""
        return self.page.get_by_role("list", name="Todos").get_by_role("listitem").all_inner_texts()

    def colour_of(self, locator: Locator) -> str:
        """The background colour as the browser computed it, such as `rgb(1, 2, 3)`."""
        return str(locator.evaluate("element => getComputedStyle(element).backgroundColor"))

    def mark(self) -> None:
        """Set a mark that only a reload of the page removes."""
        self.page.evaluate(f"window.{MARKER} = true")

    @property
    def was_not_reloaded(self) -> bool:
        """Whether the mark still exists."""
        return bool(self.page.evaluate(f"window.{MARKER} === true"))


def show_run(tab: Page, url: str) -> None:
    """Open the page of a run, and wait until it shows the run."""

    def load() -> None:
        tab.goto("about:blank")  # otherwise only the fragment changes, and nothing is loaded
        tab.goto(url)

    _show(tab, load)


def reload_run(tab: Page) -> None:
    """Load the page of a run again, and wait until it shows the run."""
    _show(tab, tab.reload)


def _show(tab: Page, load: Callable[[], object]) -> None:
    """Load the page until it shows the run: Chromium may have dropped a request (`CUT_OFF`)."""
    for left in (2, 1, 0):
        try:
            load()
            is_live(tab)
        except (AssertionError, PlaywrightError):
            if not left:
                raise
        else:
            return


def is_live(tab: Page) -> None:
    """Wait until the page shows the run."""
    expect(tab.locator("#connection")).to_have_text("live", timeout=10_000)
