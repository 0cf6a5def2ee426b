"""Remaining life in words."""

from __future__ import annotations

import pytest

from service import outlook


@pytest.mark.parametrize(
    ("middle", "low", "high", "text"),
    [
        (None, None, None, "no end in sight"),
        (None, 150.0, None, "over 6 d"),
        (None, 0.2, None, "unsure, may fail any hour"),
        (0.3, 0.0, 4.0, "may fail any hour"),
        (13.2, None, None, "13 h"),
        (4.72, 0.0, None, "4.7 h, may fail any hour"),
        (40.0, 12.0, None, "40 h (over 12 h)"),
        (5.7, 0.4, 384.0, "5.7 h (any hour to 16 d)"),
        (100.0, 20.0, 400.0, "4 d (20 h to 17 d)"),
    ],
)
def test_remaining_life_is_told_with_its_interval(
    middle: float | None, low: float | None, high: float | None, text: str
) -> None:
    assert outlook.remaining(middle, low, high) == text


def test_less_than_an_hour_is_no_number_to_plan_by() -> None:
    assert outlook.about(0.4) == outlook.left(0.99) == "may fail any hour"
    assert outlook.left(1.2) == "about 1 h of life left"
