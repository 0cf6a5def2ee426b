"""Several windows of one machine as one answer: probabilities pooled as evidence. Pure.

A window's log odds less those it had before anything was seen are its log likelihood ratio ``x``. Under a steady fault
every window speaks for it and the ratios add up; a damaged rolling element or a loose cage shows only while it rolls on
its damage, so beside it stands a fault that shows in a quarter of the windows and is silent in the others. With equal
weight for both, the pooled log odds are::

    prior + log mean_s exp(m mean_w log(1 - s + s exp(x_w))),  s in SHARES

Windows of one machine have its peculiarities in common: ``n`` of them count as ``m = n / (1 + (n - 1) ALIKE)`` that
have not (the design effect of cluster samples, Kish, Survey Sampling (1965), sec. 5.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRIOR = -2.5
"""Log odds of a fault before its window is seen: its share of the windows that a bundle is trained on."""
SHARES = (1.0, 0.25)
"""Share of the windows in which a fault that is there may show."""
ALIKE = 0.1
"""Correlation of what windows of one machine are wrong about."""
_LEAST = 1e-6
_MOST = 8.0
"""No single window counts for more than this."""


def pooled(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """One probability from ``n`` windows: ``(n, C)`` to ``(C,)``. A single window is its own answer."""
    count = len(probability)
    if count == 1:
        return np.asarray(probability[0])
    inside = np.clip(probability, _LEAST, 1.0 - _LEAST)
    ratio = np.clip(np.log(inside / (1.0 - inside)) - PRIOR, -_MOST, _MOST)
    share = np.array(SHARES)[:, None, None]
    effective = count / (1.0 + (count - 1) * ALIKE)
    evidence = effective * np.log(1.0 - share + share * np.exp(ratio)).mean(axis=1)
    best = evidence.max(axis=0)
    odds = PRIOR + best + np.log(np.exp(evidence - best).mean(axis=0))
    return np.asarray(1.0 / (1.0 + np.exp(-odds)))
