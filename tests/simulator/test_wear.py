"""Wear against life: the envelope counts what lies inside, and the twin's wear lies mostly inside the real one."""

from pathlib import Path

import numpy as np
import pytest

from simulator.recording import RecordingError
from simulator.wear import BINS, compare, inside, simulated


def test_a_curve_between_two_others_is_inside_and_one_above_is_not() -> None:
    real = np.stack([np.zeros(BINS), np.ones(BINS)])
    assert inside(real, np.full((1, BINS), 0.5)) == 1.0
    assert inside(real, np.full((1, BINS), 1.5)) == 0.0


def test_the_twins_level_is_flat_at_first_and_rises_to_the_end() -> None:
    made = simulated(np.random.default_rng(0))
    middle = np.median(made.rms, axis=0)
    assert abs(middle[0]) < 0.1
    assert middle[-1] > 0.5
    assert np.median(made.kurtosis[:, 0]) == pytest.approx(np.log(3.0), abs=0.1)


def test_too_few_recordings_are_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"needs two PRONOSTIA \.npz at least; set MOTOR_DATA"):
        compare(tmp_path)


@pytest.mark.data("femto_pronostia/Learning_set_Bearing2_1.npz")
def test_most_of_the_twins_wear_lies_in_the_real_bearings_envelope(recordings: Path) -> None:
    share, real, _ = compare(recordings / "femto_pronostia")
    assert share.inside > 0.6
    assert len(real.rms) >= 4
