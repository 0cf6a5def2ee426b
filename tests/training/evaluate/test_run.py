"""The real evaluation, tiny, and the protocols on data whose outcome is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from service import bundle
from training import tuning
from training.__main__ import MODELS, main
from training.corpora.nab import STEP_S, Temperature
from training.corpora.skab import Run
from training.evaluate import consistency, milling, temperature, testbed, transfer, wear
from training.evaluate.figure import Options
from training.evaluate.oracle import Oracle
from training.evaluate.run import LONGEST_FIRST, SECTIONS

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def options() -> Options:
    return Options(Path("nowhere"), bundle.load(MODELS, prove=False), seeds=1, tiny=True)


def test_absent_data_sets_are_skipped_by_name_and_the_rest_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOTOR_DATA", str(tmp_path / "none"))
    out = tmp_path / "out"
    given = ["--tiny", "--seeds", "1", "--workers", "1", "--only", "skab,ekf,rootcause", "--out", str(out)]
    assert main(["evaluate", *given]) == 0
    said = capsys.readouterr().out
    assert "skab: skipped, skab: absent in" in said
    figures = json.loads((out / "evaluation.json").read_text())
    assert {"ekf.anees_in_band", "rootcause.top1"} <= figures.keys()
    assert "skab.roc_auc" not in figures
    assert "Not run" in (out / "index.html").read_text()


@pytest.mark.data("skab/skab.tar.xz", "nab_machine_temperature")
def test_a_section_runs_alone_on_real_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recordings: Path) -> None:
    monkeypatch.setenv("MOTOR_DATA", str(recordings))
    assert main(["evaluate", "--tiny", "--only", "skab", "--workers", "1", "--out", str(tmp_path)]) == 0
    figures = json.loads((tmp_path / "evaluation.json").read_text())
    assert figures["skab.roc_auc.lo"] <= figures["skab.roc_auc"] <= figures["skab.roc_auc.hi"]
    assert figures["skab.control.random_auc"] == pytest.approx(0.5, abs=0.1)
    assert not any(key.startswith("nab.") for key in figures)


def test_every_section_but_the_timing_may_run_beside_others() -> None:
    assert set(SECTIONS) - set(LONGEST_FIRST) == {"timing"}


def test_an_unknown_section_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--only", "cwrü"]) == 2
    assert capsys.readouterr().err.startswith("evaluate: --only: unknown section 'cwrü'; known are cwru, sizes")


def test_the_oracle_and_the_graph_agree_on_a_motor_of_which_little_is_known(options: Options) -> None:
    rng = np.random.default_rng(0)
    spec = options.bundle.manifest.health
    count = 16
    start = np.array(spec.initial_state)
    # within the bounds, as the filter leaves every state: beyond them the graph starts a motor afresh
    state = np.clip(start + 0.1 * rng.standard_normal((count, 5)), tuning.LOWER, tuning.UPPER)
    cov = np.tile(np.array(spec.initial_cov), (count, 1, 1))
    operating = rng.uniform(0.2, 60.0, (count, 6)).astype(np.float32)
    operating[rng.random(operating.shape) < 0.4] = np.nan
    plate = np.full((count, 9), np.nan, dtype=np.float32)
    plate[::2, :5] = [1455.0, 3.4, 80.0, 40.0, 2400.0]
    severity = np.where(rng.random(count) < 0.3, np.nan, rng.random(count))
    dt_s = 10.0 ** rng.uniform(0.0, 6.0, count)
    ours = Oracle().step(state, cov, operating, plate, severity, dt_s)
    feeds = {"state": state, "cov": cov, "operating": operating, "nameplate": plate, "severity": severity, "dt_s": dt_s}
    theirs = options.bundle.run("health", feeds)
    np.testing.assert_allclose(theirs["state_next"], ours.state, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(theirs["cov_next"], ours.cov, rtol=1e-6, atol=1e-9)
    for name in ("health", "rul_h", "rul_low_h", "rul_high_h", "rul_q25_h", "rul_q75_h", "nis"):
        np.testing.assert_allclose(theirs[name], getattr(ours, name), rtol=1e-5, atol=1e-7)
    feeds["state"] = np.array(tuning.UPPER) + 1.0 + 0.0 * state
    fresh = Oracle().step(np.tile(start, (count, 1)), cov, operating, plate, severity, dt_s)
    beyond = options.bundle.run("health", feeds)
    np.testing.assert_allclose(beyond["state_next"], fresh.state, rtol=1e-7, atol=1e-9)


def test_a_filter_that_is_told_a_wrong_nameplate_leaves_the_band(options: Options) -> None:
    fair = consistency._simulated(options, 40, 12, seed=0, bias=1.0)
    biased = consistency._simulated(options, 40, 12, seed=0, bias=consistency.BIAS)
    assert fair.nees.mean() < 8.0 < biased.nees[3:].mean()


def test_the_margins_find_the_published_limits() -> None:
    from training.corpora.milling import Rows

    # air, process, speed, torque, wear: fine; strain (L, 60 Nm x 200 min); power (over 9 kW); heat (8 K at 1300 rpm).
    measured = np.array(
        [
            [300.0, 310.0, 1500.0, 40.0, 100.0],
            [300.0, 310.0, 1400.0, 60.0, 200.0],
            [300.0, 310.0, 2800.0, 40.0, 10.0],
            [300.0, 308.0, 1300.0, 40.0, 10.0],
        ]
    )
    rows = Rows(measured, np.zeros(4, dtype=np.intp), np.array([False, True, True, True]), np.zeros((4, 5), dtype=bool))
    assert (milling.margins_of(rows)[:, :3] < 0.0).tolist() == [
        [False, False, False],
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def test_a_machine_that_cools_for_a_day_alarms_once_and_one_that_does_not_never() -> None:
    rng = np.random.default_rng(0)
    ts_s = np.arange(8000) * STEP_S
    value = 90.0 + rng.standard_normal(8000)
    rule = temperature.Rule()

    def alarms(series: np.ndarray) -> list[int]:
        score = temperature.judged(Temperature(ts_s, series, np.zeros((0, 2))), rule)
        return list(temperature.opened(score, rule))

    assert alarms(value) == []
    cold = value.copy()
    cold[5000:5300] -= 20.0
    (only,) = alarms(cold)
    assert 5000 < only < 5200


def test_the_detector_knows_no_more_than_the_past() -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((900, 8))
    detector = testbed.DETECTORS[0]
    before = testbed.distance(values, 400, detector)
    values[800:] += 50.0
    np.testing.assert_allclose(testbed.distance(values, 400, detector)[:800], before[:800], rtol=1e-6)


def test_a_baseline_ends_where_the_fault_begins() -> None:
    anomaly = np.zeros(900, dtype=bool)
    anomaly[100:200] = True
    assert testbed.head(Run("a/1", np.zeros((900, 8)), anomaly, np.arange(900.0))) == 100
    assert testbed.head(Run("a/1", np.zeros((900, 8)), np.roll(anomaly, 500), np.arange(900.0))) == testbed.HEAD


def test_a_calibrated_answer_needs_to_stand_out_from_the_machines_own_running() -> None:
    healthy = np.array([[-2.0, -5.0, -6.0], [-2.2, -5.1, -6.1], [-1.9, -5.0, -6.2]])
    told = transfer._calibrated(np.array([[-2.0, -5.0, -6.0], [-1.9, 2.0, -6.0], [-1.0, -5.0, -1.0]]), healthy)
    assert [transfer.ANSWERS[index] for index in told] == ["healthy", "outer_race", "ball"]


def test_an_alarm_in_the_early_part_is_no_detection() -> None:
    assert np.isnan(wear._first(np.array([0.05, 0.19])))
    assert wear._first(np.array([0.05, 0.3, 0.8])) == 0.3
