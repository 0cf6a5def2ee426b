"""What is known of single machines is taken out before learning.

A cell is one class on one unit at one operating point. Windows of a cell differ little, cells differ much, and there
are few of them: a network that must learn both spends itself on the first and blurs the second. Here windows are
standardised by their cell's mean and deviation (shrunk towards the class, since cells are small), every number's
marginal is made normal by its class's quantiles, and the whole is whitened over all cells; what remains is nearly white
and is all a network must learn. Going back, a window takes the statistics of a training cell, or a mixture of two cells
of its class: a machine in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.gan.windows import Floats, Index, Scaler, Windows

DEVIATION_WEIGHT = 4.0
"""Windows that the pooled deviation is worth in a cell's deviation."""
QUANTILES = norm.cdf(np.linspace(-2.6, 2.6, 27))
ENOUGH = 60
"""Windows of a class from which on its own quantiles are used; below, those of all classes together."""
SHRINKAGE = 0.03
"""Weight of the diagonal in the covariance that whitens."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Statistics of ``G`` cells in the scaler's units, flat windows of ``D = T * C`` numbers.

    Attributes:
        mean, log_std: float32 ``(G, D)``.
        label: class of each cell, ``(G,)``.
        member: cell of each training window, ``(N,)``.
        quantile: residuals at ``QUANTILES``, ``(classes, Q, D)``.
        unwhiten: ``(D, D)``, white row vector times this is a residual.
    """

    mean: Floats
    log_std: Floats
    label: Index
    member: Index
    quantile: Floats
    unwhiten: Floats

    @classmethod
    def fitted(cls, train: Windows, scaler: Scaler) -> Cells:
        """From training windows only."""
        flat = scaler.scaled(train.values).reshape(len(train), -1).astype(np.float64)
        key = np.column_stack([train.label, train.unit, np.round(train.operating, 3)])
        _, first, member = np.unique(key, axis=0, return_index=True, return_inverse=True)
        member = member.ravel()
        label = train.label[first]
        count = np.bincount(member)[:, None].astype(np.float64)
        means = _averaged(flat, member)
        centred = flat - means[member]
        pooled = np.stack(
            [_variance(centred[train.label == k], len(np.unique(member[train.label == k]))) for k in label]
        )
        variance = (count * _averaged(centred**2, member) + DEVIATION_WEIGHT * pooled) / (count + DEVIATION_WEIGHT)
        std = np.sqrt(np.maximum(variance, 1e-8))
        residual = (flat - means[member]) / std[member]
        everybody = _quantiles(residual)
        quantile = np.stack(
            [
                _quantiles(residual[train.label == k]) if (train.label == k).sum() >= ENOUGH else everybody
                for k in range(len(train.classes))
            ]
        )
        residual = _through(residual, train.label, quantile, to_normal=True)
        covariance = np.atleast_2d(residual.T @ residual / len(residual))
        covariance = (1.0 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(np.diag(covariance))
        variances, directions = np.linalg.eigh(covariance)
        unwhiten = directions.T * np.sqrt(np.maximum(variances, 1e-6))[:, None]
        return cls(
            means.astype(np.float32),
            np.log(std).astype(np.float32),
            label.astype(np.intp),
            member.astype(np.intp),
            quantile.astype(np.float32),
            unwhiten.astype(np.float32),
        )

    def white(self, scaled: Floats) -> Floats:
        """Training windows ``(N, T, C)`` as white residuals, same shape, in the training windows' order."""
        flat = scaled.reshape(len(scaled), -1)
        residual = (flat - self.mean[self.member]) * np.exp(-self.log_std[self.member])
        residual = _through(residual, self.label[self.member], self.quantile, to_normal=True)
        return (
            np.linalg.solve(self.unwhiten.T.astype(np.float64), residual.T).T.reshape(scaled.shape).astype(np.float32)
        )

    def coloured(self, white: Floats, label: int, mean: Floats, log_std: Floats) -> Floats:
        """White residuals ``(n, T, C)`` of a class with the statistics ``(n, D)`` of some cells, as scaled windows."""
        normal = white.reshape(len(white), -1) @ self.unwhiten
        residual = _through(normal, np.full(len(white), label), self.quantile, to_normal=False)
        return (residual * np.exp(log_std) + mean).reshape(white.shape).astype(np.float32)

    def mixed(self, rows: NDArray[np.intp], novelty: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Mean and log deviation ``(n, D)`` for windows like the training windows ``rows``.

        Each is mixed with another cell of its class, by a share uniform in ``0..novelty``.
        """
        own = self.member[rows]
        partner = np.array([rng.choice(np.flatnonzero(self.label == self.label[c])) for c in own], dtype=np.intp)
        share = (novelty * rng.random((len(rows), 1))).astype(np.float32)
        mean = self.mean[own] + share * (self.mean[partner] - self.mean[own])
        log_std = self.log_std[own] + share * (self.log_std[partner] - self.log_std[own])
        return mean, log_std


def _averaged(rows: NDArray[np.float64], member: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.stack([rows[member == g].mean(axis=0) for g in range(int(member.max()) + 1)])


def _variance(centred: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    # Every cell's mean costs a degree of freedom; with one window a cell nothing is known, and a tenth is assumed.
    freedom = len(centred) - cells
    if freedom < 1:
        return np.full(centred.shape[1], 0.01)
    return np.asarray((centred**2).sum(axis=0) / freedom)


def _quantiles(residual: NDArray[np.floating]) -> NDArray[np.float64]:
    # A tiny ramp keeps quantiles of repeated values apart, so that the map can be inverted.
    ramp = 1e-4 * np.linspace(-1.0, 1.0, len(QUANTILES))[:, None]
    return np.asarray(np.quantile(residual, QUANTILES, axis=0) + ramp)


def _through(
    values: NDArray[np.floating], label: Index, quantile: NDArray[np.floating], *, to_normal: bool
) -> NDArray[np.float64]:
    """Residuals to normal numbers or back, ``(n, D)``, each row by its class's table of ``(classes, Q, D)``."""
    grid = norm.ppf(QUANTILES)
    out = np.empty(values.shape)
    for k in np.unique(label):
        rows = np.flatnonzero(label == k)
        for d in range(values.shape[1]):
            x, y = (quantile[k, :, d], grid) if to_normal else (grid, quantile[k, :, d])
            out[rows, d] = _line(values[rows, d], x, y)
    return out


def _line(v: NDArray[np.floating], x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
    # Extrapolates with slope 1, since both sides are standardised.
    inside = np.interp(v, x, y)
    return np.asarray(inside + np.minimum(v - x[0], 0.0) + np.maximum(v - x[-1], 0.0))
