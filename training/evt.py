"""A threshold for a rate that was hardly ever seen: peaks over threshold, declustered, with a generalised Pareto tail.

Peaks of clusters stand for all exceedances, and no tail is taken for bounded: both put the level on the careful side.
Coles, An Introduction to Statistical Modeling of Extreme Values (2001), sec. 4.2 (model) and 5.3 (runs declustering);
moments: Hosking and Wallis, Technometrics 29 (1987) 339-349.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BULK = 0.9
"""Share of the values below the level above which the tail is fitted."""
RUN = 3
"""So many values under the level end a cluster."""
LEAST = 30
"""Fewer values say nothing of a tail."""
_SHAPE = (0.0, 0.5)  # a bounded tail would promise that nothing worse can come; a heavier one has no variance


def threshold(pieces: list[NDArray[np.float64]], rate: float) -> float:
    """The level that a share ``rate`` of the values exceeds.

    Args:
        pieces: values in order of time, one array for each uninterrupted stretch.
        rate: share of the values, within 0 and 1.

    Raises:
        ValueError: fewer than ``LEAST`` values.
    """
    values = np.concatenate(pieces) if pieces else np.zeros(0)
    if len(values) < LEAST:
        raise ValueError(f"{len(values)} readings are too few for a threshold; give at least {LEAST}")
    level = float(np.quantile(values, BULK))
    if rate >= 1.0 - BULK:
        return float(np.quantile(values, 1.0 - rate))
    peaks = np.concatenate([_peaks(piece, level) for piece in pieces]) - level
    above = float((values > level).mean())
    if len(peaks) < 2 or peaks.max() <= 0.0:
        return float(values.max())
    mean, variance = float(peaks.mean()), float(peaks.var(ddof=1))
    shape = float(np.clip(0.5 * (1.0 - mean**2 / max(variance, 1e-30)), *_SHAPE))
    scale = mean * (1.0 - shape)
    ratio = above / rate
    return level + (scale * float(np.log(ratio)) if shape == 0.0 else scale / shape * (ratio**shape - 1.0))


def _peaks(values: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """The largest value of each cluster of exceedances."""
    found: list[float] = []
    quiet = RUN
    for value in values.tolist():
        if value <= level:
            quiet += 1
        elif quiet >= RUN:
            found.append(value)
            quiet = 0
        else:
            found[-1] = max(found[-1], value)
            quiet = 0
    return np.array(found)
