"""The report's pictures of one draw: real against made windows, losses, what classifiers make of it."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from training.gan.classifier import boosting, recurrent_with_losses
from training.gan.describe import features
from training.gan.downstream import GENERATED, Domain, augmented, generators
from training.gan.similarity import memory

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from training.gan.fitting import Fitted
    from training.gan.generator import Budget
    from training.gan.windows import Split, Windows

COLOURS = {
    "real": "#222222",
    "gan": "#d1495b",
    "timegan": "#edae49",
    "diffusion": "#00798c",
    "twin_gan": "#6a4c93",
    "twin": "#5fad56",
}
COMPARED = ("none", "smote", "gan", "diffusion", "twin", "twin_gan")
SHOWN = 150

Picture = tuple[str, str]
"""Caption and PNG in base64."""


def gallery(domain: Domain, folder: Path, failures: int, budget: Budget) -> list[Picture]:
    """Captioned pictures of the first draw with ``failures`` real failures."""
    split = domain.split(folder, failures, 0, synthetic=domain.synthetic)
    fitted = generators(split, budget, 0)
    label = domain.rare[0]
    real = split.reserve.of(label)
    made = {kind: fitted[kind].sample(label, max(len(real), SHOWN), 0, novelty=0.0) for kind in GENERATED}
    made["twin"] = split.physics.of(label)
    name = split.train.classes[label]
    return [
        (f"Real and made windows of class {name}, every sensor", _overlay(real, made)),
        (f"Marginals of every sensor, class {name}", _marginals(real, made)),
        ("Autocorrelation along the window", _curves(real, made, _autocorrelation, "lag")),
        ("Power spectrum along the window", _curves(real, made, _spectrum, "bin")),
        ("Mean of every sensor", _means(real, made)),
        ("PCA and t-SNE of features, fitted on real windows and on all windows", _maps(real, made)),
        ("Distance to the nearest training window: made windows left of the held-out real ones would be copies",
         _neighbours(split.train.of(label), real, made)),
        ("Losses and distance to the training windows (the kept state is marked)", _losses(fitted)),
        *_classifiers(split, domain, fitted),
    ]  # fmt: skip


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.tight_layout(rect=(0.0, 0.07, 1.0, 1.0))
    figure.savefig(buffer, format="png", dpi=72)
    return base64.b64encode(buffer.getvalue()).decode()


def _grid(windows: Windows, height: float = 1.7) -> tuple[Figure, list[Axes]]:
    channels = len(windows.channels)
    columns = min(channels, 5)
    rows = -(-channels // columns)
    figure = Figure(figsize=(max(2.9 * columns, 8.7), height * rows + 0.6))
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[channels:]:
        axis.set_visible(False)
    for axis, channel in zip(axes.flat, windows.channels, strict=False):
        axis.set_title(channel, fontsize=8)
        axis.tick_params(labelsize=6)
    return figure, list(axes.flat[:channels])


def _overlay(real: Windows, made: dict[str, Windows]) -> str:
    figure, axes = _grid(real)
    for c, axis in enumerate(axes):
        for k in range(min(8, len(real))):
            axis.plot(real.values[k * len(real) // 8 % len(real), :, c], color=COLOURS["real"], lw=0.6, alpha=0.6)
        for kind, windows in made.items():
            for k in range(4):
                axis.plot(windows.values[k, :, c], color=COLOURS[kind], lw=0.5, alpha=0.7)
    _legend(figure, made)
    return _png(figure)


def _legend(figure: Figure, made: dict[str, Windows]) -> None:
    handles = [Line2D([], [], color=COLOURS[k], label=k) for k in ("real", *made)]
    figure.legend(handles=handles, loc="lower center", ncol=len(handles), fontsize=7, frameon=False)


def _marginals(real: Windows, made: dict[str, Windows]) -> str:
    figure, axes = _grid(real)
    for c, axis in enumerate(axes):
        low, high = np.quantile(real.values[:, :, c], [0.001, 0.999])
        edges = np.linspace(low - 0.2 * (high - low) - 1e-9, high + 0.2 * (high - low) + 1e-9, 40)
        for kind, windows in {"real": real, **made}.items():
            count, _ = np.histogram(windows.values[:, :, c], edges)
            axis.stairs(count / windows.values[:, :, c].size, edges, color=COLOURS[kind], lw=0.9)
    _legend(figure, made)
    return _png(figure)


def _autocorrelation(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean autocorrelation over windows ``(n, T)``, lags 0..T/2."""
    x = values - values.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(x, 2 * x.shape[1], axis=1)) ** 2
    r = np.fft.irfft(power, axis=1)[:, : x.shape[1] // 2]
    return np.asarray((r / np.maximum(r[:, :1], 1e-12)).mean(axis=0))


def _spectrum(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log mean power spectrum over windows ``(n, T)``."""
    x = values - values.mean(axis=1, keepdims=True)
    return np.asarray(np.log10((np.abs(np.fft.rfft(x, axis=1)[:, 1:]) ** 2).mean(axis=0) + 1e-12))


def _curves(real: Windows, made: dict[str, Windows], curve: object, label: str) -> str:
    assert callable(curve)
    figure, axes = _grid(real)
    for c, axis in enumerate(axes):
        for kind, windows in {"real": real, **made}.items():
            axis.plot(curve(windows.values[:, :, c]), color=COLOURS[kind], lw=1.6 if kind == "real" else 0.9)
        axis.set_xlabel(label, fontsize=6)
    _legend(figure, made)
    return _png(figure)


def _means(real: Windows, made: dict[str, Windows]) -> str:
    figure = Figure(figsize=(9, 2.8))
    axis = figure.subplots()
    centre, deviation = real.values.mean(axis=(0, 1)), real.values.std(axis=(0, 1)) + 1e-9
    place = np.arange(len(real.channels))
    for k, (kind, windows) in enumerate(made.items()):
        gap = (windows.values.mean(axis=(0, 1)) - centre) / deviation
        axis.bar(place + 0.15 * (k - 2), gap, 0.14, color=COLOURS[kind], label=kind)
    axis.axhline(0, color="k", lw=0.5)
    axis.set_xticks(place, real.channels, fontsize=7, rotation=30)
    axis.set_ylabel("mean less real mean,\nreal deviations", fontsize=7)
    axis.legend(fontsize=7, ncol=5)
    return _png(figure)


def _maps(real: Windows, made: dict[str, Windows]) -> str:
    sets = {"real": real, **made}
    rows = {kind: features(w.take(np.arange(min(len(w), SHOWN)))) for kind, w in sets.items()}
    mean, deviation = rows["real"].mean(axis=0), rows["real"].std(axis=0) + 1e-6
    z = {kind: (r - mean) / deviation for kind, r in rows.items()}
    pca = PCA(2, random_state=0).fit(z["real"])
    everything = np.concatenate(list(z.values()))
    near = TSNE(2, perplexity=20, init="pca", random_state=0, max_iter=500).fit_transform(np.clip(everything, -20, 20))
    figure = Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    start = 0
    for kind, part in z.items():
        left.scatter(*pca.transform(part).T, s=5, color=COLOURS[kind], label=kind, alpha=0.7)
        right.scatter(*near[start : start + len(part)].T, s=5, color=COLOURS[kind], alpha=0.7)
        start += len(part)
    left.set_title("PCA", fontsize=8)
    right.set_title("t-SNE", fontsize=8)
    left.legend(fontsize=7)
    return _png(figure)


def _neighbours(train: Windows, real: Windows, made: dict[str, Windows]) -> str:
    figure = Figure(figsize=(9, 2.8))
    axis = figure.subplots()
    rows = features(train)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-6

    def z(windows: Windows) -> NDArray[np.floating]:
        return np.asarray((features(windows) - mean) / deviation)

    first = True
    for kind, windows in made.items():
        result = memory(z(train), z(real), z(windows))
        if first:
            axis.hist(result.real, 40, density=True, histtype="stepfilled", color="#cccccc", label="real, held out")
            first = False
        axis.hist(result.made, 40, density=True, histtype="step", color=COLOURS[kind], label=kind)
    axis.set_xlabel("distance to the nearest training window")
    axis.legend(fontsize=7)
    return _png(figure)


def _losses(fitted: dict[str, Fitted]) -> str:
    figure = Figure(figsize=(13, 2.8))
    axes = figure.subplots(1, len(fitted))
    for axis, (kind, result) in zip(axes, fitted.items(), strict=True):
        for name, curve in result.history.items():
            steps, values = zip(*curve, strict=True)
            axis.plot(steps, values, lw=0.9, label=name, marker="." if name == "mmd" else None)
        axis.axvline(result.best_step, color="k", ls=":", lw=0.8)
        axis.set_title(kind, fontsize=8)
        axis.set_yscale("symlog", linthresh=0.1)
        axis.tick_params(labelsize=6)
        axis.legend(fontsize=6)
    return _png(figure)


def _classifiers(split: Split, domain: Domain, fitted: dict[str, Fitted]) -> list[Picture]:
    (test, *_) = split.tests.values()
    curves, tables = Figure(figsize=(13, 3.6)), Figure(figsize=(13, 2.6))
    losses_axis, roc_axis, pr_axis = curves.subplots(1, 3)
    axes = tables.subplots(1, len(COMPARED))
    palette = {"none": "#222222", "smote": "#999999", **COLOURS}
    for axis, strategy in zip(axes, COMPARED, strict=True):
        train, weights = augmented(strategy, split, domain, fitted, 0)
        _, losses = recurrent_with_losses(train, weights, [test], 0)
        losses_axis.plot(losses, color=palette[strategy], lw=0.9, label=strategy)
        (p,) = boosting(train, weights, [test], 0)
        truth = np.concatenate([test.label == k for k in domain.rare])
        score = np.concatenate([p[:, k] for k in domain.rare])
        fpr, tpr, _ = roc_curve(truth, score)
        precision, recall, _ = precision_recall_curve(truth, score)
        roc_axis.plot(fpr, tpr, color=palette[strategy], lw=0.9)
        pr_axis.plot(recall, precision, color=palette[strategy], lw=0.9)
        matrix = confusion_matrix(test.label, p.argmax(axis=1), labels=range(len(test.classes)))
        axis.imshow(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(matrix):
            axis.text(column, row, str(value), ha="center", va="center", fontsize=6)
        axis.set_title(strategy, fontsize=8)
        axis.set_xticks(range(len(test.classes)), test.classes, fontsize=5, rotation=40)
        axis.set_yticks(range(len(test.classes)), test.classes, fontsize=5)
    losses_axis.set(xlabel="step", ylabel="GRU loss", yscale="log")
    losses_axis.legend(fontsize=7)
    roc_axis.set(xlabel="false positive rate", ylabel="true positive rate")
    pr_axis.set(xlabel="recall", ylabel="precision")
    return [
        (
            "Classifier loss (GRU), ROC and PR curves (boosting; rare classes pooled) with and without augmentation",
            _png(curves),
        ),
        ("Confusion matrices (boosting): rows true, columns said", _png(tables)),
    ]
