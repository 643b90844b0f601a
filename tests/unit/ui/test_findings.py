"""Findings as lines of text."""

from __future__ import annotations

from devenv.doctor.catalog import AREAS
from devenv.model.finding import Finding
from devenv.ui.findings import lines


def test_lines_for_people() -> None:
    """Errors, warnings and notes each with a mark; what is well in one line; nothing that moves a cursor."""
    found = (
        Finding("a", "error", "engine", "bad\x1b[2J", "type \x07this"),
        Finding("b", "warning", "machine", "so so"),
        Finding("c", "info", "proxies", "by the way"),
    )
    assert list(lines(found, AREAS, 0.51)) == [
        "✗ a: bad",
        "  hint: type this",
        "! b: so so",
        "· c: by the way",
        "✓ tools, registries, proxies, builder, project",
        "1 error, 1 warning (0.5 s); docs/troubleshooting.md explains each",
    ]
    assert list(lines((), ("tools",), 2)) == ["✓ tools", "no errors, no warnings (2.0 s)"]
    assert list(lines(found[:1], ("engine",), 2))[-1].startswith("1 error, no warnings")
