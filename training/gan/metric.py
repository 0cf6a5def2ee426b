"""Is what was made like the real thing? Scores of one generator on one draw, always beside a real-against-real control.

discriminative  |accuracy - 1/2| of the better of two judges (logistic, boosting) told to tell made from held-out real
                windows, on windows it has not seen; 0 is best, 0.5 is told apart (Yoon et al. 2019, with held-out
                real).
predictive      error of a ridge predictor of the next step trained on made windows, on real ones, over that of one
                trained on real windows; 1 is best.
tstr, trts      macro PR-AUC over the rare classes of logistic regression trained on made and tested on held-out real
                windows, and trained on real and tested on made ones; healthy windows are real in both.
context         Frechet distance of Gaussians in the feature space of describe.features, standardised and reduced to its
                leading 12 directions; with fixed features it plays the part of context-FID.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import sqrtm
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.gan.classifier import logistic
from training.gan.describe import features
from training.gan.score import macro_ap
from training.gan.similarity import memory, mmd, spread
from training.gan.windows import Scaler, Split, Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIRECTIONS = 12


@dataclass(frozen=True, slots=True)
class Quality:
    """All scores of one set of made windows; see the module and ``similarity``."""

    discriminative: float
    predictive: float
    tstr: float
    trts: float
    mmd: float
    context: float
    density: float
    coverage: float
    diversity: float
    duplicates: float
    memory_ratio: float
    copies: float

    def as_dict(self) -> dict[str, float]:
        """Name to value."""
        return asdict(self)


def quality(split: Split, rare: list[int], made: Windows, seed: int) -> Quality:
    """Scores made windows of the rare classes against the reserve, which nothing was fitted on.

    Call it with the training windows themselves as ``made`` for the control; its memory test means nothing then.
    """
    train, held_out = (w.take(np.isin(w.label, rare)) for w in (split.train, split.reserve))
    space = _Space(train)
    f_train, f_real, f_made = space(train), space(held_out), space(made)
    covered = spread(f_real, f_made)
    recalled = memory(f_train, f_real, f_made)
    return Quality(
        discriminative=discriminative(held_out, made, seed),
        predictive=predictive(held_out, made),
        tstr=_transfer(made.joined(split.train.of(0)), split.reserve, rare, seed),
        trts=_transfer(split.train, made.joined(split.reserve.of(0)), rare, seed),
        mmd=mmd(f_real, f_made),
        context=frechet(f_real, f_made),
        density=covered.density,
        coverage=covered.coverage,
        diversity=covered.diversity,
        duplicates=covered.duplicates,
        memory_ratio=recalled.ratio,
        copies=recalled.copies,
    )


class _Space:
    """Standardised features projected on the leading directions of the training windows."""

    def __init__(self, train: Windows) -> None:
        rows = features(train)
        self._map = make_pipeline(StandardScaler(), PCA(min(DIRECTIONS, *rows.shape), whiten=False, random_state=0))
        self._map.fit(rows)

    def __call__(self, windows: Windows) -> NDArray[np.float64]:
        out: NDArray[np.float64] = self._map.transform(features(windows))
        return out


def discriminative(real: Windows, made: Windows, seed: int) -> float:
    """|accuracy - 1/2| of the better judge over four stratified folds; both sets are cut to the same size."""
    rng = np.random.default_rng([seed, 8])
    n = min(len(real), len(made))
    a, b = rng.permutation(len(real))[:n], rng.permutation(len(made))[:n]
    rows = np.concatenate([features(real.take(a)), features(made.take(b))])
    truth = np.repeat([0, 1], n)
    fold = np.concatenate([np.arange(n) % 4, np.arange(n) % 4])
    best = 0.0
    for judge in (
        make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=300)),
        HistGradientBoostingClassifier(
            max_iter=40, max_leaf_nodes=8, max_bins=63, early_stopping=False, random_state=seed
        ),
    ):
        right = sum(
            float((judge.fit(rows[fold != k], truth[fold != k]).predict(rows[fold == k]) == truth[fold == k]).sum())
            for k in range(4)
        )
        best = max(best, abs(right / len(rows) - 0.5))
    return best


def predictive(real: Windows, made: Windows, reach: int = 4) -> float:
    """Error of predicting the next step from ``reach``, trained on made windows, over trained on other real ones."""
    scaler = Scaler.fitted(real)
    half = np.arange(len(real)) % 2 == 0

    def pairs(windows: Windows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        z = scaler.scaled(windows.values)
        past = np.concatenate([z[:, k : z.shape[1] - reach + k] for k in range(reach)], axis=2)
        return past.reshape(-1, past.shape[2]), z[:, reach:].reshape(-1, z.shape[2])

    x_test, y_test = pairs(real.take(half))

    def error(windows: Windows) -> float:
        x, y = pairs(windows)
        return float(np.abs(Ridge(alpha=1.0).fit(x, y).predict(x_test) - y_test).mean())

    return error(made) / error(real.take(~half))


def frechet(left: NDArray[np.floating], right: NDArray[np.floating]) -> float:
    """||m1 - m2||^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of two sets ``(n, d)``."""
    S1, S2 = np.cov(left.T) + 1e-6 * np.eye(left.shape[1]), np.cov(right.T) + 1e-6 * np.eye(left.shape[1])
    root = np.real(sqrtm(S1 @ S2))
    return float(((left.mean(axis=0) - right.mean(axis=0)) ** 2).sum() + np.trace(S1 + S2 - 2.0 * root))


def _transfer(learn: Windows, judge: Windows, rare: list[int], seed: int) -> float:
    (probability,) = logistic(learn, np.ones(len(learn)), [judge], seed)
    return macro_ap(judge.label, probability, rare)
