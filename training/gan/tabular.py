"""Does a generator help on AI4I 2020? Repeated stratified folds, by failure mode.

Generators make raw measurements of one failure mode; physics features are computed from them afterwards, so made rows
obey the same arithmetic as real ones. Everything is fitted on training folds; F1 uses a threshold found on a part of
training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.gan import milling
from training.gan.fitting import fit
from training.gan.rival import RIVALS
from training.gan.windows import Windows

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.gan.generator import Budget

FOLDS, REPEATS = 3, 5
STRATEGIES = ("none", "class_weights", "oversampling", "jitter", "smote", "gan", "timegan", "diffusion")
GENERATED = ("gan", "timegan", "diffusion")
CLASSES = ("healthy", "TWF", "HDF", "PWF", "OSF", "other")
ADDED = 100
"""Made rows per failure mode."""

OVERLAP = 1.0 / (FOLDS - 1)
"""Test over training size: what Nadeau and Bengio's correction adds to 1 / n, since folds share training rows."""


def as_windows(table: milling.Rows, rows: NDArray[np.intp]) -> Windows:
    """Rows as windows of one step: the five measurements and the quality, labelled by failure mode."""
    first = np.where(table.modes[rows, :4].any(axis=1), table.modes[rows, :4].argmax(axis=1) + 1, len(CLASSES) - 1)
    label = np.where(table.failed[rows], first, 0).astype(np.intp)
    return Windows(
        values=table.features[rows, None, : len(milling.RAW) + 1].astype(np.float32),
        label=label,
        severity=(label > 0).astype(np.float32),
        operating=np.zeros((len(rows), 0), dtype=np.float32),
        unit=np.zeros(len(rows), dtype=np.intp),
        classes=CLASSES,
        channels=(*milling.RAW, "quality"),
        aligned=True,
    )


def made_features(windows: Windows) -> NDArray[np.float64]:
    """Features ``(n, 10)`` of made rows; quality rounds to a grade, wear and torque are not negative."""
    values = windows.values[:, 0].astype(np.float64)
    raw = np.maximum(values[:, : len(milling.RAW)], 0.0)
    return milling.with_physics(raw, np.clip(np.rint(values[:, -1]), 0, len(milling.QUALITIES) - 1))


def additions(train: Windows, budget: Budget, seed: int) -> dict[str, NDArray[np.float64]]:
    """Made failing rows as features by strategy."""
    fitted = {kind: fit(kind, train, budget=budget, seed=seed) for kind in GENERATED}
    labels = [k for k in range(1, len(CLASSES)) if train.counts()[k]]
    out = {}
    for strategy in STRATEGIES[2:]:
        if strategy in fitted:
            parts = [fitted[strategy].sample(k, ADDED, seed) for k in labels]
        else:
            parts = [RIVALS[strategy](train, k, ADDED, seed) for k in labels]
        out[strategy] = np.concatenate([made_features(part) for part in parts])
    return out


