"""How it is written: tables that fit, colours where somebody looks, and no control character of a motor's name."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from service import outlook

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLOURS = {"alarm": "31", "fail": "31", "warning": "33", "warn": "33", "silent": "33", "ok": "32", "head": "1"}
_CUT = 40
_CLEAR = "\x1b[H\x1b[J"
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


class Terminal:
    """Writes to a stream; colours only where it is a terminal and NO_COLOR is not set."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self.live = self._stream.isatty()
        self._coloured = self.live and not os.environ.get("NO_COLOR")

    def say(self, text: str) -> None:
        """One line."""
        self._stream.write(text + "\n")
        self._stream.flush()

    def document(self, value: Any) -> None:
        """What programs read, on one line."""
        self.say(json.dumps(value, allow_nan=False))

    def painted(self, text: str, look: str) -> str:
        """Text in the colour of a state."""
        return f"\x1b[{_COLOURS[look]}m{text}\x1b[0m" if self._coloured and look in _COLOURS else text

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], looks: Sequence[str] = ()) -> list[str]:
        """Lines of aligned columns, none wider than the terminal; ``looks`` colours each row's line."""
        cells = [[clean(cell)[:_CUT] for cell in row] for row in rows]
        widths = [max(len(row[column]) for row in [list(head), *cells]) for column in range(len(head))]
        limit = shutil.get_terminal_size().columns if self.live else None

        def line(row: Sequence[str]) -> str:
            return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()[:limit]

        painted = [self.painted(line(row), look) for row, look in zip(cells, looks or [""] * len(cells), strict=True)]
        return [self.painted(line(head), "head"), *painted]

    def cut(self, text: str) -> str:
        """Uncoloured text that fits on one line of the terminal."""
        return text[: shutil.get_terminal_size().columns] if self.live else text

    def redraw(self, lines: Sequence[str]) -> None:
        """A picture in the place of the last one, no taller than the terminal."""
        height = shutil.get_terminal_size().lines - 1
        shown = lines if len(lines) <= height else [*lines[: height - 1], f"... {len(lines) - height + 1} more"]
        self._stream.write(_CLEAR + "\n".join(shown) + "\n")
        self._stream.flush()


def clean(text: str) -> str:
    """Text without control characters, whoever wrote it."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def number(value: float | None, form: str, unit: str = "") -> str:
    """A number, or a dash where there is none."""
    return "-" if value is None else f"{value:{form}}{unit}"


def life(health: dict[str, Any] | None) -> str:
    """Remaining useful life with its likelier half, or its interval, in words."""
    if health is None:
        return "-"
    names = ("rul_h", "rul_low_h", "rul_high_h", "rul_q25_h", "rul_q75_h")
    return outlook.remaining(*map(health.get, names))


def ago(ts_s: float | None) -> str:
    """How long ago, in one unit."""
    if ts_s is None:
        return "never"
    passed_s = max(time.time() - ts_s, 0.0)
    for unit, size_s in (("d", _DAY_S), ("h", _HOUR_S), ("min", _MINUTE_S)):
        if passed_s >= 2 * size_s:
            return f"{passed_s / size_s:.0f} {unit} ago"
    return f"{passed_s:.0f} s ago"


def local(ts_s: float) -> str:
    """A time in this machine's zone."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ts_s))
    except (OverflowError, OSError, ValueError):
        return f"{ts_s:.0f}"
