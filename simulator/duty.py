"""What the process asks of a motor over time, and the air around it. Pure functions of time and a generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.parameter import Values

DAY_S = 86_400.0

Profile = Literal["constant", "shift", "random"]
PROFILES: tuple[Profile, ...] = get_args(Profile)

SHIFT_SHARE = 2.0 / 3.0
"""Two of three shifts run at the level, the night at the low load."""


def load(
    profile: Profile, level: float, low: float, ts_s: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Load as a fraction of rated torque at times ``(T,)``.

    Args:
        profile: constant; shift (level by day, low by night); random (wanders between low and level).
        level: the load of the working day.
        low: the load at night.
        ts_s: times in s.
        rng: source of phase and wandering.
    """
    jitter = 0.015 * rng.standard_normal(ts_s.size)
    phase = rng.random()
    if profile == "shift":
        course = np.where((ts_s / DAY_S + phase) % 1.0 < SHIFT_SHARE, level, low)
    elif profile == "random":
        # A mean-reverting walk over readings, squeezed between the two loads.
        walk, at = np.empty(ts_s.size), 0.0
        for step, kick in enumerate(rng.standard_normal(ts_s.size)):
            at = 0.9 * at + 0.45 * kick
            walk[step] = at
        course = low + (level - low) / (1.0 + np.exp(-1.5 * walk))
    else:
        course = np.full(ts_s.size, level)
    return np.maximum(course + jitter, 0.0)


def loads(rng: np.random.Generator, count: int, ts_s: NDArray[np.float64]) -> Values:
    """Random duties of ``count`` motors, ``(count, T)``; a healthy motor's duty stays below rated torque."""
    level = rng.uniform(0.45, 0.95, count)
    low = level * rng.uniform(0.2, 0.7, count)
    kinds = rng.integers(0, len(PROFILES), count)
    rows = [load(PROFILES[kind], level[row], low[row], ts_s, rng) for row, kind in enumerate(kinds)]
    return np.clip(np.stack(rows), 0.05, 1.0)


def ambient_c(
    mean_c: float | Values, swing_k: float | Values, ts_s: NDArray[np.float64], rng: np.random.Generator, count: int
) -> Values:
    """Ambient of ``count`` places, ``(count, T)``: a mean, warm afternoons, and weather that changes in days."""
    mean, swing = np.broadcast_to(mean_c, count)[:, None], np.broadcast_to(swing_k, count)[:, None]
    days = np.sin(2.0 * np.pi * (ts_s / DAY_S + rng.normal(0.0, 0.05, (count, 1)) - 0.35))
    weather = np.sin(2.0 * np.pi * (ts_s / (5.3 * DAY_S) + rng.random((count, 1))))
    return np.asarray(mean + swing * (0.6 * days + 0.4 * weather), dtype=np.float64)
