"""Scores of a classifier, and intervals of paired differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

PRECISION = 0.9
"""Recall is stated at this precision."""


@dataclass(frozen=True, slots=True)
class Score:
    """Macro averages over the rare classes, each against the rest."""

    pr_auc: float
    f1: float
    recall_at_precision: float


def macro_ap(label: NDArray[np.integer], probability: NDArray[np.floating], rare: list[int]) -> float:
    """Mean average precision of the rare classes, one against the rest."""
    return float(np.mean([average_precision_score(label == k, probability[:, k]) for k in rare]))


def scored(label: NDArray[np.integer], probability: NDArray[np.floating], rare: list[int]) -> Score:
    """PR-AUC, F1 of the most probable class, recall at ``PRECISION``; classes absent from the test are left out."""
    rare = [k for k in rare if (label == k).any()]
    recalls = []
    for k in rare:
        precision, recall, _ = precision_recall_curve(label == k, probability[:, k])
        recalls.append(float(recall[precision >= PRECISION].max()))
    return Score(
        pr_auc=macro_ap(label, probability, rare),
        f1=float(f1_score(label, probability.argmax(axis=1), labels=rare, average="macro", zero_division=0.0)),
        recall_at_precision=float(np.mean(recalls)),
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its Student interval and the p value of the paired test against 0."""

    mean: float
    low: float
    high: float
    p: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def interval(values: ArrayLike, level: float = 0.95, *, overlap: float = 0.0) -> Interval:
    """Student's t interval of the mean; with fewer than two values it is unbounded.

    Values that are not finite are left out. ``overlap`` is test over training size of repeated folds, whose scores are
    not independent: the variance of the mean is then s^2 (1 / n + overlap) (Nadeau and Bengio, Machine Learning 52,
    2003).
    """
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    if len(x) < 2:
        return Interval(float(x.mean()) if len(x) else float("nan"), -np.inf, np.inf, 1.0, len(x))
    error = float(x.std(ddof=1) * np.sqrt(1.0 / len(x) + overlap))
    if error == 0.0:
        return Interval(float(x[0]), float(x[0]), float(x[0]), 1.0 if x[0] == 0.0 else 0.0, len(x))
    half = float(stats.t.ppf(0.5 + level / 2.0, len(x) - 1)) * error
    p = 2.0 * float(stats.t.sf(abs(x.mean()) / error, len(x) - 1))
    return Interval(float(x.mean()), float(x.mean() - half), float(x.mean() + half), p, len(x))
