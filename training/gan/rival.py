"""The cheap rivals of a generator: what anybody would try first. Each returns ``count`` made windows of one class."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from training.gan.windows import InputError, Scaler, Windows

if TYPE_CHECKING:
    from collections.abc import Callable

NEIGHBOURS = 5


def _pool(train: Windows, label: int) -> Windows:
    pool = train.of(label)
    if not len(pool):
        raise InputError(
            f"class {train.classes[label]!r}: absent from training; add an example or use the physics twin"
        )
    return pool


def oversampled(train: Windows, label: int, count: int, seed: int) -> Windows:
    """The training windows of the class again."""
    pool = _pool(train, label)
    rng = np.random.default_rng([seed, label, 10])
    drawn = pool.take(rng.integers(0, len(pool), count))
    return drawn.with_values(drawn.values)


def jittered(train: Windows, label: int, count: int, seed: int) -> Windows:
    """Jitter and scaling of training windows.

    Stretched about the training mean by a log-normal factor per window and channel (sigma 0.2), plus white noise of a
    fifth of the deviation.
    """
    drawn = oversampled(train, label, count, seed)
    rng = np.random.default_rng([seed, label, 11])
    scaler = Scaler.fitted(train)
    factor = np.exp(0.2 * rng.standard_normal((count, 1, drawn.values.shape[2])))
    noise = 0.2 * scaler.scale * rng.standard_normal(drawn.values.shape)
    return drawn.with_values(scaler.mean + (drawn.values - scaler.mean) * factor + noise)


def smote(train: Windows, label: int, count: int, seed: int) -> Windows:
    """Points between a window and one of its five nearest of the same class (Chawla et al., JAIR 16, 2002).

    With a single example there is nothing to interpolate: falls back to jitter.
    """
    pool = _pool(train, label)
    if len(pool) < 2:
        return jittered(train, label, count, seed)
    rng = np.random.default_rng([seed, label, 13])
    flat = Scaler.fitted(train).scaled(pool.values).reshape(len(pool), -1)
    square = (flat * flat).sum(axis=1)
    distance = square[:, None] + square[None, :] - 2.0 * flat @ flat.T
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, axis=1)[:, : min(NEIGHBOURS, len(pool) - 1)]
    one = rng.integers(0, len(pool), count)
    other = near[one, rng.integers(0, near.shape[1], count)]
    share = rng.random((count, 1, 1)).astype(np.float32)
    made = pool.take(one).with_values(pool.values[one] + share * (pool.values[other] - pool.values[one]))
    return replace(made, severity=((1 - share[:, 0, 0]) * pool.severity[one] + share[:, 0, 0] * pool.severity[other]))


def subsampled(source: Windows, label: int, count: int, seed: int) -> Windows:
    """Windows of the class drawn from those that the physics made."""
    return oversampled(source, label, count, seed)


RIVALS: dict[str, Callable[[Windows, int, int, int], Windows]] = {
    "oversampling": oversampled,
    "jitter": jittered,
    "smote": smote,
}
