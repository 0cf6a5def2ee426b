"""The numbers of the health filter: its state, its noise, what it believes and the ranges it holds everything in."""

from __future__ import annotations

from typing import NamedTuple

from service.contract.manifest import InnovationSpec
from training import heat

STATE_NAMES = ("winding_c", "housing_c", "ln_cooling", "ln_damage", "growth_per_h")
INNOVATION_NAMES = ("winding_c", "housing_c", "ln_severity")
SCHEMA_ID = "thermal-damage-1"
MAX_DT_S = 7 * 86_400.0

INITIAL_STATE = (40.0, 30.0, 0.0, -3.5, 0.0)
INITIAL_SD = (30.0, 25.0, 0.2, 2.0, 0.02)

GATE = 5.0
"""Largest normalised innovation that is believed, in standard deviations."""
ITERATIONS = 4
"""Of the severity's update: enough from as new to nearly failed in one step."""
QUARTILE_Z = 0.53
"""How far the quartiles lie out, in deviations: the middle of the real spread is narrower than a Gaussian's with such
tails. 0.674 held 61 % of the lives of fleets that were made to set this; 0.53 holds a half."""
HORIZON_H = 20_000.0
"""A first passage later than this is no end in sight: infinity."""


class Tuning(NamedTuple):
    """Physical constants and noise of the filter; standard deviations unless said otherwise."""

    idle_share: float = heat.IDLE_SHARE
    cold_share: float = heat.COLD_SHARE
    idle_current_squared: float = heat.IDLE_CURRENT_SQUARED
    winding_share: float = 0.25  # of the heat capacity
    thermal_sd_k: float = 0.8  # stationary model error of a node
    thermal_share: float = 0.03  # the same, as a share of the winding's expected rise
    blind_sd_k: float = 12.0  # the same without load, or without ambient temperature
    cooling_sd: float = 0.02  # random walk, per square root of hour
    damage_sd: float = 0.10  # random walk, per square root of hour
    growth_sd: float = 0.003  # random walk, 1/h per square root of hour
    winding_sd_k: float = 1.0
    housing_sd_k: float = 0.8
    severity_sd: float = 0.06  # of severity itself
    severity_log_sd: float = 0.20  # of its logarithm, beside that
    failure_sd: float = 0.3  # of the logarithm of the severity at which a machine really fails


UPPER = (400.0, 400.0, 3.0, 0.0, 0.5)
LOWER = (-100.0, -100.0, -2.0, -5.0, -0.1)
MAX_SD = (100.0, 100.0, 2.0, 4.0, 0.5)
MIN_SD = (1e-2, 1e-2, 1e-4, 1e-4, 1e-6)

AHEAD_H = 100.0
"""Growth's random walk is reckoned with no farther than this."""
RISE_MIN_K = 2.0
"""The winding is at least so much hotter than the housing at rated load."""
COOLING_LOST = 1.3862943611198906
"""ln 4: a resistance four times as new is a health of 0."""
HOUR_S = 3600.0

Z90 = 1.6448536269514722
"""Of the 90 % interval: 5 % of a Gaussian lie above."""


class Range(NamedTuple):
    """What a driving quantity is where it is unknown, and the range that it is held in."""

    fallback: float
    low: float
    high: float


OPERATING_RANGES: dict[str, Range] = {
    "current_a": Range(0.0, 0.0, 1e6),
    "load": Range(0.75, 0.0, 3.0),
    "ambient_c": Range(25.0, -60.0, 90.0),
}
NAMEPLATE_RANGES: dict[str, Range] = {
    "rated_current_a": Range(1.0, 1e-12, 1e6),
    "winding_rise_k": Range(80.0, 2.0, 300.0),  # fallbacks of rises and time constant as in messages.Nameplate
    "housing_rise_k": Range(40.0, 2.0, 300.0),
    "thermal_tau_s": Range(2400.0, 1.0, 1e6),
}
EFFORT_MAX = 3.0
"""More than this of the rated load or current is a broken sensor."""

INNOVATION = InnovationSpec(
    block_s=3600.0,
    settling_blocks=24,
    learning_blocks=168,
    reference=0.5,
    limits={"winding_c": 14.0, "housing_c": 24.0},
    false_alarm_h=10.0 * 8766.0,
)
"""When a temperature has left what the filter expects of it; ``training.evaluate.innovation`` has set the limits."""
