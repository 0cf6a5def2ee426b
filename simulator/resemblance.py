"""Does the twin resemble a real machine? Window features, and how well a classifier tells the two apart.

Classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017): AUROC 0.5 means indistinguishable by these features, 1.0
told apart at a glance. The classifier is a ridge logistic regression on standardised features and their squares; folds
keep the windows of one recording, and of one simulated machine, together. Beside it the maximum mean discrepancy of the
two clouds (Gretton et al., JMLR 13 (2012) 723-773): 0 for one and the same distribution, towards 1 for strangers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simulator import spectrum

if TYPE_CHECKING:
    from numpy.typing import NDArray

BANDS = 6
ORDERS_NEAR = 0.03
"""Half width, relative, of the search for a characteristic frequency: slip moves it."""

FEATURES = (
    "log_kurtosis",
    "log_crest",
    "log_flatness",
    *(f"log_band_{band}" for band in range(1, BANDS + 1)),
    "envelope_snr_defect",
    "envelope_snr_defect_2",
    "envelope_snr_shaft",
)
"""No level among them: how loud a machine is says nothing about resemblance."""

FOLDS = 5
RIDGE = 1.0
NEWTON_STEPS = 25


class Verdict(NamedTuple):
    """AUROC of twin against real, by feature alone (which feature gives it away), best first, and the clouds' MMD."""

    auroc: float
    by_feature: dict[str, float]
    mmd: float


def features(x: NDArray[np.float32], fs_hz: float, shaft_hz: float, defect_order: float) -> NDArray[np.float64]:
    """``FEATURES`` of one window ``(n,)``."""
    shape = spectrum.indicators(x)
    lines = spectrum.amplitude(x, fs_hz)
    edges = np.linspace(0.0, 0.5 * fs_hz, BANDS + 1)
    power = np.histogram(lines.f_hz, edges, weights=lines.amplitude**2)[0] + 1e-12
    squared = spectrum.envelope_spectrum(x, fs_hz)
    return np.array(
        [
            np.log(shape.kurtosis),
            np.log(shape.crest),
            np.log(shape.flatness),
            *np.log(power / power.sum()),
            *(_snr(squared, at * shaft_hz) for at in (defect_order, 2.0 * defect_order, 1.0)),
        ]
    )


def _snr(lines: spectrum.Spectrum, at_hz: float) -> float:
    """Log of the highest line near a frequency over the median of its surroundings."""
    width = max(ORDERS_NEAR * at_hz, 2.0 * lines.f_hz[1])
    near = np.abs(lines.f_hz - at_hz) <= width
    around = (np.abs(lines.f_hz - at_hz) <= 10.0 * width) & (lines.f_hz > 0.0)
    return float(np.log(lines.amplitude[near].max() / np.median(lines.amplitude[around])))


def told_apart(
    real: NDArray[np.float64], twin: NDArray[np.float64], real_group: NDArray[np.int64], twin_group: NDArray[np.int64]
) -> Verdict:
    """The two-sample test on features ``(n, len(FEATURES))``; groups stay in one fold, ``(n,)``."""
    X = np.concatenate([real, twin])
    y = np.concatenate([np.zeros(len(real)), np.ones(len(twin))])
    fold = np.concatenate([_folds(real_group), _folds(twin_group)])
    score = np.empty(len(y))
    for part in range(FOLDS):
        held = fold == part
        if held.any():
            score[held] = _fitted(X[~held], y[~held], X[held])
    alone = {name: _alone(X[:, column], y) for column, name in enumerate(FEATURES)}
    return Verdict(auroc(score, y), dict(sorted(alone.items(), key=lambda item: -item[1])), discrepancy(real, twin))


def discrepancy(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Maximum mean discrepancy of two clouds ``(n, k)`` and ``(m, k)``, unbiased, by its root; 0 where it is below 0.

    Gaussian kernel on standardised features, as wide as the median distance.
    """
    both = np.concatenate([one, other])
    z = (both - both.mean(axis=0)) / (both.std(axis=0) + 1e-9)
    squared = np.square(z).sum(axis=1)
    apart = np.maximum(squared[:, None] + squared[None, :] - 2.0 * z @ z.T, 0.0)
    kernel = np.exp(-apart / (np.median(apart[apart > 1e-9]) if (apart > 1e-9).any() else 1.0))
    np.fill_diagonal(kernel, 0.0)
    n, m = len(one), len(other)
    within = kernel[:n, :n].sum() / (n * (n - 1)) + kernel[n:, n:].sum() / (m * (m - 1))
    return float(np.sqrt(max(within - 2.0 * kernel[:n, n:].mean(), 0.0)))


def _folds(group: NDArray[np.int64]) -> NDArray[np.intp]:
    """Whole groups to folds in turn."""
    return np.unique(group, return_inverse=True)[1] % FOLDS


def _fitted(X: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores at ``at`` of a ridge logistic regression fitted to (X, y), classes weighted alike; Newton's method."""
    centre, scale = X.mean(axis=0), X.std(axis=0) + 1e-9

    def design(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        z = np.clip((rows - centre) / scale, -5.0, 5.0)
        return np.concatenate([np.ones((len(z), 1)), z, z * z], axis=1)

    A = design(X)
    weight = np.where(y > 0.5, 0.5 / max(y.mean(), 1e-9), 0.5 / max(1.0 - y.mean(), 1e-9))
    penalty = RIDGE * np.eye(A.shape[1])
    w = np.zeros(A.shape[1])
    for _ in range(NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(A @ w, -30.0, 30.0)))
        gradient = A.T @ (weight * (p - y)) + penalty @ w
        hessian = (A * (weight * p * (1.0 - p))[:, None]).T @ A + penalty
        w -= np.linalg.solve(hessian, gradient)
    return np.asarray(design(at) @ w, dtype=np.float64)


def _alone(values: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    area = auroc(values, y)
    return max(area, 1.0 - area)


def auroc(score: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney), ties shared; ``y`` is 0 or 1."""
    order, counts = np.unique(score, return_inverse=True, return_counts=True)[1:]
    last = np.cumsum(counts)
    rank = (last - 0.5 * (counts - 1))[order]
    ones = float(y.sum())
    zeros = float(len(y) - ones)
    return float((rank[y > 0.5].sum() - ones * (ones + 1.0) / 2.0) / (ones * zeros))
