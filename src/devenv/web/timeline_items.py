"""The items of the timeline: parts on the time axis, kept in order. Pure: times are in seconds."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from devenv.lazy_dataclass import dataclass
from devenv.ui.cells import clean

MOST = 2000  # items that are kept


@dataclass(slots=True)
class TimelineItem:
    """A part of the timeline. `end` is None while it goes on; `cause` is the id of another item."""

    id: int
    kind: str
    service: str
    start: float
    end: float | None
    title: str
    detail: str = ""
    files: tuple[str, ...] = ()
    tone: str = "idle"
    cause: int | None = None
    line: int | None = None

    def message(self) -> dict[str, Any]:
        """The item as the page gets it."""
        return {
            "id": self.id, "kind": self.kind, "service": self.service, "start": round(self.start * 1000),
            "end": None if self.end is None else round(self.end * 1000), "title": self.title, "detail": self.detail,
            "files": self.files, "tone": self.tone, "cause": self.cause, "line": self.line,
        }  # fmt: skip


@dataclass(slots=True)
class Items:
    """All items by id, and those that have changed since they were last taken."""

    by_id: dict[int, TimelineItem] = field(default_factory=dict)
    _changed: dict[int, TimelineItem] = field(default_factory=dict)
    _last: int = 0

    def taken(self) -> list[TimelineItem]:
        """The items that are new or have changed."""
        changed, self._changed = self._changed, {}
        return list(changed.values())

    def add(self, kind: str, service: str, start: float, end: float | None, title: str, **more: Any) -> TimelineItem:
        """A new item. The oldest is forgotten if there are too many."""
        self._last += 1
        item = TimelineItem(self._last, kind, service, start, end, clean(title), **more)
        self.by_id[item.id] = self._changed[item.id] = item
        while len(self.by_id) > MOST:
            del self.by_id[next(iter(self.by_id))]
        return item

    def change(self, item: TimelineItem) -> None:
        """Note that the item has changed."""
        self._changed[item.id] = item

    def end(self, item: TimelineItem | None, at: float, tone: str = "") -> None:
        """End the item, if there is one."""
        if item is not None:
            item.end, item.tone = at, tone or item.tone
            self.change(item)
