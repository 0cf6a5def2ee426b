"""Choosing an augmentation, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from training.gan.choice import verdict, winner
from training.gan.score import interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = np.array(["a", "b"] * 10)


@pytest.fixture
def none() -> NDArray[np.float64]:
    return 0.8 + 0.03 * np.random.default_rng(0).standard_normal(20)


def test_noise_wins_nothing(none) -> None:
    rng = np.random.default_rng(1)
    scores = {"none": none} | {f"s{k}": none + 0.02 * rng.standard_normal(20) for k in range(10)}
    assert winner(scores) == "none"
    assert not verdict(scores, FOLDS).passes


def test_a_clear_gain_wins_and_is_confirmed_on_folds_it_was_not_picked_on(none) -> None:
    rng = np.random.default_rng(2)
    scores = {"none": none, "weak": none + 0.01, "twin": none + 0.1 + 0.01 * rng.standard_normal(20)}
    result = verdict(scores, FOLDS)
    assert result.winner == "twin"
    assert result.picked == {"a": "twin", "b": "twin"}
    assert result.confirmed.low > 0.08
    assert result.passes


def test_a_gain_on_one_fold_alone_does_not_pass(none) -> None:
    lucky = none + np.where(FOLDS == "a", 0.2, -0.05)
    result = verdict({"none": none, "lucky": lucky}, FOLDS)
    # Picked for fold b because it shone on a, it loses there; on a nothing was picked.
    assert result.picked == {"a": "none", "b": "lucky"}
    assert result.confirmed.mean < 0.0
    assert not result.passes


def test_the_interval_is_students() -> None:
    result = interval([1.0, 2.0, 3.0])
    assert (result.low, result.high) == pytest.approx((2.0 - 2.4841, 2.0 + 2.4841), abs=1e-3)
    assert interval([1.0, 2.0, 3.0], overlap=0.5).high > result.high
    assert interval([1.0]).low == -np.inf
