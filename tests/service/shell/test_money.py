"""Sums are counted from alerts and notes, and from nothing else."""

from __future__ import annotations

import pytest

from service.money import reckon
from service.settings import MoneySettings

PRICES = MoneySettings(price_per_min=150, unplanned_stop_min=240, planned_stop_min=60)


def test_nothing_held_is_nothing_counted() -> None:
    sums = reckon([], [], PRICES)
    assert (sums["cost_at_risk"], sums["cost_avoided"], sums["repairs"]) == (0, 0, 0)


def test_a_motor_is_at_risk_once_however_many_alerts_it_has() -> None:
    sums = reckon({"m1", "m2"}, [], PRICES)
    assert sums["cost_at_risk"] == 2 * 240 * 150
    assert "2 motors" in sums["cost_at_risk_formula"]


def test_overlapping_alerts_of_one_motor_are_one_repair() -> None:
    repaired = [("a", "m1", 0.0, 10.0), ("b", "m1", 5.0, 8.0), ("c", "m1", 9.0, 20.0), ("d", "m1", 30.0, 40.0)]
    sums = reckon([], [*repaired, ("e", "m2", 1.0, 2.0)], PRICES)
    assert sums["repairs"] == 3
    assert sums["cost_avoided"] == 3 * (240 - 60) * 150
    assert sums["downtime_avoided_min"] == 3 * 180


def test_a_planned_stop_that_outlasts_an_unplanned_one_is_refused() -> None:
    with pytest.raises(ValueError, match="must not exceed"):
        MoneySettings(unplanned_stop_min=10, planned_stop_min=20)
