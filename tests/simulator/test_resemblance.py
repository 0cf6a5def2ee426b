"""The two-sample test finds differences where there are some, and none where there are none."""

from pathlib import Path

import numpy as np
import pytest

from service.contract.faults import Fault
from simulator.__main__ import main
from simulator.recording import RecordingError
from simulator.resemblance import FEATURES, auroc, discrepancy, features, told_apart
from simulator.validate import rows


def test_auroc_is_the_share_of_pairs_in_order_and_ties_count_half() -> None:
    y = np.array([0.0, 0.0, 1.0, 1.0])
    assert auroc(np.array([1.0, 2.0, 3.0, 4.0]), y) == 1.0
    assert auroc(np.array([4.0, 3.0, 2.0, 1.0]), y) == 0.0
    assert auroc(np.array([1.0, 3.0, 2.0, 4.0]), y) == 0.75
    assert auroc(np.ones(4), y) == 0.5


def _clouds(shift: float) -> float:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(400, len(FEATURES))), rng.normal(size=(400, len(FEATURES)))
    fake[:, 2] += shift
    group = np.arange(400) // 10
    return told_apart(real, fake, group, group).auroc


def test_equal_clouds_are_not_told_apart_and_shifted_ones_are() -> None:
    assert _clouds(0.0) == pytest.approx(0.5, abs=0.07)
    assert _clouds(1.0) > 0.7
    assert _clouds(4.0) > 0.98


def test_a_cloud_of_another_width_is_told_apart_too() -> None:
    rng = np.random.default_rng(0)
    group = np.arange(400) // 10
    wide = 3.0 * rng.normal(size=(400, len(FEATURES)))
    assert told_apart(rng.normal(size=(400, len(FEATURES))), wide, group, group).auroc > 0.9


def test_the_mean_discrepancy_is_none_between_equal_clouds_and_grows_with_their_distance() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(300, 4))
    near, far, wide = rng.normal(size=(300, 4)), rng.normal(size=(300, 4)) + 1.0, 2.5 * rng.normal(size=(300, 4))
    assert discrepancy(real, near) < 0.05
    assert discrepancy(real, wide) > 0.2
    assert discrepancy(real, near) < discrepancy(real, near + 0.5) < discrepancy(real, far)
    assert discrepancy(real, real + 9.0) > 0.7
    # Two points: one kernel's width apart, so 2 - 2 exp(-1), by its root.
    assert discrepancy(np.zeros((40, 1)), np.ones((60, 1))) == pytest.approx(np.sqrt(2.0 - 2.0 * np.exp(-1.0)))


def test_the_feature_that_differs_is_named_first() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(200, len(FEATURES))), rng.normal(size=(200, len(FEATURES)))
    fake[:, FEATURES.index("log_flatness")] += 2.0
    group = np.arange(200)
    assert next(iter(told_apart(real, fake, group, group).by_feature)) == "log_flatness"


def test_impacts_at_the_defect_rate_raise_its_signal_to_noise() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=8192).astype(np.float32)
    struck = noise.copy()
    struck[:: round(12_000 / (3.58 * 30.0))] += 12.0
    at = FEATURES.index("envelope_snr_defect")
    assert features(struck, 12_000.0, 30.0, 3.58)[at] > features(noise, 12_000.0, 30.0, 3.58)[at] + 1.0


def test_absent_recordings_are_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"needs cwru\.tar\.xz and MANIFEST\.csv; set MOTOR_DATA"):
        rows(tmp_path)


def test_validate_without_recordings_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "--data", str(tmp_path), "--out", str(tmp_path / "figures.json")]) == 2
    text = capsys.readouterr().err
    assert "set MOTOR_DATA" in text
    assert text.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data("cwru/cwru.tar.xz")
def test_the_sixty_drive_end_fault_recordings_are_found(recordings: Path) -> None:
    found = rows(recordings / "cwru")
    kinds = [row.fault for row in found]
    assert {fault: kinds.count(fault) for fault in set(kinds)} == {
        Fault.INNER_RACE: 16,
        Fault.OUTER_RACE: 28,
        Fault.BALL: 16,
    }
