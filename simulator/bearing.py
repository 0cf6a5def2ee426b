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


TWO_PI = 2.0 * np.pi
GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """How one bearing rolls and hits. Scalars or shape ``(n,)``."""

    mean_slip: Values = parameter(
        0.004, "1", limits=(-0.02, 0.05), spread=(-0.002, 0.012), source="Randall and Antoni 2011: within 1-2 %"
    )
    jitter: Values = parameter(
        0.01, "1", limits=(0.0, 0.05), spread=(0.002, 0.02), source="Randall and Antoni 2011: 1-2 % an interval"
    )
    pocket_play: Values = parameter(
        0.0,
        "1",
        limits=(0.0, 0.2),
        source="RMS by which elements sit off their even places in the cage, over their distance; 0.5 mm in 12 mm",
    )
    ball_scatter: Values = parameter(
        0.0,
        "1",
        limits=(0.0, 1.5),
        source="log-normal scatter of strike heights from element to element, ISO 3290 grades",
    )
    ball_pattern: Values = parameter(
        0.0, "1", limits=(0.0, 1.0), source="which elements are early, late, light and heavy; any number"
    )
    floor_memory: Values = parameter(
        0.0,
        "1",
        limits=(0.0, 1.0),
        source="how far a spall's floor is the same at every pass; it is as long as it does not grow",
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
        0.25, "1", limits=(0.0, 1.5), spread=(0.05, 1.0), source="log-normal scatter of strike heights"
    )
    pulse_s: Values = parameter(
        1.2e-4, "s", limits=(1e-5, 2e-3), spread=(4e-5, 3e-4), law="log", source="Hertzian contact times of 0.05-0.3 ms"
    )
    spall_share: Values = parameter(
        0.06,
        "1",
        limits=(0.0, 0.5),
        spread=(0.01, 0.4),
        law="log",
        source="spall length over ball spacing at full severity, short to extended (Sawalha, Randall)",
    )
    roughness: Values = parameter(
        0.4, "1", limits=(0.0, 3.0), spread=(0.0, 1.6), source="impacts inside the spall against its exit impact"
    )

    def __post_init__(self) -> None:
        check(self)


class Strikes(NamedTuple):
    """Impacts of a batch of windows, flat: the window's row, time from the window's start in s, height (signed)."""

    row: NDArray[np.intp]
    time_s: NDArray[np.float64]
    height: NDArray[np.float64]


def joined(*parts: Strikes) -> Strikes:
    """All impacts of several trains."""
    return Strikes(*(np.concatenate(column) for column in zip(*parts, strict=True)))


ROUGH_IMPACTS = 4
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


def by_element(
    rng: np.random.Generator, times: NDArray[np.float64], rate_hz: Values, orders: Values, contact: Contact
) -> tuple[NDArray[np.float64], NDArray[np.float64] | float]:
    """Arrivals as single rolling elements make them: early or late, light or heavy, alike at every turn of the cage.

    What repeats with the cage leaves sharp lines (at the defect's rate and FTF beside it) where slip smears.

    Args:
        rng: which element comes first; not drawn from where all are alike.
        times: even arrivals in s, ``(b, k)``.
        rate_hz: strike rate, ``(b,)``.
        orders: ``(b, 4)``.
        contact: ``(b,)``.

    Returns:
        times in s and a factor on the strikes' heights, ``(b, k)``, or 1.0 for all.
    """
    if not (contact.pocket_play.any() or contact.ball_scatter.any()):
        return times, 1.0
    elements = np.rint(orders[:, 2] / orders[:, 0])[:, None]
    which = (np.arange(times.shape[1]) + np.floor(rng.random((len(times), 1)) * elements)) % elements
    # Turns by the golden ratio: as uneven as chance, of unit RMS, and the same on every occasion.
    turns = which * GOLDEN + contact.ball_pattern[:, None]
    late, heavy = (np.sqrt(2.0) * np.cos(TWO_PI * part) for part in (turns, turns * 1.7))
    times = times + contact.pocket_play[:, None] * late / rate_hz[:, None]
    return times, np.exp(contact.ball_scatter[:, None] * heavy)


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
    memory = contact.floor_memory[at]
    same = (0.5 + GOLDEN * np.arange(ROUGH_IMPACTS))[:, None] % 1.0
    share[2:] = (1.0 - memory) * rng.random((ROUGH_IMPACTS, count)) + memory * same
    size = np.empty((parts, count))
    size[0] = 1.0
    # The ball unloads softly on entry: weaker and of opposite sign.
    size[1] = -0.35 * (contact.spall_share[at] > 0.02)
    random = np.sqrt(1.0 - memory**2) * rng.standard_normal((ROUGH_IMPACTS, count))
    size[2:] = contact.roughness[at] * (random + memory * np.sqrt(2.0) * np.cos(TWO_PI * same))
    return Strikes(
        np.tile(rows[at], parts),
        (times[at, which] + share * length_s).ravel(),
        (peak * size).ravel(),
    )
