"""RMS values and spectra against closed forms; windows in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from service import vibration
from service.contract.messages import Reading

FS_HZ = 12_800.0
N = 4096


def taken(
    samples: np.ndarray, motor: str = "m1", ts_s: float = 1.8e9, speed_rpm: float | None = None, **others: np.ndarray
) -> Reading:
    axes = {"x": samples.astype(np.float32), **others}
    return Reading(motor=motor, boot="b1", seq=0, ts_s=ts_s, fs_hz=FS_HZ, accel_m_s2=axes, speed_rpm=speed_rpm)


def sine(amplitude: float, f_hz: float) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * f_hz * np.arange(N) / FS_HZ)


def test_a_sine_has_the_rms_values_of_the_textbook() -> None:
    accel, velocity = vibration.rms(taken(sine(2.0, 99.3) + 5.0))
    assert accel == pytest.approx(2.0 / np.sqrt(2), rel=0.01)
    assert velocity == pytest.approx(1e3 * 2.0 / (2 * np.pi * 99.3) / np.sqrt(2), rel=0.01)


def test_velocity_counts_ten_to_a_thousand_hertz_only() -> None:
    _, inside = vibration.rms(taken(sine(1.0, 900.0)))
    _, outside = vibration.rms(taken(sine(1.0, 1500.0)))
    assert outside is not None
    assert inside is not None
    assert outside < 0.01 * inside


def test_the_loudest_axis_counts_and_a_reading_without_vibration_has_none() -> None:
    quiet = np.zeros(N, np.float32)
    accel, _ = vibration.rms(taken(quiet, y=sine(3.0, 200.0).astype(np.float32)))
    assert accel == pytest.approx(3.0 / np.sqrt(2), rel=0.01)
    assert vibration.rms(Reading(motor="m1", boot="b1", seq=0, ts_s=1.8e9)) == (None, None)
    assert vibration.portrait(Reading(motor="m1", boot="b1", seq=0, ts_s=1.8e9)) is None


def test_the_spectrum_shows_a_sine_at_its_frequency_with_its_amplitude() -> None:
    f_hz = 64 * FS_HZ / N
    picture = vibration.portrait(taken(sine(1.5, f_hz)))
    assert picture is not None
    assert int(np.argmax(picture["spectrum"])) * picture["spectrum_step_hz"] == pytest.approx(f_hz)
    assert max(picture["spectrum"]) == pytest.approx(1.5, rel=0.01)


@pytest.mark.parametrize("carrier_hz", [1500.0, 4500.0])
def test_the_envelope_finds_how_often_a_resonance_is_struck(carrier_hz: float) -> None:
    strikes_hz = 106.25  # on a line of the spectrum: 34 x 3.125 Hz
    t_s = np.arange(N) / FS_HZ
    ringing = np.exp(-600.0 * (t_s % (1 / strikes_hz))) * np.sin(2 * np.pi * carrier_hz * t_s)
    picture = vibration.portrait(taken(ringing + 0.02 * np.random.default_rng(1).standard_normal(N)))
    assert picture is not None
    assert int(np.argmax(picture["envelope"])) * picture["envelope_step_hz"] == pytest.approx(strikes_hz, abs=3.2)
    low, high = picture["envelope_band_hz"]
    assert low < carrier_hz < high


@pytest.mark.parametrize("samples", [np.zeros(N), np.zeros(2), np.ones(1)])
def test_a_dead_or_tiny_window_gives_finite_numbers(samples: np.ndarray) -> None:
    picture = vibration.portrait(taken(samples))
    assert picture is not None
    assert all(np.isfinite(picture[name]).all() for name in ("accel_m_s2", "spectrum", "envelope"))
    assert vibration.rms(taken(samples)) == (0.0, 0.0)


def test_zones_are_those_of_the_rated_power() -> None:
    assert vibration.zones_mm_s(1500.0) == (0.71, 1.8, 4.5)
    assert vibration.zones_mm_s(30_000.0) == (1.12, 2.8, 7.1)
    assert vibration.zones_mm_s(float("nan")) == (0.71, 1.8, 4.5)


def test_windows_stay_within_their_memory_and_the_watched_one_stays() -> None:
    windows = vibration.Windows(10 * 4 * N)
    windows.get("m0")
    for number in range(100):
        windows.put(taken(np.zeros(N), f"m{number}"))
    assert windows.get("m0") is not None
    assert sum(windows.get(f"m{number}") is not None for number in range(100)) == 10
    windows.forget("m99")
    assert windows.get("m99") is None


@pytest.mark.parametrize(
    ("before_rpm", "rpm", "apart_s", "steady"),
    [
        (1480.0, 1478.0, 60.0, True),
        (900.0, 1480.0, 60.0, False),
        (0.0, 700.0, 10.0, False),
        (1480.0, 0.0, 10.0, False),
        (1450.0, 1480.0, 0.36, False),  # 2 % a reading, and nearly as much within one window
        (1450.0, 1480.0, 60.0, True),  # the load changed between them
        (900.0, 1480.0, 3600.0, None),  # too long ago to say anything
        (900.0, 1480.0, -5.0, None),
        (None, 1480.0, 60.0, None),
        (1480.0, None, 60.0, None),
    ],
)
def test_whether_the_shaft_turned_steadily_is_judged_by_the_reading_before(
    before_rpm: float | None, rpm: float | None, apart_s: float, steady: bool | None
) -> None:
    windows = vibration.Windows(10 * 4 * N)
    windows.put(taken(np.zeros(N), speed_rpm=before_rpm))
    first = windows.get("m1")
    assert first is not None
    assert vibration.steady(first) is None
    windows.put(taken(np.zeros(N), ts_s=1.8e9 + apart_s, speed_rpm=rpm))
    kept = windows.get("m1")
    assert kept is not None
    assert vibration.steady(kept) is steady


def test_without_memory_no_window_is_kept() -> None:
    windows = vibration.Windows(0)
    windows.put(taken(np.zeros(N)))
    assert windows.get("m1") is None
