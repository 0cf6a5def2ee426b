"""Numbers in arguments: types for argparse that say what is wrong with one."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError


def rate(text: str) -> float:
    """A number above 0, or inf."""
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not value > 0.0:
        raise ArgumentTypeError(f"{text} must be above 0")
    return value


def positive(text: str) -> float:
    """A finite number above 0."""
    value = rate(text)
    if math.isinf(value):
        raise ArgumentTypeError(f"{text} must be finite")
    return value


def whole(text: str, low: int, high: int) -> int:
    """A whole number in a range."""
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ArgumentTypeError(f"{text} must be a whole number within {low}..{high}")
    return int(text)
