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
    file = tmp_path / "loud.csv"
    wave = odd.inputs()["noise of 100 g"]
    np.savetxt(file, wave[:, None], header="accel_m_s2.x", comments="", fmt="%.6g")
    models = bundle.load(MODELS)
    got = score(str(file), models, bearing=CATALOGUE["6205"], speed_rpm=odd.SPEED_RPM, fs_hz=odd.FS_HZ, unit="m/s2")
    assert got.anomaly > models.manifest.metrics[FAR]
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
        (["score", "absent.mat", "--bearing", "6255"], "bearing '6255': unknown; did you mean 6205? known are"),
        (["score", "absent.mat", "--bearing", "SKF 6205-2RS"], "did you mean 6205?"),
        (["score", "absent.mat", "--models", "absent"], "cannot be read"),
    ],
)
def test_every_mistake_is_one_line_with_a_remedy(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1


NOISE = np.random.default_rng(3).normal(size=8192)
HZ = ("--fs-hz", "12000")


def csv(*, unit_m_s2: float = 1.0, offset: float = 0.0, samples: int = 8192) -> bytes:
    """A table of one column: a machine of 1 m/s^2 RMS, written in another unit."""
    return b"accel_m_s2.x\n" + b"".join(b"%.5g\n" % value for value in NOISE[:samples] / unit_m_s2 + offset)


BAD: dict[str, tuple[str, bytes, tuple[str, ...], str]] = {
    "milli-g as m/s2": ("a.csv", csv(unit_m_s2=9.80665e-4), HZ, "which looks like mg; say which with --unit m/s2|g|mg"),
    "quiet machine in g": ("a.csv", csv(unit_m_s2=20.0), HZ, "read as m/s2 make 0.0502 m/s^2 RMS, which looks like g"),
    "gravity in g": ("a.csv", csv(unit_m_s2=5.0, offset=1.0), HZ, "which looks like g; say which"),
    "converter's counts": ("a.csv", csv(unit_m_s2=1e-9), HZ, "which no machine has in any known unit"),
    "constant": ("a.csv", b"accel_m_s2.x\n" + 4096 * b"0.25\n", HZ, "channel x stands still at 0.25 m/s^2"),
    "too short": ("a.csv", csv(samples=500), HZ, "500 samples at 12000 Hz; the edge needs 2048 at least"),
    "rate too low": ("a.csv", csv(), ("--fs-hz", "12"), "12 Hz; the models take 10000 to 26000 Hz"),
    "rate unknown": ("a.csv", csv(), (), "give --fs-hz"),
    "speed of no motor": ("a.csv", csv(), (*HZ, "--speed-rpm", "1e6"), "1e+06 1/min is no motor's speed"),
    "NaN": ("a.csv", csv() + b"nan\n1\n", HZ, "channel x holds NaN or infinity (sample 8192, 1 in all)"),
    "beyond float32": ("a.csv", csv() + b"1e300\n", HZ, "channel x holds NaN or infinity"),
    "no vibration": ("a.csv", b"ts_s,housing_c\n0,40\n60,41\n", (), "no vibration could be judged"),
    "no rows": ("a.csv", b"accel_m_s2.x\n", HZ, "no rows below its header"),
    "torn .mat": ("a.mat", b"MATLAB 5.0 MAT-file" + bytes(300), HZ, "a.mat"),
    "torn .npz": ("a.npz", b"PK\x03\x04rubbish", HZ, "damaged or not a .npz file"),
    "torn .csv": ("a.csv", csv() + b"\xff\xfe", HZ, "damaged or not a .csv file"),
    "torn .parquet": ("a.parquet", b"PAR1rubbishPAR1", HZ, "damaged or not a .parquet file"),
    **{f"empty {kind}": (f"a{kind}", b"", HZ, "is empty") for kind in (".mat", ".npz", ".csv", ".parquet")},
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_one_line_and_the_others_are_judged(
    what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, content, options, said = BAD[what]
    (tmp_path / name).write_bytes(content)
    good = tmp_path / "Bearing2_1.npz"  # its format says everything
    np.savez(good, acc_milli_g=np.random.default_rng(1).integers(-300, 300, (2, 2560, 2)))
    others = [str(good)] if options in ((), HZ) else []  # the option itself is bad, for every file
    assert main(["score", str(tmp_path / name), *others, *options]) == 2
    told, error = capfd.readouterr()
    assert said in error
    assert name in error
    assert error.count("\n") == 1
    assert (f"{good}: healthy" in told) == bool(others)


def test_whoever_says_the_unit_is_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.csv").write_bytes(csv())
    (tmp_path / "g.csv").write_bytes(csv(unit_m_s2=9.80665))
    (tmp_path / "mg.csv").write_bytes(csv(unit_m_s2=9.80665e-3))
    scores = []
    for unit, name in (("m/s2", "m.csv"), ("g", "g.csv"), ("mg", "mg.csv")):
        assert main(["score", str(tmp_path / name), *HZ, "--unit", unit, "--json"]) == 0
        told, said = capsys.readouterr()
        scores.append(json.loads(told)["anomaly"])
        assert said == ""
    assert scores == pytest.approx([scores[0]] * 3, rel=1e-3)
    (tmp_path / "quiet.csv").write_bytes(csv(unit_m_s2=4.0))
    assert main(["score", str(tmp_path / "quiet.csv"), *HZ, "--json"]) == 0
    told, said = capsys.readouterr()
    assert "if the numbers are in g, give --unit g" in said
    assert json.loads(told)["doubts"] == [said.strip().partition("quiet.csv: ")[2]]
