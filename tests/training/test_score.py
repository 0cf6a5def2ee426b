"""Recordings of real machines through the shipped bundle: the ones the project promises, and bad files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service import bundle
from service.contract.bearing import CATALOGUE
from service.contract.faults import BEARING_FAULTS
from training.__main__ import MODELS, main
from training.evaluate import odd
from training.score import FAR, UNKNOWN, score

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.training

ARCHIVE = "cwru/cwru.tar.xz"


@pytest.mark.data(ARCHIVE)
@pytest.mark.parametrize(
    ("member", "diagnosis"),
    [("12k_DE/105.mat", "inner_race"), ("12k_DE/130.mat", "outer_race"), ("normal/97.mat", "healthy")],
)
def test_promised_recordings_get_the_right_word(member: str, diagnosis: str, recordings: Path) -> None:
    got = score(f"{recordings / ARCHIVE}:{member}", bundle.load(MODELS), bearing=CATALOGUE["6205"])
    assert got.diagnosis == diagnosis
    assert got.alarm == (diagnosis != "healthy")
    assert got.alarm is False or diagnosis in got.alerts


@pytest.mark.data(ARCHIVE)
def test_a_json_line_has_the_promised_keys(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", f"{recordings / ARCHIVE}:12k_DE/105.mat", "--bearing", "6205", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert {"file", "alarm", "anomaly", "probabilities", "diagnosis"} <= set(line)


def test_without_a_speed_no_bearing_fault_is_named_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    file = tmp_path / "unknown.csv"
    np.savetxt(file, rng.normal(size=(24_000, 1)), header="accel_m_s2.x", comments="", fmt="%.4f")
    command = ["score", str(file), "--bearing", "6205", "--fs-hz", "12000", "--json"]
    assert main(command) == 0
    told, said = capsys.readouterr()
    line = json.loads(told)
    assert not line["speed_known"]
    assert all(line["probabilities"][fault] < 0.02 for fault in BEARING_FAULTS)
    assert "give --speed-rpm" in said
    assert main([*command, "--speed-rpm", "1480"]) == 0
    told, said = capsys.readouterr()
    assert json.loads(told)["speed_known"]
    assert said == ""


def test_what_is_odder_than_any_taught_fault_is_unknown_however_sure_a_class_is(tmp_path: Path) -> None:
    file = tmp_path / "square.csv"
    wave = odd.inputs()["square wave, 100 Hz"]
    np.savetxt(file, wave[:, None], header="accel_m_s2.x", comments="", fmt="%.6g")
    models = bundle.load(MODELS)
    models.manifest = models.manifest.model_copy(update={"metrics": {FAR: 3.2}})
    got = score(str(file), models, bearing=CATALOGUE["6205"], speed_rpm=odd.SPEED_RPM, fs_hz=odd.FS_HZ)
    assert got.anomaly > 3.2
    assert max(got.probabilities.values()) > 0.6
    assert (got.diagnosis, got.alarm) == (UNKNOWN, True)


def test_an_anomaly_that_no_class_explains_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "clicks.csv"
    wave = odd.inputs()["clicks at no order"]
    np.savetxt(file, wave[:, None], header="accel_m_s2.x", comments="", fmt="%.6g")
    got = score(str(file), bundle.load(MODELS), bearing=CATALOGUE["6205"], speed_rpm=odd.SPEED_RPM, fs_hz=odd.FS_HZ)
    assert max(got.probabilities.values()) < 0.1
    assert (got.diagnosis, got.alarm) == (UNKNOWN, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score", "absent.mat"], "no such file"),
        (["score", "pyproject.toml"], "unknown kind"),
        (["score", "absent.mat", "--bearing", "9999"], "known are"),
        (["score", "absent.mat", "--models", "absent"], "cannot be read"),
    ],
)
def test_every_mistake_is_one_line_with_a_remedy(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
