"""The health filter (a graph too), one step for a batch of motors; and which of its answers may be kept.

The state is opaque here: it goes into the graph and comes out of it. An answer is sound when state, covariance and
health index are finite, the index is in 0..1 and the remaining life is a number or infinity.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.errors import InferenceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.score import Models

_SLACK = 1e-3  # how far the health index may stray from 0..1 before it counts as meaningless
_TOLD = ("health", "rul_h", "rul_low_h", "rul_high_h", "rul_q25_h", "rul_q75_h", "nis")
_LIVES, _NIS = slice(1, 6), 6


class Inputs(NamedTuple):
    """Graph inputs of ``m`` motors, as the manifest names them."""

    state: NDArray[np.float64]
    cov: NDArray[np.float64]
    operating: NDArray[np.float32]
    nameplate: NDArray[np.float32]
    severity: NDArray[np.float64]
    dt_s: NDArray[np.float64]


class Filtered(NamedTuple):
    """The filter after one step of ``m`` motors.

    Attributes:
        x: ``(m, S)`` float64.
        P: ``(m, S, S)`` float64.
        told: ``(m, 7)`` float64 as ``_TOLD``: health in 0..1, lives in hours (inf: no end in sight, or nothing that
            this bundle tells), nis (NaN: none).
        normalised: innovations over their deviations, ``(m, M)``, NaN where unmeasured or not told.
        failed: rows on which the graph failed, with the error; their numbers are NaN.
        unsound: rows whose numbers mean nothing, the failed ones among them.
    """

    x: NDArray[np.float64]
    P: NDArray[np.float64]
    told: NDArray[np.float64]
    normalised: NDArray[np.float64]
    failed: dict[int, InferenceError]
    unsound: frozenset[int]


def advance(models: Models, inputs: Inputs) -> Filtered:
    """One filter step. A motor on which the graph fails does not take the others along."""
    x, P, told, normalised, failed = _run(models, inputs)
    index, lives, nis = told[:, 0], told[:, _LIVES], told[:, _NIS]
    np.maximum(nis, 0.0, out=nis)
    # A sum of squares is finite only where every term is, and a minimum is no number where one of them is none.
    if math.isfinite(np.vdot(x, x) + np.vdot(P, P)) and told[:, :_NIS].min() >= 0.0 and index.max() <= 1.0:
        return Filtered(x, P, told, normalised, failed, frozenset())
    finite = np.isfinite(x).all(axis=1) & np.isfinite(P).all(axis=(1, 2))
    sound = (
        finite & (np.abs(index - 0.5) <= 0.5 + _SLACK) & ~np.isnan(lives).any(axis=1) & ~np.isneginf(lives).any(axis=1)
    )
    np.clip(index, 0.0, 1.0, out=index)
    np.maximum(lives, 0.0, out=lives)
    return Filtered(x, P, told, normalised, failed, frozenset(np.flatnonzero(~sound).tolist()))


def _run(
    models: Models, inputs: Inputs
) -> tuple[
    NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], dict[int, InferenceError]
]:
    count = len(inputs.dt_s)
    try:
        out = models.run("health", inputs._asdict())
    except InferenceError as error:
        if count == 1:
            return (
                np.full_like(inputs.state, np.nan),
                np.full_like(inputs.cov, np.nan),
                np.full((1, len(_TOLD)), np.nan),
                _unknown(models, 1),
                {0: error},
            )
        middle = count // 2
        left = _run(models, _part(inputs, slice(None, middle)))
        right = _run(models, _part(inputs, slice(middle, None)))
        x, P, told, normalised = (np.concatenate((a, b)) for a, b in zip(left[:4], right[:4], strict=True))
        return x, P, told, normalised, left[4] | {middle + row: error for row, error in right[4].items()}
    told = np.empty((count, len(_TOLD)))
    for column, name in enumerate(_TOLD):
        told[:, column] = out.get(name, np.inf)
    normalised = np.asarray(out["normalised"] if "normalised" in out else _unknown(models, count), np.float64)
    x, P = out["state_next"].astype(np.float64, copy=False), out["cov_next"].astype(np.float64, copy=False)
    return x, P, told, normalised, {}


def _unknown(models: Models, count: int) -> NDArray[np.float64]:
    return np.full((count, len(models.manifest.health.innovation_names)), np.nan)


def _part(inputs: Inputs, rows: slice) -> Inputs:
    return Inputs(
        inputs.state[rows],
        inputs.cov[rows],
        inputs.operating[rows],
        inputs.nameplate[rows],
        inputs.severity[rows],
        inputs.dt_s[rows],
    )
