"""A recording replays as valid readings at a rate the edge takes."""

import json
from pathlib import Path

import numpy as np
import pytest

from service.contract.bearing import CATALOGUE
from service.contract.codec import decode_birth, decode_reading, encode_cbor, encode_json
from simulator.recording import Recording, RecordingError, read
from simulator.replay import Demand, birth, chosen, demand, readings, resampled, target_fs_hz

ACCEPTED = (10_000.0, 26_000.0)


@pytest.mark.parametrize(
    ("fs_hz", "expected"),
    [(12_000, 12_000), (25_600, 25_600), (48_000, 12_000), (97_656, 12_207), (48_828, 12_207), (30_000, 15_000),
     (8_000, 16_000), (5_000, 10_000), (51_200, 12_800)],
)  # fmt: skip
def test_rates_the_edge_does_not_take_go_to_an_integer_fraction_or_multiple(fs_hz: float, expected: float) -> None:
    assert target_fs_hz(fs_hz, ACCEPTED) == pytest.approx(expected)


def test_decimation_keeps_what_lies_below_and_removes_what_lies_above_half_the_new_rate() -> None:
    t = np.arange(48_000) / 48_000.0
    tone = np.sin(2 * np.pi * 1000.0 * t) + np.sin(2 * np.pi * 9000.0 * t)
    recording = Recording("r", {"x": tone[None].astype(np.float32)}, 48_000.0)
    x = resampled(recording, 12_000.0).channels["x"][0, 600:-600]  # 900 periods of 1 kHz
    amplitude = np.abs(np.fft.rfft(x * np.hanning(x.size))) * 4.0 / x.size
    f_hz = np.fft.rfftfreq(x.size, 1 / 12_000.0)
    assert amplitude[abs(f_hz - 1000.0) < 5].max() == pytest.approx(1.0, rel=0.02)
    assert amplitude[abs(f_hz - 3000.0) < 50].max() < 0.003  # 9 kHz would fold to 3 kHz


def test_windows_follow_each_other_without_gap_or_overlap(cwru_file: Path) -> None:
    recording = read(str(cwru_file))
    pieces = list(readings(recording, "rig", boot="b", start_ts_s=1.7e9, window=4096))
    assert [piece.seq for piece in pieces] == [0, 1, 2, 3]
    joined = np.concatenate([piece.accel_m_s2["x"] for piece in pieces])
    np.testing.assert_array_equal(joined, recording.channels["DE"][0, : 4 * 4096])
    assert pieces[1].ts_s - pieces[0].ts_s == pytest.approx(4096 / 12_000)
    assert pieces[0].speed_rpm == 1772.0


def test_every_piece_passes_the_decoder_in_both_encodings(femto_file: Path) -> None:
    pieces = list(readings(read(str(femto_file)), "rig", boot="b", start_ts_s=1.7e9, window=2560))
    assert len(pieces) == 6
    assert pieces[1].ts_s - pieces[0].ts_s == pytest.approx(10.0)
    for piece in pieces:
        assert set(decode_reading(encode_json(piece)).accel_m_s2) == {"x", "y"}
        assert decode_reading(encode_cbor(piece)).fs_hz == 25_600.0


def test_a_table_of_snapshots_has_one_slow_value_each_at_any_rate(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    snapshots = np.random.default_rng(0).normal(size=(3, 8192)).tolist()
    columns = {"accel_m_s2.x": snapshots, "ts_s": [0.0, 60.0, 120.0], "speed_rpm": [1000.0, 2000.0, 3000.0]}
    parquet.write_table(pa.table(columns), path := tmp_path / "rig.parquet")
    recording = read(str(path), fs_hz=24_000.0)
    for rate, size in ((24_000.0, 4096), (12_000.0, 2048)):
        at_rate = resampled(recording, rate)
        pieces = list(readings(at_rate, "rig", boot="b", start_ts_s=1.7e9, window=size))
        assert [piece.speed_rpm for piece in pieces] == [1000.0, 1000.0, 2000.0, 2000.0, 3000.0, 3000.0]


def test_slow_signals_alone_are_readings_too() -> None:
    recording = Recording(
        "r", {}, None, scalars={"housing_c": np.array([40.0, np.nan])}, ts_s=np.array([1000.0, 1060.0])
    )
    first, second = readings(recording, "rig", boot="b", start_ts_s=1.7e9)
    assert first.housing_c == 40.0
    assert second.housing_c is None
    assert second.ts_s == 1.7e9 + 60.0


def test_a_recording_shorter_than_the_edge_needs_is_refused() -> None:
    short = Recording("r", {"x": np.zeros((1, 1000), np.float32)}, 12_000.0)
    with pytest.raises(RecordingError, match="1000 samples at 12000 Hz; the edge needs 2048 at least"):
        list(readings(short, "rig", boot="b", start_ts_s=1.7e9))


def test_an_unknown_channel_is_refused_with_the_known_ones(cwru_file: Path) -> None:
    recording = read(str(cwru_file))
    with pytest.raises(RecordingError, match=r"no channel 'ZZ'; it has DE, FE"):
        chosen(recording, "ZZ")
    np.testing.assert_array_equal(chosen(recording, "FE")["x"], recording.channels["FE"])


def test_the_birth_carries_the_bearing_and_the_recorded_speed(cwru_file: Path) -> None:
    told = birth(read(str(cwru_file)), "rig", ts_s=1.7e9, interval_s=0.3, bearing=CATALOGUE["6205"])
    assert decode_birth(encode_json(told)) == told
    assert told.clock == "simulated"
    assert told.bearing == CATALOGUE["6205"]
    assert told.nameplate.rated_speed_rpm == 1772.0
    assert told.nameplate.supply_hz * 120 / told.nameplate.poles == 1800.0


def test_without_a_bundle_the_usual_demand_holds_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert demand(tmp_path) == Demand()
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "x"}))
    with pytest.raises(RecordingError, match=r"manifest\.json: not a manifest of this version"):
        demand(tmp_path)


@pytest.mark.data("cwru/cwru.tar.xz")
def test_the_healthy_case_western_recording_comes_down_to_the_rate_of_the_faulty_ones(recordings: Path) -> None:
    recording = read(f"{recordings}/cwru/cwru.tar.xz:normal/97.mat")
    assert recording.fs_hz is not None
    slow = resampled(recording, target_fs_hz(recording.fs_hz, ACCEPTED))
    assert slow.fs_hz == 12_000.0
    pieces = list(readings(slow, "rig", boot="b", start_ts_s=1.7e9))
    assert len(pieces) == 14
    assert all(piece.accel_m_s2["x"].size == 4096 for piece in pieces)
