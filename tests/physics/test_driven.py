"""Gear mesh, cavitation and uneven pull: lines where the teeth put them, noise where bubbles make it."""

import numpy as np
import pytest

from simulator.driven import Driven, vibration

FS_HZ, SAMPLES, SHAFT_HZ = 12_800.0, 16_384, 25.0


def _spectrum(driven: Driven, load: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    x = vibration(driven, SHAFT_HZ, load, FS_HZ, SAMPLES, np.random.default_rng(0))
    return np.fft.rfftfreq(SAMPLES, 1 / FS_HZ), np.abs(np.fft.rfft(x * np.hanning(SAMPLES))) * 4 / SAMPLES


def _at(driven: Driven, order: float, load: float = 1.0) -> float:
    f_hz, height = _spectrum(driven, load)
    return float(height[np.abs(f_hz - order * SHAFT_HZ) < 2.0].max())


def test_nothing_given_adds_nothing() -> None:
    assert not vibration(Driven(), SHAFT_HZ, 1.0, FS_HZ, 256, np.random.default_rng(0)).any()


def test_mesh_stands_at_the_teeth_with_side_bands_at_the_shaft_and_nowhere_else() -> None:
    gear = Driven(gear_teeth=20, mesh_m_s2=1.0, mesh_modulation=0.3)
    assert _at(gear, 20) == pytest.approx(np.sqrt(2.0), rel=0.05)
    for side in (19, 21):
        assert _at(gear, side) / _at(gear, 20) == pytest.approx(0.15, rel=0.1)
    assert _at(gear, 10) < 1e-3
    assert _at(gear, 20, load=0.5) == pytest.approx(0.5 * _at(gear, 20), rel=1e-3)


def test_a_mesh_above_half_the_rate_is_left_out_instead_of_folded_back() -> None:
    assert np.max(_spectrum(Driven(gear_teeth=300))[1]) == 0.0


def test_a_swinging_speed_smears_the_mesh() -> None:
    steady, swung = (Driven(gear_teeth=40, mesh_modulation=0.0, speed_swing=swing) for swing in (0.0, 0.02))
    assert _at(swung, 40) < 0.8 * _at(steady, 40)
    assert _at(swung, 40.5) > 50 * _at(steady, 40.5)


def test_cavitation_is_noise_above_its_corner_that_swells_with_the_blades() -> None:
    pump = Driven(cavitation_m_s2=2.0, blades=6)
    x = vibration(pump, SHAFT_HZ, 1.0, FS_HZ, SAMPLES, np.random.default_rng(0))
    assert np.std(x) == pytest.approx(2.0, rel=0.01)
    f_hz, height = _spectrum(pump)
    assert np.mean(height[f_hz > 4000] ** 2) > 20 * np.mean(height[(f_hz > 50) & (f_hz < 800)] ** 2)
    swell = np.abs(np.fft.rfft((x**2 - np.mean(x**2)) * np.hanning(SAMPLES)))
    assert f_hz[int(np.argmax(swell))] == pytest.approx(6 * SHAFT_HZ, abs=1.0)
