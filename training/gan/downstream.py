"""Does augmentation help? Every strategy, every classifier, paired over draws of the same split.

A draw is (domain, number of real failures K, seed): split first, then scaler, generators and classifiers are fitted on
its training windows. Strategies differ in what they add to (or how they weigh) the same training windows; the test
windows are the same, hence differences are paired.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from training.gan import bearing, rival, turbofan
from training.gan.classifier import CLASSIFIERS, checked
from training.gan.fitting import Fitted, fit
from training.gan.metric import quality
from training.gan.score import Score, scored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from training.gan.generator import Budget
    from training.gan.windows import Split, Windows

FAILURES = (1, 3, 10)
GENERATED = ("gan", "timegan", "diffusion", "twin_gan")
STRATEGIES = (
    "none", "class_weights", "oversampling", "jitter", "smote",
    "gan", "timegan", "diffusion", "twin", "twin_gan", "twin+gan", "twin+diffusion",
)  # fmt: skip
"""twin: physics alone; twin_gan: the generator conditioned on the twin; twin+gan: half physics, half dreamt."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A task.

    Attributes:
        split: (folder, failures, seed, synthetic=) -> Split.
        rare: labels whose PR-AUC counts.
        synthetic: windows that a strategy adds per rare class.
        twin: what stands behind the strategy "twin".
    """

    name: str
    split: Callable[..., Split]
    rare: tuple[int, ...]
    synthetic: int
    twin: str
    about: str


DOMAINS: dict[str, Domain] = {
    "bearing": Domain(
        "bearing", bearing.split, (1, 2, 3), 120, "the simulator's motor with a 6205",
        "CWRU drive end: K recorded failures per fault kind, judged on a fault size (other bearings) never seen",
    ),
    "turbofan": Domain(
        "turbofan", turbofan.split, (1,), 200, "the exponential damage law grafted onto healthy engines",
        "C-MAPSS FD001: K failed engines, judged on 50 unseen engines, fewer than 30 cycles left",
    ),
}  # fmt: skip


@dataclass(slots=True)
class Draw:
    """What one draw gave: scores by (fold, strategy, classifier), qualities by generator, processor seconds."""

    domain: str
    failures: int
    seed: int
    scores: dict[tuple[str, str, str], Score] = field(default_factory=dict)
    qualities: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0


def drawn(domain: Domain, folder: Path, failures: int, seed: int, budget: Budget) -> Draw:
    """Runs one draw."""
    began = time.process_time()
    split = domain.split(folder, failures, seed, synthetic=domain.synthetic)
    fitted = generators(split, budget, seed)
    result = Draw(domain.name, failures, seed)
    for strategy in STRATEGIES:
        train, weights = augmented(strategy, split, domain, fitted, seed)
        for name, classifier in CLASSIFIERS.items():
            probabilities = classifier(checked(train), weights, list(split.tests.values()), seed)
            for (fold, test), probability in zip(split.tests.items(), probabilities, strict=True):
                result.scores[fold, strategy, name] = scored(test.label, probability, list(domain.rare))
    if failures == max(FAILURES):
        # With fewer failures there are too few windows to tell distributions apart.
        result.qualities = qualities(split, domain, fitted, seed)
    result.seconds = time.process_time() - began
    return result


def generators(split: Split, budget: Budget, seed: int) -> dict[str, Fitted]:
    """Every generator, fitted on the draw's training windows."""
    return {kind: fit(kind, split.train, budget=budget, seed=seed, guide=split.physics) for kind in GENERATED}


def made(strategy: str, split: Split, fitted: dict[str, Fitted], label: int, count: int, seed: int) -> Windows:
    """``count`` windows of a class as a strategy makes them."""
    if "+" in strategy:
        parts = strategy.split("+")
        each = [made(part, split, fitted, label, count // len(parts), seed) for part in parts]
        return each[0].joined(*each[1:])
    if strategy in fitted:
        return fitted[strategy].sample(label, count, seed)
    if strategy == "twin":
        return rival.subsampled(split.physics, label, count, seed)
    return rival.RIVALS[strategy](split.train, label, count, seed)


def augmented(
    strategy: str, split: Split, domain: Domain, fitted: dict[str, Fitted], seed: int
) -> tuple[Windows, NDArray[np.float64]]:
    """Training windows and their weights under a strategy.

    Every strategy that adds windows adds ``domain.synthetic`` per rare class, each weighing as much as a real one.
    Oversampling adds as many copies, and so tells what the changed balance of classes is worth by itself.
    """
    train = split.train
    if strategy == "none":
        return train, np.ones(len(train))
    if strategy == "class_weights":
        return train, balance(train)
    added = [made(strategy, split, fitted, label, domain.synthetic, seed) for label in domain.rare]
    return train.joined(*added), np.ones(len(train) + sum(len(a) for a in added))


def balance(windows: Windows) -> NDArray[np.float64]:
    """Weights that make every class present weigh the same, mean 1."""
    counts = windows.counts()
    return (len(windows) / (np.count_nonzero(counts) * counts[windows.label])).astype(np.float64)


def qualities(split: Split, domain: Domain, fitted: dict[str, Fitted], seed: int) -> dict[str, dict[str, float]]:
    """Scores of every generator, cheap rival and the twin against held-out real windows, and the real control.

    Made windows have the classes and conditions of the training windows, as many of each.
    """
    rare = split.train.take(np.isin(split.train.label, domain.rare))
    out = {"real": quality(split, list(domain.rare), rare, seed).as_dict()}
    counts = rare.counts()
    for name in (*GENERATED, *rival.RIVALS, "twin"):
        parts = []
        for label in domain.rare:
            if name in fitted:
                parts.append(fitted[name].sample(label, int(counts[label]), seed, novelty=0.0))
            else:
                parts.append(made(name, split, fitted, label, int(counts[label]), seed))
        out[name] = quality(split, list(domain.rare), parts[0].joined(*parts[1:]), seed).as_dict()
    return out
