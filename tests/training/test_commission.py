"""The shipped models fitted to a plant's own healthy running, by the real command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from service import bundle
from service.archive import SAMPLE_COLUMNS, Archive
from service.contract.manifest import MERGED
from service.errors import BundleError
from simulator.recording import read
from training import bundle as writing
from training import data, evt, rescale
from training.__main__ import MODELS, main

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.training

SNAPSHOTS = 130


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a recording of a machine that is sound and rougher than the twin's: broadband noise and a shaft line."""

    def make(seed: int, snapshots: int = SNAPSHOTS) -> Path:
        rng = np.random.default_rng(seed)
        t = np.arange(2560) / 25_600.0
        noise = rng.normal(0.0, 300.0, (snapshots, 2560, 2)) * rng.gamma(20.0, 1 / 20.0, (snapshots, 1, 1))
        shaft = 5.0 * np.sin(2 * np.pi * 30.0 * t)[None, :, None]
        file = tmp_path / f"Bearing1_{seed}.npz"
        np.savez(file, acc_milli_g=(noise + shaft).astype(np.float32))
        return file

    return make


def commissioned(out: Path, *command: str) -> int:
    return main(["train", "--out", str(out), "--data", *command])


def test_only_the_anomaly_detector_and_thresholds_change_and_the_edge_takes_the_bundle(
    machine: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = machine(1)
    assert commissioned(tmp_path / "own", str(file), "--geometry", "pronostia") == 0
    assert "held-out healthy readings: 32" in capsys.readouterr().out
    old, new = bundle.load(MODELS).manifest, bundle.load(tmp_path / "own").manifest
    assert new.version == old.version + 1
    assert {name for name in new.graphs if new.graphs[name].sha256 != old.graphs[name].sha256} == {"anomaly", MERGED}
    assert new.training["commissioned.from"] == bundle.load(MODELS).digest
    # a gate's report is about other bytes
    assert (MODELS / "gate.json").exists()
    assert not (tmp_path / "own" / "gate.json").exists()
    assert new.training["commissioned.readings"] == str(SNAPSHOTS)
    assert new.training["commissioned.autoencoder"].startswith(("refitted: ", "as shipped: "))
    counts = [new.metrics[f"plant.refit.windows_{part}"] for part in ("fit", "stop", "judge")]
    assert sum(counts) == 2 * 52  # two axes, and the readings between the first 5 % and 45 % of the time
    assert new.training["commissioned.autoencoder"] in (tmp_path / "own" / "MODEL_CARD.md").read_text()
    assert 0.0 <= new.metrics["plant.anomaly_rate.lo"] <= new.metrics["plant.anomaly_rate.hi"] < 0.25
    assert all(new.alarms[fault].open_at >= old.alarms[fault].open_at for fault in old.classes)
    assert commissioned(tmp_path / "again", str(file), "--geometry", "pronostia") == 0
    assert bundle.load(tmp_path / "again").digest == bundle.load(tmp_path / "own").digest


def test_another_day_of_the_same_machine_stays_healthy(
    machine: Callable[[int], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commissioned(tmp_path / "own", str(machine(2))) == 0
    capsys.readouterr()
    assert main(["score", str(machine(3)), "--models", str(tmp_path / "own"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["diagnosis"] == "healthy"
    assert 0.1 < told["anomaly"] < 1.0


def test_the_new_nodes_say_what_the_docstring_says(tmp_path: Path) -> None:
    shipped = bundle.load(MODELS)
    weights = np.linspace(0.4, 2.5, len(shipped.manifest.bands))
    rescale.write(MODELS, tmp_path / "own", weights, alarms=shipped.manifest.alarms, training={}, metrics={})
    feeds = writing.window_feeds(data.windows(24, seed=5, healthy_share=0.5))
    before, after = shipped.run("anomaly", feeds), bundle.load(tmp_path / "own").run(MERGED, feeds)
    weighed = before["contribution"] * weights
    np.testing.assert_allclose(after["anomaly"], before["anomaly"] * weighed.sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(after["contribution"], weighed / weighed.sum(axis=1, keepdims=True), rtol=1e-3)
    with pytest.raises(BundleError, match="commissioned already"):
        rescale.write(tmp_path / "own", tmp_path / "twice", weights, alarms={}, training={}, metrics={})


def test_an_edges_history_gives_thresholds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(4)
    archive = Archive(tmp_path)
    archive.open()
    rows = []
    for number in range(400):
        values = dict.fromkeys(SAMPLE_COLUMNS, 0.01) | {"motor": f"m{number % 2}", "diagnosis": "healthy"}
        values |= {"ts_s": 1e9 + number, "heard_ts_s": 1e9 + number, "anomaly": float(rng.gamma(4.0, 0.25))}
        rows.append(tuple(values[name] for name in SAMPLE_COLUMNS))
    archive.write(rows, [], [])
    archive.close()
    assert commissioned(tmp_path / "own", str(tmp_path / "history.db")) == 0
    out = capsys.readouterr().out
    assert "autoencoder stays as shipped: an edge's history holds scores and no waveforms" in out
    assert "held-out healthy readings: 100" in out
    assert bundle.load(tmp_path / "own").manifest.metrics["plant.anomaly_rate"] < 0.05


@pytest.mark.data("cwru/cwru.tar.xz")
def test_a_broken_machine_is_not_commissioned_by_mistake(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = f"{recordings / 'cwru/cwru.tar.xz'}:12k_DE/105.mat"
    assert commissioned(tmp_path / "own", source, "--geometry", "6205") == 2
    assert "see inner race" in capsys.readouterr().err
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["missing.mat"], "missing.mat: no such file"),
        (["{short}"], "too few for a threshold"),
        (["{fine}", "--geometry", "6399"], "bearing '6399': unknown; did you mean 6309? known are"),
        (["{fine}", "--first", "0"], "--first is 0; give a share"),
        (["{fine}", "--false-alarms", "2"], "--false-alarms is 2; give a share"),
        (["{nan}"], "Bearing1_7.npz"),
        (["{db}"], "is not an edge's history"),
    ],
)
def test_what_cannot_be_commissioned_is_said_in_one_line(
    command: list[str], told: str, machine: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.db").write_text("no database")
    body = np.full((3, 2560, 2), np.nan, dtype=np.float32)
    np.savez(tmp_path / "Bearing1_7.npz", acc_milli_g=body)
    files = {
        "{short}": str(machine(5, 40)),
        "{fine}": str(machine(6)),
        "{nan}": str(tmp_path / "Bearing1_7.npz"),
        "{db}": str(tmp_path / "no.db"),
    }
    assert commissioned(tmp_path / "own", *(files.get(word, word) for word in command)) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "own").exists()


def test_without_a_command_the_help_is_shown_and_nothing_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(MODELS, "manifest.json").read_bytes()
    assert main([]) == 2
    assert "command" in capsys.readouterr().err
    assert Path(MODELS, "manifest.json").read_bytes() == before


def test_a_parquet_table_is_read_like_the_same_csv(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=9000).round(4)
    np.savetxt(tmp_path / "a.csv", x[:, None], header="accel_m_s2.x", comments="", fmt="%.4f")
    parquet.write_table(pa.table({"accel_m_s2.x": x, "when": ["now"] * 9000}), tmp_path / "a.parquet")
    one, other = (read(str(tmp_path / name), fs_hz=12_000.0) for name in ("a.csv", "a.parquet"))
    np.testing.assert_array_equal(one.channels["x"], other.channels["x"])
    snapshots = pa.table({"ts_s": [10.0, 20.0, 30.0], "accel_m_s2.x": x.reshape(3, 3000).tolist()})
    parquet.write_table(snapshots, tmp_path / "b.parquet")
    framed = read(str(tmp_path / "b.parquet"), fs_hz=12_000.0)
    assert framed.channels["x"].shape == (3, 3000)
    assert framed.step_s == 10.0


@pytest.mark.parametrize("rate", [0.2, 0.01, 0.002])
def test_a_tail_threshold_is_exceeded_hardly_more_often_than_asked(rate: float) -> None:
    rng = np.random.default_rng(9)
    levels = []
    for _ in range(30):
        noise = rng.normal(size=600)
        alike = np.empty(600)
        alike[0] = noise[0]
        for at in range(1, 600):
            alike[at] = 0.6 * alike[at - 1] + 0.8 * noise[at]
        levels.append(evt.threshold([alike[:300], alike[300:]], rate))
    exceeded = (rng.normal(size=1_000_000)[:, None] > np.quantile(levels, [0.5])).mean()
    assert rate / 12.0 < exceeded < 1.5 * rate  # peaks of clusters exceed what a single value does: the careful side


def test_a_tail_threshold_of_something_constant_is_that_constant() -> None:
    assert evt.threshold([np.full(50, 0.3)], 0.004) == pytest.approx(0.3)
