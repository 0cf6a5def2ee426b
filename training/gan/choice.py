"""Which augmentation, if any? The pipeline decides per domain, K and classifier, and may decide for none.

A strategy is eligible if the lower end of its paired interval against "none", at a level corrected for the number of
strategies tried (Bonferroni), is above zero; the eligible one with the largest mean wins. To state what the choice is
worth without flattering it, the winner for a fold is picked on the other folds and measured on that one
(cross-fitting).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.gan.score import Interval, interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

NONE = "none"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one domain, K and classifier.

    Attributes:
        winner: picked on all folds; this is what would be used from now on.
        deltas: strategy to its paired interval against none, over all draws.
        picked: fold to the winner picked on the other folds.
        confirmed: gain of those picks on their own folds, paired; zero where "none" was picked.
    """

    winner: str
    deltas: dict[str, Interval]
    picked: dict[str, str]
    confirmed: Interval

    @property
    def passes(self) -> bool:
        """Whether the augmentation may enter a classifier: a winner whose confirmed gain has an interval above zero."""
        return self.winner != NONE and self.confirmed.low > 0.0


def winner(scores: Mapping[str, NDArray[np.float64]]) -> str:
    """The strategy to use, given paired scores ``(n,)`` per strategy, "none" among them."""
    level = 1.0 - 0.05 / max(len(scores) - 1, 1)
    best, gain = NONE, 0.0
    for name, values in scores.items():
        if name == NONE:
            continue
        delta = interval(values - scores[NONE], level)
        if delta.low > 0.0 and delta.mean > gain:
            best, gain = name, delta.mean
    return best


def verdict(scores: Mapping[str, NDArray[np.float64]], folds: NDArray[np.str_]) -> Verdict:
    """Decides.

    Args:
        scores: strategy to PR-AUC per entry ``(n,)``; entries are aligned across strategies.
        folds: fold of each entry, ``(n,)``.
    """
    picked: dict[str, str] = {}
    gains = np.zeros(len(folds))
    for fold in np.unique(folds):
        here = folds == fold
        choice = winner({name: values[~here] for name, values in scores.items()})
        picked[str(fold)] = choice
        gains[here] = scores[choice][here] - scores[NONE][here]
    return Verdict(
        winner=winner(scores),
        deltas={name: interval(values - scores[NONE]) for name, values in scores.items() if name != NONE},
        picked=picked,
        confirmed=interval(gains),
    )
