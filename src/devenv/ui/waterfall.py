"""Times of a start -> bars of text. Pure."""

from __future__ import annotations

from devenv.events import Span, Timings

SHORTEST = 0.005  # seconds; less is shown as nothing
NARROWEST = 12  # columns; with less there are no bars
BAR, CRITICAL_BAR = "░", "█"
PARTS = ("images ", "build ", "restore ")


def lines(event: Timings, width: int) -> list[str]:
    """The waterfall in so many columns: a line for each span, the critical ones marked, and their path."""
    spans = [span for span in event.spans if span.end - span.start >= SHORTEST]
    names = [_name(span) for span in spans]
    widest = min(max(map(len, names), default=0), max(width // 3, NARROWEST))
    room = width - widest - len("*   12.34 s ")
    lines_ = [f"{event.seconds:.2f} s until ready; * is what the rest waited for"]
    for span, name in zip(spans, names, strict=True):
        mark = "*" if span.critical else " "
        shown = name if len(name) <= widest else f"{name[: widest - 1]}…"
        bar = _bar(span, event.seconds, room) if room >= NARROWEST else ""
        lines_.append(f"{mark} {shown:<{widest}} {span.end - span.start:6.2f} s {bar}".rstrip())
    return [*lines_, *_path(spans)]


def _name(span: Span) -> str:
    indent = "  " if span.name.startswith(PARTS) else ""
    return f"{indent}{span.name}{f' (after {span.after})' if span.after else ''}"


def _bar(span: Span, seconds: float, room: int) -> str:
    scale = room / max(seconds, span.end)
    start = min(int(span.start * scale), room - 1)
    length = max(1, round((span.end - span.start) * scale))
    return " " * start + (CRITICAL_BAR if span.critical else BAR) * length


def _path(spans: list[Span]) -> list[str]:
    """The longest critical spans; a step with parts is shown by its parts."""
    critical = [span for span in spans if span.critical]
    steps = {span.name.partition(" ")[0] for span in critical if span.name.startswith(PARTS)}
    leaves = sorted((s for s in critical if s.name not in steps), key=lambda span: span.start - span.end)[:3]
    longest = ", ".join(f"{span.name} {span.end - span.start:.1f} s" for span in leaves)
    return [f"most of it: {longest}"] if longest else []
