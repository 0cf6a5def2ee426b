"""Recordings come out in m/s^2 with their rate and speed; damage is told in one line."""

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from simulator.recording import RecordingError, read
from simulator.unit import G_M_S2


def test_case_western_files_are_found_whatever_their_prefix(cwru_file: Path) -> None:
    recording = read(str(cwru_file))
    assert set(recording.channels) == {"DE", "FE"}
    assert recording.channels["DE"].shape == (1, 20_000)
    assert recording.channels["DE"].std() == pytest.approx(0.1 * G_M_S2, rel=0.05)
    assert recording.speed_rpm == 1772.0
    assert recording.fs_hz == 12_000.0  # from the folder's name


def test_the_manifest_beside_a_recording_fills_in_rate_and_speed(cwru_file: Path) -> None:
    cwru_file.rename(bare := cwru_file.parent.parent / "99.mat")
    (bare.parent / "MANIFEST.csv").write_text("file,rpm,fs_hz\n99.mat,1700,48000\n")
    recording = read(str(bare))
    assert recording.fs_hz == 48_000.0
    assert recording.speed_rpm == 1772.0  # the file itself knows better
    assert read(str(bare), fs_hz=16_000.0, speed_rpm=1500.0).fs_hz == 16_000.0


def test_an_unknown_rate_asks_for_the_option(cwru_file: Path) -> None:
    cwru_file.rename(bare := cwru_file.parent.parent / "99.mat")
    with pytest.raises(RecordingError, match=r"99\.mat: the file does not say its sampling rate; give --fs-hz"):
        read(str(bare))


def test_mfpt_structs_say_rate_and_shaft_speed(mfpt_file: Path) -> None:
    recording = read(str(mfpt_file))
    assert recording.fs_hz == 48_828.0
    assert recording.speed_rpm == 1500.0
    assert recording.channels["x"].std() == pytest.approx(G_M_S2, rel=0.05)


def test_femto_snapshots_are_two_axes_in_milli_g(femto_file: Path) -> None:
    recording = read(str(femto_file))
    assert recording.channels["y"].shape == (6, 2560)
    assert recording.fs_hz == 25_600.0
    assert recording.step_s == 10.0
    assert recording.speed_rpm == 1650.0
    assert abs(recording.channels["x"]).max() == pytest.approx(0.9 * G_M_S2, rel=0.01)


def test_a_csv_names_its_columns_as_the_messages_do(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("accel_m_s2.x;speed_rpm\n" + "\n".join(f"{np.sin(k):.5f};1490" for k in range(3000)))
    recording = read(str(path), fs_hz=12_000.0)
    assert recording.channels["x"].shape == (1, 3000)
    assert recording.scalars["speed_rpm"][0] == 1490.0


def test_a_csv_of_slow_signals_needs_no_sampling_rate(tmp_path: Path) -> None:
    path = tmp_path / "slow.csv"
    path.write_text("ts_s,housing_c\n0,40\n60,41\n")
    recording = read(str(path))
    assert recording.channels == {}
    assert recording.ts_s is not None


@pytest.mark.parametrize("kind", ["tar.xz", "tar", "zip"])
def test_a_recording_may_lie_in_an_archive(kind: str, cwru_file: Path, tmp_path: Path) -> None:
    path = tmp_path / f"cwru.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(cwru_file, "12k_DE/174.mat")
    else:
        with tarfile.open(path, "w:xz" if kind == "tar.xz" else "w") as archive:
            archive.add(cwru_file, "12k_DE/174.mat")
    np.testing.assert_array_equal(read(f"{path}:12k_DE/174.mat").channels["DE"], read(str(cwru_file)).channels["DE"])
    with pytest.raises(RecordingError, match=r"holds no '12k_DE/1\.mat'"):
        read(f"{path}:12k_DE/1.mat")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.mat", b"", "the file is empty"),
        ("a.mat", b"MATLAB 5.0 MAT-file" + b"\x00" * 300, "damaged or not a .mat file|holds no"),
        ("a.npz", b"PK\x03\x04rubbish", "damaged or not a .npz file"),
        ("a.csv", b"accel_m_s2.x\n1\nx\n", "not a table of numbers"),
        ("a.csv", b"a,b\n1,2\n", "there is neither accel_m_s2.x nor ts_s"),
        ("a.csv", b"accel_m_s2.x,b\n1,2,3\n", "not a table|the header names 2 columns, the rows have 3"),
        ("a.csv", b"accel_m_s2.x\nnan\n", "channel x holds NaN"),
        ("a.csv", b"\xff\xff\xff", "damaged or not a .csv file"),
        ("a.wav", b"RIFF", "unknown kind '.wav'; known are .mat, .npz, .csv"),
        ("a.tar.xz:b.mat", None, "no such file"),
    ],
)
def test_damage_is_one_line_that_names_the_file(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordingError, match=says) as caught:
        read(str(path), fs_hz=12_000.0)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_truncated_recording_is_refused_not_shortened(cwru_file: Path) -> None:
    cwru_file.write_bytes(cwru_file.read_bytes()[:60_000])
    with pytest.raises(RecordingError, match=r"174\.mat: damaged or not a \.mat file"):
        read(str(cwru_file))


def test_a_truncated_archive_is_refused(cwru_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        archive.add(cwru_file, "1.mat")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(RecordingError, match="cannot be read"):
        read(f"{path}:1.mat", fs_hz=1.0)


@pytest.mark.data("cwru/cwru.tar.xz")
def test_real_case_western_recordings_have_their_documented_rate_speed_and_level(recordings: Path) -> None:
    archive = recordings / "cwru" / "cwru.tar.xz"
    normal = read(f"{archive}:normal/97.mat")
    assert normal.fs_hz == 48_000.0
    assert normal.speed_rpm == pytest.approx(1796, abs=2)
    outer = read(f"{archive}:12k_DE/130.mat")
    assert outer.fs_hz == 12_000.0
    ratio = outer.channels["DE"].std() / normal.channels["DE"].std()
    assert ratio > 5.0
    bare = read(f"{archive}:12k_DE/3001.mat")  # no RPM in the file: from the manifest
    assert bare.speed_rpm == pytest.approx(1797, abs=60)
    assert set(bare.channels) == {"DE"}


@pytest.mark.data("femto_pronostia/Learning_set_Bearing1_2.npz")
def test_a_real_femto_recording_ends_louder_than_it_began(recordings: Path) -> None:
    recording = read(str(recordings / "femto_pronostia" / "Learning_set_Bearing1_2.npz"))
    level = recording.channels["x"].std(axis=1)
    assert recording.speed_rpm == 1800.0
    assert level[-5:].mean() > 3.0 * level[:50].mean()
