"""A bar for long work, where a person watches: on stderr, if that is a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH = 24


def bar(what: str) -> Callable[[int, int], None]:
    """Draws how much of it is done, at each call with what is done and what is wanted."""
    started = time.monotonic()
    first: list[int] = []

    def draw(done: int, wanted: int) -> None:
        if not sys.stderr.isatty():
            return
        first.append(done)
        elapsed_s, here = time.monotonic() - started, done - first[0]
        left = f"{(wanted - done) / here * elapsed_s:5.0f} s left" if here else ""
        filled = WIDTH * done // max(wanted, 1)
        sys.stderr.write(f"\r{what} [{'#' * filled:{WIDTH}}] {done}/{wanted} {left:12}" + "\n" * (done == wanted))
        sys.stderr.flush()

    return draw
