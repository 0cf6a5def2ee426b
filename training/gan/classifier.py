"""The three classifiers that augmentation has to help: logistic regression, gradient boosting, a GRU.

All take weights per window, so that class weights are a rival like any other. A class that training lacks gets
probability 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

from training.gan.describe import features
from training.gan.generator import Shape
from training.gan.windows import Floats, InputError, Scaler, Windows

if TYPE_CHECKING:
    from collections.abc import Callable

Weights = NDArray[np.floating]
EPOCH_STEPS = 60
BATCH = 96
HIDDEN = 32


def logistic(train: Windows, weights: Weights, tests: list[Windows], seed: int) -> list[Floats]:
    """L2 logistic regression on standardised features."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, random_state=seed))
    model.fit(features(train), train.label, logisticregression__sample_weight=weights)
    return [_spread(model.predict_proba(features(t)), model.classes_, t) for t in tests]


def boosting(train: Windows, weights: Weights, tests: list[Windows], seed: int) -> list[Floats]:
    """Histogram gradient boosting on features."""
    model = HistGradientBoostingClassifier(
        max_iter=40, learning_rate=0.2, max_leaf_nodes=8, min_samples_leaf=10, l2_regularization=1.0, max_bins=63,
        early_stopping=False, random_state=seed,
    )  # fmt: skip
    # Equal weights change nothing, but cost scikit-learn ten times the time.
    weighted = None if np.all(weights == weights[0]) else weights
    model.fit(features(train), train.label, sample_weight=weighted)
    return [_spread(model.predict_proba(features(t)), model.classes_, t) for t in tests]


class Reader(nn.Module):
    """GRU over patches to class logits ``(B, classes)``."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.shape = shape
        self.gru = nn.GRU(shape.width, HIDDEN, batch_first=True)
        self.out = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * HIDDEN, classes))

    def forward(self, windows: Tensor) -> Tensor:
        """From scaled windows ``(B, T, C)``."""
        read, last = self.gru(self.shape.patched(windows))
        out: Tensor = self.out(torch.cat([read.mean(dim=1), last[0]], dim=1))
        return out


def recurrent(train: Windows, weights: Weights, tests: list[Windows], seed: int) -> list[Floats]:
    """GRU on scaled windows."""
    return recurrent_with_losses(train, weights, tests, seed)[0]


def recurrent_with_losses(
    train: Windows, weights: Weights, tests: list[Windows], seed: int
) -> tuple[list[Floats], list[float]]:
    """GRU on scaled windows, and its training losses."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 7])
    scaler = Scaler.fitted(train)
    shape = Shape(train.values.shape[1], train.values.shape[2], 0, 0)
    reader = Reader(shape, len(train.classes))
    adam = torch.optim.AdamW(reader.parameters(), lr=6e-3, weight_decay=1e-2)
    values, labels = torch.from_numpy(scaler.scaled(train.values)), torch.from_numpy(train.label)
    w = torch.from_numpy((weights / weights.mean()).astype(np.float32))
    losses = []
    for step in range(EPOCH_STEPS):
        rows = torch.from_numpy(rng.integers(0, len(train), BATCH))
        for group in adam.param_groups:
            group["lr"] = 6e-3 * (1.0 - step / EPOCH_STEPS)
        loss = (functional.cross_entropy(reader(values[rows]), labels[rows], reduction="none") * w[rows]).mean()
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        losses.append(loss.item())
    reader.eval()
    with torch.no_grad():
        out = [torch.softmax(reader(torch.from_numpy(scaler.scaled(t.values))), dim=1).numpy() for t in tests]
    return out, losses


def _spread(probability: NDArray[np.floating], seen: NDArray[np.integer], test: Windows) -> Floats:
    out = np.zeros((len(test), len(test.classes)), dtype=np.float32)
    out[:, seen] = probability
    return out


CLASSIFIERS: dict[str, Callable[[Windows, Weights, list[Windows], int], list[Floats]]] = {
    "logistic": logistic,
    "boosting": boosting,
    "gru": recurrent,
}


def checked(train: Windows) -> Windows:
    """The training windows, if a classifier can be fitted on them.

    Raises:
        InputError: fewer than two classes are there.
    """
    if np.count_nonzero(train.counts()) < 2:
        raise InputError("label: training holds a single class; a classifier needs at least two")
    return train
