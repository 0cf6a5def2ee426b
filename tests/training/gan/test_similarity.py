"""Distances between sets of windows, against cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from training.gan.metric import discriminative, frechet, predictive
from training.gan.similarity import memory, mmd, spread


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_mmd_is_near_zero_for_equal_and_large_for_shifted_distributions(rng) -> None:
    a, b = rng.standard_normal((2, 150, 4))
    assert abs(mmd(a, b)) < 0.01
    assert mmd(a, b + 2.0) > 0.2


def test_frechet_distance_of_shifted_gaussians_is_the_squared_shift(rng) -> None:
    a, b = rng.standard_normal((2, 4000, 3))
    assert frechet(a, b + np.array([2.0, 0.0, 0.0])) == pytest.approx(4.0, abs=0.3)


def test_coverage_and_diversity_show_a_collapsed_generator(rng) -> None:
    real = rng.standard_normal((200, 3))
    fresh = spread(real, rng.standard_normal((200, 3)))
    collapsed = spread(real, np.tile(real[:1], (200, 1)) + 1e-6 * rng.standard_normal((200, 3)))
    assert fresh.coverage > 0.8
    assert fresh.duplicates == 0.0
    assert collapsed.coverage < 0.1
    assert collapsed.diversity < 0.01
    assert collapsed.duplicates == 1.0


def test_memory_tells_copies_from_fresh_draws(rng) -> None:
    train, held_out, fresh = rng.standard_normal((3, 200, 6))
    assert memory(train, held_out, fresh).ratio == pytest.approx(1.0, abs=0.15)
    copied = memory(train, held_out, train + 0.01 * rng.standard_normal(train.shape))
    assert copied.ratio < 0.1
    assert copied.copies == 1.0


def test_the_discriminative_score_is_low_for_real_and_half_for_shifted_windows(make) -> None:
    real, other = make(80, seed=1), make(80, seed=2)
    assert discriminative(real, other, 0) < 0.12
    assert discriminative(real, other.with_values(other.values + 3.0), 0) > 0.45


def test_the_predictive_score_of_windows_without_structure_is_worse_than_one(make, rng) -> None:
    real = make(60, aligned=False, seed=1)
    walk = real.with_values(np.cumsum(rng.standard_normal(real.values.shape), axis=1))
    other = real.with_values(np.cumsum(rng.standard_normal(real.values.shape), axis=1))
    noise = real.with_values(rng.standard_normal(real.values.shape))
    assert predictive(walk, other) == pytest.approx(1.0, abs=0.05)
    assert predictive(walk, noise) > 1.3
