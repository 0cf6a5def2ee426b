"""Motors by rated power, poles and supply: IEC 60034-30-1 efficiencies (IE3), typical slip, power factor, bearing.

A rating is named ``<kW>kW-<poles>p-<Hz>Hz``, for example ``7.5kW-4p-50Hz``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from service.contract.bearing import CATALOGUE, BearingGeometry
from simulator.circuit import LINE_VOLTAGE_V, Rating
from simulator.parameter import OutOfRangeError, Values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.contract.messages import Nameplate

POWERS_KW = np.array(
    [0.55, 0.75, 1.1, 1.5, 2.2, 3.0, 4.0, 5.5, 7.5, 11.0, 15.0, 18.5, 22.0, 30.0, 37.0, 45.0, 55.0, 75.0]
)

# IEC 60034-30-1:2014, table for IE3 at 50 Hz, per cent, in the order of POWERS_KW.
_IE3 = {
    2: [77.8, 80.7, 82.7, 84.2, 85.9, 87.1, 88.1, 89.2, 90.1, 91.2, 91.9, 92.4, 92.7, 93.3, 93.7, 94.0, 94.3, 94.7],
    4: [80.8, 82.5, 84.1, 85.3, 86.7, 87.7, 88.6, 89.6, 90.4, 91.4, 92.1, 92.6, 93.0, 93.6, 93.9, 94.2, 94.6, 95.0],
    6: [77.2, 78.9, 81.0, 82.5, 84.3, 85.6, 86.8, 88.0, 89.1, 90.3, 91.2, 91.7, 92.2, 92.9, 93.3, 93.7, 94.1, 94.6],
}
POLES = tuple(_IE3)

# Drive-end bearings that makers fit from this rated power (kW) upwards.
_BEARINGS = ((0.0, "6203"), (0.7, "6204"), (1.0, "6205"), (2.0, "6206"), (5.0, "6208"), (10.0, "6309"))

LEAST_STATOR_SHARE = 0.03
LEAST_BREAKDOWN = 1.6
"""IEC 60034-1, 9.4.1."""

_NAME = re.compile(r"^(\d+(?:\.\d+)?)kW-(\d+)p-(\d+(?:\.\d+)?)Hz$")


def efficiency(power_w: Values, poles: Values) -> Values:
    """IE3 efficiency, interpolated in the logarithm of power; 8 and more poles as 6."""
    at = np.log(np.asarray(power_w, dtype=np.float64) / 1000.0)
    grid = np.log(POWERS_KW)
    per_pole = {count: np.interp(at, grid, table) / 100.0 for count, table in _IE3.items()}
    return np.where(np.asarray(poles) <= 2, per_pole[2], np.where(np.asarray(poles) <= 4, per_pole[4], per_pole[6]))


def slip(power_w: Values) -> Values:
    """Typical rated slip: 4.7 % at 0.75 kW falling to 1 % at 75 kW (data sheets of several makers)."""
    return np.clip(0.047 * (np.asarray(power_w, dtype=np.float64) / 750.0) ** -0.335, 0.004, 0.08)


def power_factor(power_w: Values, poles: Values) -> Values:
    """Typical rated power factor: 0.77-0.87 with 4 poles, more with 2, less with 6."""
    four = 0.77 + 0.022 * np.log(np.maximum(np.asarray(power_w, dtype=np.float64), 100.0) / 750.0)
    return np.clip(four + 0.06 - 0.03 * (np.asarray(poles) - 2.0), 0.45, 0.91)


def rating(power_w: Values, poles: Values, supply_hz: Values) -> Rating:
    """A typical motor of this power, pole count and supply frequency; scalars or shape ``(n,)``."""
    power = np.asarray(power_w, dtype=np.float64)
    typical = Rating(
        power_w=power,
        speed_rpm=120.0 * np.asarray(supply_hz) / np.asarray(poles) * (1.0 - slip(power)),
        supply_hz=np.asarray(supply_hz, dtype=np.float64),
        poles=np.asarray(poles, dtype=np.float64),
        voltage_v=np.full(power.shape, LINE_VOLTAGE_V),
        efficiency=efficiency(power, np.asarray(poles)),
        power_factor=power_factor(power, np.asarray(poles)),
    )
    return with_breakdown(typical, typical.breakdown_ratio)


def with_breakdown(plate: Rating, wanted: Values) -> Rating:
    """The plate with the wanted breakdown ratio, or nearly the highest its stator resistance allows."""
    return replace(plate, breakdown_ratio=np.minimum(wanted, 0.95 * plate.breakdown_limit))


def named(name: str) -> Rating:
    """The rating of this name; ``OutOfRangeError`` says what names look like."""
    match = _NAME.match(name)
    if match is None:
        raise OutOfRangeError(f"rating {name!r}: must look like 7.5kW-4p-50Hz")
    kilowatt, poles, supply_hz = (float(part) for part in match.groups())
    return rating(np.array(kilowatt * 1000.0), np.array(poles), np.array(supply_hz))


def of_nameplate(plate: Nameplate) -> Rating:
    """The rating of a contract nameplate; what it does not say is typical, the voltage follows from the current."""
    power, poles = np.array(plate.rated_power_w), np.array(float(plate.poles))
    eta, cos_phi = efficiency(power, poles), power_factor(power, poles)
    # A plate with much slip loses more than IE3 allows; rotor loss takes at most half of all loss here.
    s = max(1.0 - plate.rated_speed_rpm * plate.poles / (120.0 * plate.supply_hz), 0.0)
    eta = np.minimum(eta, 1.0 - 2.0 * s)
    voltage = np.array(LINE_VOLTAGE_V)
    if plate.rated_current_a is not None:
        voltage = power / (eta * cos_phi * np.sqrt(3.0) * plate.rated_current_a)
    told = Rating(
        power_w=power,
        speed_rpm=np.array(plate.rated_speed_rpm),
        supply_hz=np.array(plate.supply_hz),
        poles=poles,
        voltage_v=voltage,
        efficiency=eta,
        power_factor=cos_phi,
    )
    return with_breakdown(told, told.breakdown_ratio)


def of_data_sheet(power_w: float, poles: int, supply_hz: float, told: Mapping[str, float]) -> Rating:
    """A typical motor with what its data sheet tells otherwise, by field of ``Rating``.

    Raises:
        OutOfRangeError: the sheet contradicts itself.
    """
    typical = rating(np.array(power_w), np.array(float(poles)), np.array(supply_hz))
    sheet = replace(typical, **{name: np.array(value) for name, value in told.items()})
    # Rotor copper (P + friction) s / (1 - s) must leave the stator a share of the losses.
    r = float(sheet.slip / (1.0 - sheet.slip))
    room = float(1.0 - sheet.iron_share - sheet.friction_share) - LEAST_STATOR_SHARE - r * float(sheet.friction_share)
    highest = 1.0 / (1.0 + r / room)
    eta = float(sheet.efficiency)
    if eta >= highest:
        raise OutOfRangeError(
            f"data_sheet.efficiency={eta:g}: must lie below {highest:.3f} at speed_rpm={float(sheet.speed_rpm):g}, "
            "whose slip alone costs the rest"
        )
    if sheet.breakdown_limit < LEAST_BREAKDOWN:
        raise OutOfRangeError(
            f"data_sheet.efficiency={eta:g}: too low, it could not pull {LEAST_BREAKDOWN:g} x its rated torque"
        )
    return sheet if "breakdown_ratio" in told else with_breakdown(sheet, sheet.breakdown_ratio)


def usual_bearing(power_w: float) -> BearingGeometry:
    """The drive-end bearing a motor of this power usually has."""
    return CATALOGUE[[name for above_kw, name in _BEARINGS if power_w >= above_kw * 1000.0][-1]]


def bearing(name: str) -> BearingGeometry:
    """A bearing of the contract's catalogue; ``OutOfRangeError`` names the nearest and lists the known ones."""
    try:
        return CATALOGUE[name]
    except KeyError:
        # A maker's designation holds more than the catalogue's name of it: SKF 6205-2RS.
        within = [known for known in CATALOGUE if known.lower() in name.lower()]
        near = max(within, key=len) if within else next(iter(get_close_matches(name, CATALOGUE, n=1, cutoff=0.5)), "")
        meant = f"; did you mean {near}?" if near else ";"
        raise OutOfRangeError(f"bearing {name[:64]!r}: unknown{meant} known are {', '.join(CATALOGUE)}") from None
