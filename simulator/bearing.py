"""Bearing defects as trains of impacts: when a rolling element meets the defect, and how hard.

Nominal strike rates come from the kinematics in ``service.contract.bearing``. Rolling elements slip: the mean rate is
off by up to about 1 % and every interval by a random 1-2 %, so the train is pseudo-cyclostationary and its harmonics
smear (Randall and Antoni, MSSP 25 (2011) 485-520; McFadden and Smith, J. Sound Vib. 96 (1984) 69-82). The load zone
weights strikes by the angle of the defect (Stribeck's distribution, Harris ch. 7). A spall is met twice, on entry and
on exit, and its rough floor in between (Sawalha and Randall, MSSP 25 (2011) 846-870).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator.parameter import Values, check, parameter

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """How one bearing rolls and hits. Scalars or shape ``(n,)``."""

    mean_slip: Values = parameter(
        0.004, "1", limits=(-0.02, 0.05), spread=(-0.002, 0.012), source="Randall and Antoni 2011: within 1-2 %"
    )
    jitter: Values = parameter(
        0.01, "1", limits=(0.0, 0.05), spread=(0.002, 0.02), source="Randall and Antoni 2011: 1-2 % an interval"
    )
    zone_extent: Values = parameter(
        0.5, "1", limits=(0.1, 2.0), spread=(0.3, 0.9), source="Harris ch. 7, load distribution factor epsilon"
    )
    zone_depth: Values = parameter(
        0.7, "1", limits=(0.0, 1.0), spread=(0.15, 1.0), source="share of the strike that the load zone weights"
    )
    race_ratio: Values = parameter(
        0.6, "1", limits=(0.0, 1.0), spread=(0.2, 1.0), source="ball defect: outer-race against inner-race impact"
    )
    height_scatter: Values = parameter(
        0.25, "1", limits=(0.0, 1.5), spread=(0.05, 0.6), source="log-normal scatter of strike heights"
    )
    pulse_s: Values = parameter(
        1.2e-4, "s", limits=(1e-5, 2e-3), spread=(4e-5, 3e-4), law="log", source="Hertzian contact times of 0.05-0.3 ms"
    )
    spall_share: Values = parameter(
        0.06, "1", limits=(0.0, 0.5), spread=(0.01, 0.14), source="spall length over ball spacing at full severity"
    )
    roughness: Values = parameter(
        0.4, "1", limits=(0.0, 3.0), spread=(0.0, 0.9), source="impacts inside the spall against its exit impact"
    )

    def __post_init__(self) -> None:
        check(self)


class Strikes(NamedTuple):
    """Impacts of a batch of windows, flat: the window's row, time from the window's start in s, height (signed)."""

    row: NDArray[np.intp]
    time_s: NDArray[np.float64]
    height: NDArray[np.float64]


ROUGH_IMPACTS = 2
"""Random impacts between a spall's entry and exit."""


def train(
    rng: np.random.Generator, rate_hz: Values, contact: Contact, duration_s: Values
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Times at which rolling elements reach a defect.

    Args:
        rng: source of the phase and of the slip.
        rate_hz: nominal strike rate, shape ``(b,)``.
        contact: slip of the bearing, shape ``(b,)``.
        duration_s: length of the windows, shape ``(b,)``.

    Returns:
        times in s and whether each lies in the window, both ``(b, k)``, k enough for the fastest row.
    """
    rate = rate_hz * (1.0 - contact.mean_slip)
    most = int(np.ceil(np.max(rate * duration_s) * 1.1)) + 3
    intervals = 1.0 + contact.jitter[:, None] * rng.standard_normal((rate.size, most))
    start = rng.random((rate.size, 1))
    times = (np.cumsum(np.maximum(intervals, 0.2), axis=1) - 1.0 + start) / rate[:, None]
    return times, times < duration_s[:, None]


def load_zone(angle_rad: NDArray[np.float64], contact: Contact) -> NDArray[np.float64]:
    """Weight of a strike ``angle_rad`` away from the load line: 1 in it, 1 - zone_depth outside the zone; ``(b, k)``.

    Stribeck: (1 - (1 - cos a) / (2 epsilon))^1.5 for ball bearings.
    """
    inside = np.maximum(1.0 - (1.0 - np.cos(angle_rad)) / (2.0 * contact.zone_extent[:, None]), 0.0)
    weight = inside * np.sqrt(inside)
    return 1.0 - contact.zone_depth[:, None] * (1.0 - weight)


def spalled(
    rng: np.random.Generator,
    rows: NDArray[np.intp],
    times: NDArray[np.float64],
    inside: NDArray[np.bool_],
    height: NDArray[np.float64],
    rate_hz: Values,
    severity: Values,
    contact: Contact,
) -> Strikes:
    """Every arrival at the defect as entry, rough floor and exit; flat.

    Args:
        rng: source of scatter and roughness.
        rows: row of each window in its batch, ``(b,)``.
        times: arrivals in s, ``(b, k)``.
        inside: which of them lie in the window, ``(b, k)``.
        height: height of the exit impact before scatter, ``(b, k)``.
        rate_hz: strike rate, ``(b,)``.
        severity: 0..1, ``(b,)``; the spall grows with it.
        contact: ``(b,)``.
    """
    parts = 2 + ROUGH_IMPACTS
    at, which = np.nonzero(inside)
    count = at.size
    scatter = np.exp(contact.height_scatter[at] * rng.standard_normal(count))
    peak = height[at, which] * scatter
    length_s = (contact.spall_share * severity / rate_hz)[at]
    share = np.empty((parts, count))
    share[0], share[1] = 1.0, 0.0  # exit, entry
    share[2:] = rng.random((ROUGH_IMPACTS, count))
    size = np.empty((parts, count))
    size[0] = 1.0
    # The ball unloads softly on entry: weaker and of opposite sign.
    size[1] = -0.35 * (contact.spall_share[at] > 0.02)
    size[2:] = contact.roughness[at] * rng.standard_normal((ROUGH_IMPACTS, count))
    return Strikes(
        np.tile(rows[at], parts),
        (times[at, which] + share * length_s).ravel(),
        (peak * size).ravel(),
    )
