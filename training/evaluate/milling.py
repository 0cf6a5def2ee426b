"""AI4I 2020: failures of a milling machine from independent rows, by repeated stratified cross-validation.

What is learnt from are margins: how far a row is from the limits of strain, power and heat that the data's author
published. The risk may only grow as a margin shrinks, which is physics and keeps boosted trees from chasing noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import StratifiedKFold

from training.corpora import milling
from training.evaluate import interval
from training.evaluate.figure import Figure, Section, Table, canvas, plot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.corpora.milling import Rows
    from training.evaluate.figure import Options, Plot

FOLDS = 5
INNER_FOLDS = 4
STRAIN_LIMIT_NM_MIN = (11_000.0, 12_000.0, 13_000.0)
POWER_LIMITS_W = (3500.0, 9000.0)
HEAT_DIFFERENCE_K = 8.6
HEAT_SPEED_RPM = 1380.0
"""Limits as published (Matzka, AI4I 2020), by quality L, M, H where they differ."""
_MONOTONE = [-1, -1, -1, -1, 1, 0]
_PLAIN = [0] * 6


class Scores(NamedTuple):
    """Of one repetition, over all its held-out rows."""

    f1: float
    pr_auc: float
    answer: NDArray[np.bool_]
    probability: NDArray[np.float64]


def evaluate(options: Options) -> Section:
    """F1 and area under precision-recall, the published rules and the leaky variant beside them."""
    rows = milling.rows(options.data)
    margins = margins_of(rows)
    seeds = range(1 if options.tiny else options.seeds)
    honest = [_validated(margins, rows.failed, seed, _MONOTONE) for seed in seeds]
    raw = [_validated(np.column_stack([rows.measured, rows.quality]), rows.failed, seed, _PLAIN) for seed in seeds]
    leaky = [
        _validated(np.column_stack([margins[:, :1], rows.modes]).astype(np.float64), rows.failed, seed, _PLAIN)
        for seed in seeds
    ]
    rules = margins[:, 3] < 0.0
    random = np.random.default_rng(0).random(len(rows.failed))
    return Section(
        title="AI4I 2020: failures of a milling machine",
        protocol=f"{FOLDS}-fold stratified cross-validation, repeated {len(seeds)} times; the columns that name the "
        "failure's rule and the row numbers are out. The threshold of F1 comes from an inner cross-validation of the "
        "training folds. Scores are taken over all held-out rows of a repetition; intervals are over repetitions.",
        figures=(
            Figure("ai4i.f1", *interval.shares_over_seeds([s.f1 for s in honest]), ">= 0.9", "margins, boosted trees"),
            Figure("ai4i.pr_auc", *interval.shares_over_seeds([s.pr_auc for s in honest]), ">= 0.91", "the same"),
            Figure(
                "ai4i.raw_columns.f1",
                *interval.shares_over_seeds([s.f1 for s in raw]),
                "",
                "measured columns as they are",
            ),
            Figure(
                "ai4i.leaky.f1",
                *interval.shares_over_seeds([s.f1 for s in leaky]),
                "",
                "with the columns that name the rule",
            ),
            Figure("ai4i.control.rules_f1", float(f1_score(rows.failed, rules)), what="any published limit passed"),
            Figure("ai4i.control.random_pr_auc", float(average_precision_score(rows.failed, random)), what="random"),
            Figure("ai4i.control.all_positive_f1", float(f1_score(rows.failed, np.ones_like(rules))), what="all fail"),
        ),
        tables=(_by_mode(rows, honest[0].answer),),
        plots=(_picture(rows, honest[0]),),
        caveats=(
            (
                "The data are synthetic and their author published the limits that made the labels; the "
                "margins use them, so "
                "this says that the method finds what is there, not that machines fail so neatly."
            ),
            (
                "Tool-wear and random failures are drawn by lot: whoever passes the rules' 0.917 by much has seen "
                "the label."
            ),
            "Rows are no time series; nothing here speaks of warning time.",
        ),
    )


def margins_of(rows: Rows) -> NDArray[np.float64]:
    """Strain, power, heat margin (below 0: limit passed), the smallest of them, wear in min, quality: ``(n, 6)``."""
    air_k, process_k, speed_rpm, torque_nm, wear_min = rows.measured.T
    low_w, high_w = POWER_LIMITS_W
    power_w = torque_nm * speed_rpm * 2.0 * np.pi / 60.0
    strain = 1.0 - wear_min * torque_nm / np.array(STRAIN_LIMIT_NM_MIN)[rows.quality]
    power = np.minimum(power_w - low_w, high_w - power_w) / (high_w - low_w)
    # Heat cannot get away when the difference is small and the spindle slow: both limits must be passed.
    heat = np.maximum((process_k - air_k) / HEAT_DIFFERENCE_K - 1.0, speed_rpm / HEAT_SPEED_RPM - 1.0)
    return np.column_stack([strain, power, heat, np.minimum(np.minimum(strain, power), heat), wear_min, rows.quality])


def _model(seed: int, monotone: list[int]) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.1, max_leaf_nodes=6, min_samples_leaf=15, monotonic_cst=monotone, random_state=seed
    )


def _validated(x: NDArray[np.float64], failed: NDArray[np.bool_], seed: int, monotone: list[int]) -> Scores:
    probability, answer = np.zeros(len(failed)), np.zeros(len(failed), dtype=bool)
    for fit, judge in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, failed):
        inner = np.zeros(len(fit))
        for a, b in StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed).split(x[fit], failed[fit]):
            inner[b] = _model(seed, monotone).fit(x[fit][a], failed[fit][a]).predict_proba(x[fit][b])[:, 1]
        probability[judge] = _model(seed, monotone).fit(x[fit], failed[fit]).predict_proba(x[judge])[:, 1]
        answer[judge] = probability[judge] >= _threshold(failed[fit], inner)
    return Scores(
        float(f1_score(failed, answer)), float(average_precision_score(failed, probability)), answer, probability
    )


def _threshold(failed: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
    """The probability at which F1 of these rows is largest."""
    order = np.argsort(-probability)
    hits = np.cumsum(failed[order])
    f1 = 2.0 * hits / (np.arange(1, len(failed) + 1) + failed.sum())
    return float(probability[order][f1.argmax()])


def _by_mode(rows: Rows, answer: NDArray[np.bool_]) -> Table:
    names = (*milling.MODES, "none named")
    modes = np.column_stack([rows.modes, ~rows.modes.any(axis=1)]) & rows.failed[:, None]
    body = [(name, str(int(m.sum())), str(int((m & answer).sum()))) for name, m in zip(names, modes.T, strict=True)]
    body.append(("did not fail", str(int((~rows.failed).sum())), str(int((answer & ~rows.failed).sum()))))
    return Table("Called a failure, by mode (first repetition)", ("mode", "rows", "called"), tuple(body))


def _picture(rows: Rows, scores: Scores) -> Plot:
    drawn = canvas(5.0, 3.4)
    axes = drawn.add_subplot()
    order = np.argsort(-scores.probability)
    hits = np.cumsum(rows.failed[order])
    axes.plot(hits / rows.failed.sum(), hits / np.arange(1, len(order) + 1))
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    return plot("Precision over recall, first repetition", drawn)
