"""Features of a window for classifiers that take no sequences, and for the space that similarity is measured in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from training.gan.windows import Floats, Windows


def features(windows: Windows) -> Floats:
    """Features of each window.

    Aligned windows as they are, ``(N, T * C)``; of a time series mean, standard deviation, slope and the mean of the
    last quarter per channel, ``(N, 4 * C)``.
    """
    values = windows.values
    n, steps, _ = values.shape
    if windows.aligned:
        return values.reshape(n, -1)
    ramp = np.linspace(-1.0, 1.0, steps, dtype=np.float32)
    slope = np.einsum("ntc,t->nc", values, ramp) / float(ramp @ ramp)
    parts = [values.mean(axis=1), values.std(axis=1), slope, values[:, -max(steps // 4, 1) :].mean(axis=1)]
    return np.concatenate(parts, axis=1).astype(np.float32)
