"""95 % intervals: over seeds, by resampling whole bearings, for shares and for counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

LEVEL = 0.95
DRAWS = 1000


class Interval(NamedTuple):
    """A value and its interval."""

    value: float
    lo: float
    hi: float


def over_seeds(values: Sequence[float]) -> Interval:
    """Mean of repetitions and Student's t interval of that mean."""
    data = np.asarray(values, dtype=np.float64)
    mean = float(data.mean())
    if len(data) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(data) - 1) * data.std(ddof=1) / np.sqrt(len(data)))
    return Interval(mean, mean - half, mean + half)


def shares_over_seeds(values: Sequence[float]) -> Interval:
    """Mean of repetitions of a share, and Student's t interval of that mean, reckoned in log odds: it stays in 0..1.

    The deviation is carried over by the delta method, ``d logit(p) = dp / (p (1 - p))``. Repetitions that are all 0, or
    all 1, have no spread, and the interval is the point.
    """
    mean, _, hi = over_seeds(values)
    if not 0.0 < mean < 1.0 or np.isnan(hi):
        return Interval(mean, *((mean, mean) if len(values) > 1 else (float("nan"), float("nan"))))
    middle, half = np.log(mean / (1.0 - mean)), (hi - mean) / (mean * (1.0 - mean))
    lo, hi = (float(1.0 / (1.0 + np.exp(-end))) for end in (middle - half, middle + half))
    return Interval(mean, lo, hi)


def over_groups(
    figure: Callable[[NDArray[np.intp]], float],
    groups: NDArray[np.generic],
    strata: NDArray[np.generic],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap that draws whole groups, within strata.

    Rows of a group are not independent (windows of one bearing), so drawing rows would make the interval too narrow. A
    stratum with a single group always comes whole: its own uncertainty is not in the interval.

    Args:
        figure: from row indices to the figure.
        groups: ``(n,)`` what each row belongs to.
        strata: ``(n,)`` groups are drawn as often as they come, within each stratum (a class, for example).
        draws: resamplings.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    members = [
        [np.flatnonzero((groups == group) & (strata == stratum)) for group in np.unique(groups[strata == stratum])]
        for stratum in np.unique(strata)
    ]
    found = [
        figure(np.concatenate([rows[i] for rows in members for i in rng.integers(0, len(rows), len(rows))]))
        for _ in range(draws)
    ]
    lo, hi = np.nanquantile(found, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(figure(np.arange(len(groups))), float(lo), float(hi))


def share(hits: int, count: int) -> Interval:
    """A share and Wilson's interval (JASA 22 (1927) 209-212)."""
    if count == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    z = float(stats.norm.ppf(0.5 + LEVEL / 2))
    p = hits / count
    middle = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return Interval(p, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def rate(events: int, exposure: float) -> Interval:
    """Events per exposure and Garwood's exact Poisson interval (Biometrika 28 (1936) 437-442)."""
    tail = 0.5 - LEVEL / 2
    lo = float(stats.chi2.ppf(tail, 2 * events)) / 2 if events else 0.0
    hi = float(stats.chi2.ppf(1 - tail, 2 * events + 2)) / 2
    return Interval(events / exposure, lo / exposure, hi / exposure)
