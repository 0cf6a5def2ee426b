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


@pytest.mark.parametrize(
    ("middle", "early", "late", "text"),
    [
        (40.0, 30.0, 96.0, "40 h, likely 30 h to 4 d"),
        (5.7, 0.4, 9.0, "5.7 h, likely any hour to 9.0 h"),
        (0.3, 0.1, 9.0, "may fail any hour"),
        (40.0, 30.0, None, "40 h (12 h to 16 d)"),
    ],
)
def test_the_likelier_half_is_told_where_quartiles_are_known(
    middle: float, early: float, late: float | None, text: str
) -> None:
    assert outlook.remaining(middle, 12.0, 384.0, early, late) == text


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((40.0, 12.0, 384.0), "12 h to 16 d"),
        ((40.0, 0.2, 384.0), "any hour to 16 d"),
        ((40.0, 12.0, None), "over 12 h"),
        ((40.0, 0.2, None), "open"),
        ((0.3, 0.2, 384.0), ""),
        ((None, 12.0, None), ""),
    ],
)
def test_the_wide_interval_stands_by_itself_beside_the_half(
    ends: tuple[float | None, float | None, float | None], text: str
) -> None:
    assert outlook.widest(*ends) == text


def test_less_than_an_hour_is_no_number_to_plan_by() -> None:
    assert outlook.about(0.4) == outlook.left(0.99) == "may fail any hour"
    assert outlook.left(1.2) == "about 1 h of life left"