def folds(table: milling.Rows) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Train and test rows of every repeated fold, stratified by failure."""
    cv = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=0)
    return list(cv.split(table.features, table.failed))


def fold_scores(folder: Path, number: int, budget: Budget) -> dict[str, dict[str, float]]:
    """One fold: per "strategy/classifier", PR-AUC and F1 overall and PR-AUC by failure mode."""
    table = milling.rows(folder)
    train, test = folds(table)[number]
    added = additions(as_windows(table, train), budget, number)
    learn, tune = train_test_split(train, test_size=0.25, stratify=table.failed[train], random_state=number)
    # The made rows for the threshold's model come from generators that saw the tuning part: only its threshold is used.
    out: dict[str, dict[str, float]] = {}
    for name in ("boosting", "logistic"):
        for strategy in STRATEGIES:
            extra = added.get(strategy)
            weights = strategy == "class_weights"
            threshold = _threshold(
                table.failed[tune], _probability(name, table, learn, tune, extra, weighted=weights, seed=number)
            )
            p = _probability(name, table, train, test, extra, weighted=weights, seed=number)
            out[f"{strategy}/{name}"] = _by_mode(table, test, p, threshold)
    return out


def _probability(
    name: str,
    table: milling.Rows,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    extra: NDArray[np.float64] | None,
    *,
    weighted: bool,
    seed: int,
) -> NDArray[np.float64]:
    x, y = table.features[train], table.failed[train]
    if extra is not None:
        x, y = np.concatenate([x, extra]), np.concatenate([y, np.ones(len(extra), dtype=bool)])
    balance = "balanced" if weighted else None
    if name == "boosting":
        model = HistGradientBoostingClassifier(
            max_iter=80, learning_rate=0.12, max_leaf_nodes=12, min_samples_leaf=8, l2_regularization=1.0, max_bins=127,
            class_weight=balance, early_stopping=False, random_state=seed,
        )  # fmt: skip
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight=balance, max_iter=500))
    out: NDArray[np.float64] = model.fit(x, y).predict_proba(table.features[test])[:, 1]
    return out


def _threshold(failed: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
    precision, recall, threshold = precision_recall_curve(failed, probability)
    f1 = 2.0 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(threshold[f1[:-1].argmax()])


def _by_mode(table: milling.Rows, test: NDArray[np.intp], p: NDArray[np.float64], threshold: float) -> dict[str, float]:
    failed, modes = table.failed[test], table.modes[test]
    out = {
        "pr_auc": float(average_precision_score(failed, p)),
        "f1": float(f1_score(failed, p >= threshold)),
    }
    for m, mode in enumerate(milling.MODES[:4]):
        # This mode's failures against all healthy rows.
        rows = ~failed | (failed & modes[:, m])
        out[f"pr_auc_{mode}"] = float(average_precision_score(failed[rows], p[rows]))
        out[f"f1_{mode}"] = float(f1_score(failed[rows], p[rows] >= threshold))
    return out


def window_flaw(folder: Path) -> dict[str, float]:
    """What is wrong with 50-row windows, in numbers.

    ``row_share`` and ``window_share`` failing; ``lag1_*`` autocorrelation of each column; PR-AUC of gradient boosting
    on windows when overlapping windows are split at random (neighbours of a test window are in training) and when the
    rows are split in time with a gap; and how much of the latter a classifier of single rows gets by taking the largest
    of 50.
    """
    table = milling.rows(folder)
    values, label, start = milling.windowed(table)
    raw = table.features[:, : len(milling.RAW)]
    out = {"row_share": float(table.failed.mean()), "window_share": float(label.mean())}
    for c, name in enumerate(milling.RAW):
        out[f"lag1_{name}"] = float(np.corrcoef(raw[:-1, c], raw[1:, c])[0, 1])
    rng = np.random.default_rng(0)
    flat = values.reshape(len(values), -1)

    def boosted(train: NDArray[np.intp], test: NDArray[np.intp]) -> float:
        model = HistGradientBoostingClassifier(
            max_iter=40, max_leaf_nodes=12, max_bins=63, early_stopping=False, random_state=0
        )
        model.fit(flat[train], label[train])
        return float(average_precision_score(label[test], model.predict_proba(flat[test])[:, 1]))

    order = rng.permutation(len(flat))
    out["pr_auc_random_split"] = boosted(order[:4000], order[4000:6000])
    cut = 7000
    before, after = start[start + milling.WINDOW_ROWS <= cut], start[start >= cut + milling.WINDOW_ROWS]
    out["pr_auc_time_split"] = boosted(rng.choice(before, 4000, replace=False), after)
    rows = np.arange(cut)
    p = _probability("boosting", table, rows, np.arange(cut, len(raw)), None, weighted=False, seed=0)
    largest = np.lib.stride_tricks.sliding_window_view(p, milling.WINDOW_ROWS).max(axis=1)
    out["pr_auc_rows_time_split"] = float(average_precision_score(label[cut:], largest))
    out["window_share_after_cut"] = float(label[after].mean())
    return out
