"""What drives an anomaly score: the largest contributions of each reading, as shares of their sum. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST = 3
_TINY = np.finfo(np.float64).tiny


def drivers(contribution: NDArray[np.float64], bands: Sequence[str]) -> list[dict[str, float]]:
    """By reading: band to share, the largest first, at most ``MOST`` and none that is nothing.

    Args:
        contribution: ``(N, K)``; NaN, of a reading without vibration, counts as nothing.
        bands: the ``K`` bands' names.
    """
    positive = np.fmax(contribution, 0.0)
    totals = np.maximum(positive.sum(axis=1), _TINY)
    found = []
    for row, total in zip(positive.tolist(), totals.tolist(), strict=True):
        largest = sorted(range(len(row)), key=row.__getitem__, reverse=True)[:MOST]
        shares = [round(row[column] / total * 1e3) / 1e3 for column in largest]
        found.append({bands[column]: share for column, share in zip(largest, shares, strict=True) if share > 0.0})
    return found
