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
    columns = np.argsort(-positive, axis=1, kind="stable")[:, :MOST]
    total = np.maximum(positive.sum(axis=1, keepdims=True), _TINY)
    highest = positive[np.arange(len(positive))[:, None], columns]
    return [
        {bands[column]: share for column, share in zip(row, shares, strict=True) if share > 0.0}
        for row, shares in zip(columns.tolist(), (highest / total).round(3).tolist(), strict=True)
    ]
