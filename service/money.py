"""What stops cost and what planned repairs have saved. Counted from alerts and people's notes, nothing else.

    cost at risk  = motors with an open fault alert x unplanned_stop_min x price_per_min
    cost avoided  = repairs x (unplanned_stop_min - planned_stop_min) x price_per_min

A repair is a stretch of fault alerts of one motor, overlapping in time, all ended, that somebody noted as repaired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from service.settings import MoneySettings


def reckon(
    at_risk: Collection[str], repaired: Sequence[tuple[str, str, float, float]], settings: MoneySettings
) -> dict[str, Any]:
    """The sums with the formulas and what they were counted from.

    Args:
        at_risk: motors with an open fault alert.
        repaired: id, motor, opened_ts_s, ended ts_s of alerts noted as repaired, by motor and opening.
        settings: price and durations.
    """
    repairs = _repairs(repaired)
    price = settings.price_per_min
    unplanned, planned = settings.unplanned_stop_min, settings.planned_stop_min
    return {
        "currency": settings.currency,
        "price_per_min": price,
        "unplanned_stop_min": unplanned,
        "planned_stop_min": planned,
        "motors_at_risk": sorted(at_risk),
        "cost_at_risk": len(at_risk) * unplanned * price,
        "cost_at_risk_formula": f"{_counted(len(at_risk), 'motor')} with an open fault alert x "
        f"{unplanned:g} min unplanned stop x {price:g} {settings.currency}/min",
        "repairs": repairs,
        "downtime_avoided_min": repairs * (unplanned - planned),
        "cost_avoided": repairs * (unplanned - planned) * price,
        "cost_avoided_formula": f"{_counted(repairs, 'repair')} noted by people x ({unplanned:g} - {planned:g}) min x "
        f"{price:g} {settings.currency}/min",
    }


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _repairs(repaired: Sequence[tuple[str, str, float, float]]) -> int:
    count = 0
    motor, until_ts_s = None, 0.0
    for _, its_motor, opened_ts_s, ended_ts_s in repaired:
        if its_motor != motor or opened_ts_s > until_ts_s:
            count += 1
            until_ts_s = ended_ts_s
        motor, until_ts_s = its_motor, max(until_ts_s, ended_ts_s)
    return count
