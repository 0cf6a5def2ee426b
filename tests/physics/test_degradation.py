"""Severity grows from onset to failure, never back, until it is repaired."""

import numpy as np
import pytest

from service.contract.faults import TAUGHT
from simulator.degradation import Paths, course, crack, exponential, grown, severities
from simulator.parameter import OutOfRangeError


def test_every_path_is_monotone_from_zero_at_onset_to_one_at_failure() -> None:
    knots = severities(np.random.default_rng(1), 500)
    assert (np.diff(knots, axis=1) >= 0.0).all()
    np.testing.assert_allclose(knots[:, 0], 0.0)
    np.testing.assert_allclose(knots[:, -1], 1.0)


def test_both_laws_start_at_zero_and_end_at_one() -> None:
    u = np.array([0.0, 0.5, 1.0])
    for path in (exponential(u, np.array(3.0)), crack(u, np.array(0.5))):
        assert path[0] == pytest.approx(0.0)
        assert path[2] == pytest.approx(1.0)
        assert 0.0 < path[1] < 0.5  # both accelerate


def test_paths_of_a_fleet_are_monotone_and_touch_one_fault_each() -> None:
    paths = Paths.drawn(np.random.default_rng(2), 60, 400 * 3600.0)
    severity = paths.severity(np.arange(0.0, 400.0, 2.0) * 3600.0)
    assert (np.diff(severity, axis=1) >= 0.0).all()
    assert ((severity.max(axis=1) > 0.0).sum(axis=1) <= 1).all()
    assert severity.shape == (60, 200, len(TAUGHT))
    failed = paths.failure_s < 399 * 3600.0
    assert (severity[failed].max(axis=(1, 2)) == 1.0).all()


def test_a_repair_resets_the_fault() -> None:
    hours = np.arange(0.0, 100.0)
    severity = course(hours, 10.0, 50.0, None, 60.0, law="crack", rng=np.random.default_rng(0))
    assert severity[5] == 0.0
    assert severity[55] == 1.0
    assert (severity[60:] == 0.0).all()


def test_failure_before_onset_is_refused() -> None:
    with pytest.raises(OutOfRangeError, match="failure_s=5: must lie after onset_s=9"):
        grown(np.zeros(1), 9.0, 5.0, np.linspace(0, 1, 65))
