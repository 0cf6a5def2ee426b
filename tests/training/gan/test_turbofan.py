"""C-MAPSS FD001: split, damage law, a whole draw."""

from __future__ import annotations

import numpy as np
import pytest

from training.gan import turbofan
from training.gan.downstream import DOMAINS, STRATEGIES, drawn
from training.gan.generator import Budget
from training.gan.windows import InputError, Split


@pytest.fixture(scope="module")
def split(cmapss) -> Split:
    return turbofan.split(cmapss, 3, 0, synthetic=150)


def test_no_engine_is_on_both_sides_of_the_split(split) -> None:
    train = set(split.train.unit)
    held = [set(test.unit) for test in split.tests.values()]
    assert not train & held[0]
    assert not train & held[1]
    assert not held[0] & held[1]


def test_exactly_the_asked_number_of_engines_is_seen_failing(split) -> None:
    assert len(set(split.train.of(1).unit)) == 3


def test_constant_sensors_are_left_out(split) -> None:
    assert not {"sensor_1", "sensor_5", "sensor_10", "sensor_16", "sensor_18", "sensor_19"} & set(split.train.channels)


def test_the_damage_law_moves_healthy_windows_towards_failing_ones(split) -> None:
    healthy, failing = (split.train.of(k).values.mean(axis=(0, 1)) for k in (0, 1))
    scale = split.train.values.std(axis=(0, 1))
    law = split.physics.values.mean(axis=(0, 1))
    assert np.abs((law - failing) / scale).mean() < 0.5 * np.abs((healthy - failing) / scale).mean()


def test_the_same_seed_draws_the_same_split_and_another_does_not(cmapss, split) -> None:
    again, other = (turbofan.split(cmapss, 3, s, synthetic=150) for s in (0, 1))
    np.testing.assert_array_equal(split.train.values, again.train.values)
    np.testing.assert_array_equal(split.physics.values, again.physics.values)
    assert set(split.train.unit) != set(other.train.unit)


def test_too_many_failures_and_an_absent_data_set_are_refused(cmapss, tmp_path) -> None:
    with pytest.raises(InputError, match="failures: 51 is outside"):
        turbofan.split(cmapss, 51, 0, synthetic=10)
    with pytest.raises(InputError, match="MOTOR_DATA"):
        turbofan.split(tmp_path, 1, 0, synthetic=10)


def test_a_draw_scores_every_strategy_with_every_classifier_on_every_fold(cmapss) -> None:
    draw = drawn(DOMAINS["turbofan"], cmapss, 1, 0, Budget(steps=2, hidden=8, check_every=2))
    assert {key[1] for key in draw.scores} == set(STRATEGIES)
    assert len(draw.scores) == 2 * 3 * len(STRATEGIES)
    assert all(0.0 <= score.pr_auc <= 1.0 for score in draw.scores.values())
    # Failing engines are a sixth of the windows: anything learnt scores far above that.
    assert draw.scores["A", "none", "logistic"].pr_auc > 0.5
