"""Bytes that a terminal sends -> keys. Pure."""

from __future__ import annotations

import re

SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~])")
UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)\Z")
NAMES = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down",
    b"\x1b[C": "right", b"\x1bOC": "right", b"\x1b[D": "left", b"\x1bOD": "left",
    b"\x1b[5~": "pgup", b"\x1b[6~": "pgdn",
    b"\x1b[H": "home", b"\x1bOH": "home", b"\x1b[1~": "home", b"\x1b[7~": "home",
    b"\x1b[F": "end", b"\x1bOF": "end", b"\x1b[4~": "end", b"\x1b[8~": "end",
}  # fmt: skip
CONTROLS = {"\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace", "\x15": "clear"}
ESCAPE = "escape"
PASTED = "pasted "  # pasted text is one key with this prefix
PASTE, PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"
MOST_PASTED = 500  # characters
MOST_HELD = 4096


def parse(data: bytes) -> tuple[list[str], bytes]:
    """The keys, printable ones as themselves and others by name, and the bytes that are no whole key yet.

    Sequences and controls that mean nothing here are left out. A lone escape counts as the key: terminals send their
    sequences in one piece. Pasted text is one key, which begins with PASTED.
    """
    found: list[str] = []
    while data:
        if data.startswith(PASTE):
            pasted, ends, after = data[len(PASTE) :].partition(PASTE_ENDS)
            if not ends:
                tail = data[-len(PASTE_ENDS) :]
                return found, data if len(data) <= MOST_HELD else data[: MOST_HELD - len(tail)] + tail
            text = " ".join(pasted.decode(errors="ignore").split())
            found.append(PASTED + "".join(filter(str.isprintable, text))[:MOST_PASTED])
            data = after
        elif data[0] == 0x1B:  # noqa: PLR2004 - escape
            if match := SEQUENCE.match(data):
                found += [NAMES[match[0]]] if match[0] in NAMES else []
                data = data[match.end() :]
            elif UNFINISHED.match(data):
                return found, data
            else:
                found.append(ESCAPE)
                data = data[1:]
        else:
            size = _size(data[0])
            if len(data) < size:
                return found, data
            for one in data[:size].decode(errors="ignore"):
                found += [CONTROLS.get(one, one)] if one in CONTROLS or one.isprintable() else []
            data = data[size:]
    return found, b""


def _size(lead: int) -> int:
    """The length of a UTF-8 character by its first byte."""
    return 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4  # noqa: PLR2004 - UTF-8
