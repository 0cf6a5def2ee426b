"""Remaining life in words, the same on paper, at the terminal and in alerts (the page's stand in ``page/words.js``).

A life of less than an hour is no number to plan by, whatever the filter says: it may fail any hour.
"""

from __future__ import annotations

SOON_H = 1.0
SOON = "may fail any hour"
_DAYS_FROM_H = 72.0


def about(rul_h: float) -> str:
    """Remaining life without its interval."""
    return SOON if rul_h < SOON_H else f"about {rul_h:.0f} h"


def left(rul_h: float) -> str:
    """Remaining life as the end of a sentence."""
    return SOON if rul_h < SOON_H else f"{about(rul_h)} of life left"


def remaining(
    middle_h: float | None,
    low_h: float | None,
    high_h: float | None,
    early_h: float | None = None,
    late_h: float | None = None,
) -> str:
    """Remaining life with its likelier half where quartiles are known, else with its 90 % interval.

    An end that is open or lies within the hour is said in words.

    Args:
        middle_h: None where no end is in sight.
        low_h: lower end of the 90 % interval, None where it is not known.
        high_h: its upper end, None where it is open.
        early_h: lower quartile, None where it is not told.
        late_h: upper quartile, None where it is not told or open.
    """
    soon = low_h is not None and low_h < SOON_H
    if middle_h is None:
        return "no end in sight" if low_h is None else f"unsure, {SOON}" if soon else f"over {_span(low_h)}"
    if middle_h < SOON_H:
        return SOON
    if early_h is not None and late_h is not None:
        return f"{_span(middle_h)}, likely {_between(early_h, late_h)}"
    if low_h is None:
        return _span(middle_h)
    if high_h is None:
        return f"{_span(middle_h)}, {SOON}" if soon else f"{_span(middle_h)} (over {_span(low_h)})"
    return f"{_span(middle_h)} ({_between(low_h, high_h)})"


def widest(middle_h: float | None, low_h: float | None, high_h: float | None) -> str:
    """The 90 % interval by itself, to stand beside the likelier half; "" where there is none to tell."""
    if middle_h is None or low_h is None or middle_h < SOON_H:
        return ""
    if high_h is None:
        return "open" if low_h < SOON_H else f"over {_span(low_h)}"
    return _between(low_h, high_h)


def _between(from_h: float, to_h: float) -> str:
    return f"{'any hour' if from_h < SOON_H else _span(from_h)} to {_span(to_h)}"


def _span(hours: float) -> str:
    if hours < _DAYS_FROM_H:
        return f"{hours:.1f} h" if hours < 10.0 else f"{hours:.0f} h"
    return f"{hours / 24.0:.0f} d"
