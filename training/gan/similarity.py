"""Distances between sets of windows that need no training: MMD, coverage, nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Flat = NDArray[np.floating]


def mmd(left: Flat, right: Flat) -> float:
    """Squared maximum mean discrepancy, unbiased, of ``(n, d)`` and ``(m, d)``.

    Gaussian kernels at half, one and two times the median distance of the left set (Gretton et al., JMLR 13, 2012).
    About 0 for equal distributions; can be slightly negative.
    """
    if min(len(left), len(right)) < 2:
        return float("nan")
    square = cdist(left, left, "sqeuclidean"), cdist(right, right, "sqeuclidean"), cdist(left, right, "sqeuclidean")
    median = np.median(square[0][np.triu_indices(len(left), 1)]) + 1e-12
    total = 0.0
    n, m = len(left), len(right)
    for factor in (0.25, 1.0, 4.0):
        k_ll, k_rr, k_lr = (np.exp(-s / (factor * median)) for s in square)
        total += (
            (k_ll.sum() - np.trace(k_ll)) / (n * (n - 1))
            + (k_rr.sum() - np.trace(k_rr)) / (m * (m - 1))
            - 2.0 * k_lr.mean()
        )
    return float(total / 3.0)


@dataclass(frozen=True, slots=True)
class Spread:
    """How well a made set covers the real one.

    density, coverage: Naeem et al. 2020, arXiv:2002.09797, k = 5; coverage 1 is best, 0 is collapse. diversity: mean
    pairwise distance, made over real; 1 is best. duplicates: share of made windows nearer than 1e-3 times the median
    distance to another made one.
    """

    density: float
    coverage: float
    diversity: float
    duplicates: float


def spread(real: Flat, made: Flat, k: int = 5) -> Spread:
    """Coverage, density and diversity of ``made (m, d)`` against ``real (n, d)``, n > k."""
    real_real, made_made, cross = cdist(real, real), cdist(made, made), cdist(real, made)
    k = min(k, len(real) - 1)
    radius = np.sort(real_real, axis=1)[:, k]
    inside = cross <= radius[:, None]
    upper = made_made[np.triu_indices(len(made), 1)]
    np.fill_diagonal(made_made, np.inf)
    median = np.median(real_real[np.triu_indices(len(real), 1)])
    return Spread(
        density=float(inside.sum() / (k * len(made))),
        coverage=float(inside.any(axis=1).mean()),
        diversity=float(upper.mean() / (real_real[np.triu_indices(len(real), 1)].mean() + 1e-12)),
        duplicates=float((made_made.min(axis=1) < 1e-3 * median).mean()),
    )


@dataclass(frozen=True, slots=True)
class Memory:
    """Are made windows copies of training windows?

    ratio: median distance made -> nearest training over median held-out real -> nearest training; 1 is a fresh draw,
    near 0 is copying. copies: share of made windows nearer to training than 99 % of held-out real ones are (0.01
    expected).
    """

    ratio: float
    copies: float
    made: NDArray[np.float64]
    real: NDArray[np.float64]


def memory(train: Flat, held_out: Flat, made: Flat) -> Memory:
    """Nearest-neighbour memorisation test; all ``(n, d)``."""
    near_made, near_real = cdist(made, train).min(axis=1), cdist(held_out, train).min(axis=1)
    return Memory(
        ratio=float(np.median(near_made) / np.median(near_real)),
        copies=float((near_made < np.quantile(near_real, 0.01)).mean()),
        made=near_made,
        real=near_real,
    )
