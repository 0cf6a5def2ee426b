"""What an engineer would read off the twin: zones of ISO 20816, indicators, characteristic frequencies."""

import numpy as np
import pytest

from service.contract.bearing import CATALOGUE
from service.contract.faults import Fault
from simulator import iso20816, spectrum, twin
from simulator.population import population

FS_HZ = 12_800.0


def test_velocity_rms_of_a_pure_tone_is_its_closed_form() -> None:
    t = np.arange(8192) / FS_HZ
    tone = 2.0 * np.sin(2 * np.pi * 49.3 * t)
    assert iso20816.velocity_rms_mm_s(tone, FS_HZ) == pytest.approx(
        1000 * 2.0 / (2 * np.pi * 49.3) / np.sqrt(2), rel=0.01
    )


def test_velocity_ignores_what_lies_outside_10_to_1000_hz() -> None:
    t = np.arange(16_384) / FS_HZ
    assert iso20816.velocity_rms_mm_s(np.sin(2 * np.pi * 3.0 * t), FS_HZ) < 0.5
    assert iso20816.velocity_rms_mm_s(10.0 * np.sin(2 * np.pi * 2500.0 * t), FS_HZ) < 0.01


@pytest.mark.parametrize(
    ("velocity", "power_w", "zone"),
    [(0.5, 4e3, "A"), (1.0, 4e3, "B"), (3.0, 4e3, "C"), (5.0, 4e3, "D"), (1.0, 37e3, "A"), (5.0, 37e3, "C")],
)
def test_zones_follow_power_class_and_velocity(velocity: float, power_w: float, zone: str) -> None:
    assert iso20816.zone(velocity, power_w) == zone


def test_healthy_motors_run_in_zone_a_or_b() -> None:
    rng = np.random.default_rng(0)
    machines = population(rng, 200)
    severity = np.zeros((200, len(Fault)))
    state = twin.operate(machines, severity, np.full(200, 0.8))
    accel = twin.vibrate(machines, twin.path(machines, 4096), severity, state, rng)
    zones = [
        iso20816.zone(iso20816.velocity_rms_mm_s(window, float(fs_hz)), float(power_w))
        for window, fs_hz, power_w in zip(accel, machines.sensors.fs_hz, machines.rating.power_w, strict=True)
    ]
    assert sum(zone in ("A", "B") for zone in zones) >= 196
    assert zones.count("A") > 100


def test_indicators_of_known_signals() -> None:
    rng = np.random.default_rng(1)
    noise = spectrum.indicators(rng.standard_normal(100_000))
    assert noise.kurtosis == pytest.approx(3.0, abs=0.1)
    assert noise.rms_m_s2 == pytest.approx(1.0, rel=0.02)
    assert noise.flatness == pytest.approx(0.56, abs=0.03)  # exp(-gamma), the periodogram of white noise
    sine = spectrum.indicators(np.sin(2 * np.pi * np.arange(10_000) / 100))
    assert sine.kurtosis == pytest.approx(1.5, abs=0.01)
    assert sine.crest == pytest.approx(np.sqrt(2), rel=0.01)


def test_the_envelope_spectrum_finds_the_rate_of_bursts() -> None:
    t = np.arange(16_384) / FS_HZ
    bursts = np.sin(2 * np.pi * 3000 * t) * (1.0 + np.cos(2 * np.pi * 87.0 * t))
    found = spectrum.envelope_spectrum(bursts, FS_HZ)
    assert found.f_hz[found.amplitude.argmax()] == pytest.approx(87.0, abs=1.0)


def test_characteristic_frequencies_of_a_6205_at_1797_are_the_published_ones() -> None:
    at = spectrum.characteristic_hz(CATALOGUE["6205"], 1797.0)
    shaft = 1797.0 / 60.0
    assert at["BPFI"] == pytest.approx(5.4152 * shaft, rel=1e-4)
    assert at["BPFO"] == pytest.approx(3.5848 * shaft, rel=1e-4)
    assert at["2xBSF"] == pytest.approx(4.7135 * shaft, rel=1e-4)
    assert at["FTF"] == pytest.approx(0.39828 * shaft, rel=1e-4)
