"""Spectra show lines and impacts where the kinematics put them, and nothing at severity 0."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from service.contract.bearing import CATALOGUE
from service.contract.faults import BEARING_FAULTS, Fault
from simulator import catalogue, iso20816, twin
from simulator.bearing import Contact
from simulator.parameter import OutOfRangeError, nominal, parameters
from simulator.population import Machines, built, population
from simulator.vibration import Background, Lines, Residue, tones

FAULTS = tuple(Fault)
FS_HZ = 12_800.0
SAMPLES = 16_384


def _silent(fs_hz: float = FS_HZ, *, slip: bool = False) -> Machines:
    """One machine that makes no sound of its own, so that a fault is all there is to hear."""
    machines = built(np.random.default_rng(3), [catalogue.named("4kW-4p-50Hz")], [CATALOGUE["6205"]], np.array([fs_hz]))
    steady = {} if slip else {"mean_slip": 0.0, "jitter": 0.0}
    quiet = {name: 1e-6 for name, about in parameters(Residue) if about.unit in ("mm/s", "m/s^2")}
    return replace(
        machines,
        background=nominal(Background, 1, rms_m_s2=1e-4, shaft_modulation=0.0, knocks_per_s=0.0),
        residue=nominal(Residue, 1, **quiet),
        contact=nominal(Contact, 1, **steady),
    )


def _window(machines: Machines, fault: Fault | None, severity: float, samples: int = SAMPLES) -> NDArray[np.float32]:
    levels = np.zeros((1, len(FAULTS)))
    if fault is not None:
        levels[0, FAULTS.index(fault)] = severity
    state = twin.operate(machines, levels, np.array([0.8]))
    return twin.vibrate(machines, twin.path(machines, samples), levels, state, np.random.default_rng(9))[0]


def _shaft_hz(machines: Machines) -> float:
    return float(twin.operate(machines, np.zeros((1, len(FAULTS))), np.array([0.8])).operation.speed_rpm[0] / 60.0)


def _peaks_hz(x: NDArray[np.float32], share: float) -> NDArray[np.float64]:
    """Frequencies of the local maxima above a share of the highest."""
    amplitude = np.abs(np.fft.rfft((x - x.mean()) * np.hanning(x.size)))
    inner = amplitude[1:-1]
    is_peak = (inner > amplitude[:-2]) & (inner >= amplitude[2:]) & (inner > share * amplitude.max())
    return (1 + np.flatnonzero(is_peak)) * FS_HZ / x.size


@pytest.mark.parametrize(
    ("fault", "orders"),
    [
        (Fault.IMBALANCE, [1.0]),
        (Fault.MISALIGNMENT, [1.0, 2.0, 3.0, 4.0]),
        (Fault.BENT_SHAFT, [1.0, 2.0, 3.0]),
    ],
)
def test_rotor_faults_show_lines_at_their_orders_and_nowhere_else(fault: Fault, orders: list[float]) -> None:
    machines = _silent()
    found = _peaks_hz(_window(machines, fault, 0.8), 0.02) / _shaft_hz(machines)
    assert max(min(abs(found - order)) for order in orders) < 0.05
    allowed = np.array([1.0, 2.0, 3.0, 4.0])
    assert all(min(abs(allowed - order)) < 0.05 for order in found)


def test_broken_bars_show_pole_pass_side_bands_around_shaft_speed_and_slip_more() -> None:
    machines = _silent()
    samples = 131_072
    x = _window(machines, Fault.ROTOR_BAR, 0.8, samples)
    severity = np.eye(1, len(FAULTS), FAULTS.index(Fault.ROTOR_BAR)) * 0.8
    broken = twin.operate(machines, severity, np.array([0.8])).operation
    whole = twin.operate(machines, severity * 0.0, np.array([0.8])).operation
    assert broken.slip[0] == pytest.approx(whole.slip[0] / (1.0 - 0.8 * machines.effects[Fault.ROTOR_BAR].broken_share))
    assert broken.rotor_copper_w[0] > whole.rotor_copper_w[0]
    shaft_hz, pass_hz = broken.speed_rpm[0] / 60.0, 2.0 * broken.slip[0] * 50.0
    # The air gap's power splits s to 1 - s, whatever the cage's resistance.
    assert broken.rotor_copper_w[0] / (broken.shaft_w[0] + broken.friction_w[0] + broken.rotor_copper_w[0]) == (
        pytest.approx(broken.slip[0])
    )
    velocity = np.abs(np.fft.rfft(x * np.hanning(samples)))
    f_hz = np.fft.rfftfreq(samples, 1.0 / FS_HZ)
    for harmonic in (1.0, 2.0):
        for passes in (-2.0, -1.0, 0.0, 1.0, 2.0):
            at = abs(f_hz - harmonic * shaft_hz - passes * pass_hz)
            between = (at > 0.3 * pass_hz) & (at < 0.7 * pass_hz)
            assert velocity[at < 0.15].max() > 20.0 * velocity[between].max()


def test_a_bent_shaft_shows_more_along_the_shaft_and_an_imbalance_less() -> None:
    machines = _silent()
    for fault, stronger in ((Fault.BENT_SHAFT, True), (Fault.MISALIGNMENT, True), (Fault.IMBALANCE, False)):
        severity = np.eye(1, len(FAULTS), FAULTS.index(fault))
        state = twin.operate(machines, severity, np.array([0.8]))
        across, along = (
            twin.vibrate(
                machines,
                twin.path(machines, SAMPLES),
                severity,
                state,
                np.random.default_rng(9),
                axial=np.array([axial]),
            ).std()
            for axial in (False, True)
        )
        assert bool(along > across) is stronger, fault


def test_a_bow_follows_speed_and_an_imbalance_its_square() -> None:
    machines = _silent()
    for fault, exponent in ((Fault.BENT_SHAFT, 1.0), (Fault.IMBALANCE, 2.0)):
        severity = np.eye(1, len(FAULTS), FAULTS.index(fault))
        velocities, speeds = [], []
        for frequency in (0.6, 1.0):
            state = twin.operate(machines, severity, np.array([0.5]), frequency)
            x = twin.vibrate(machines, twin.path(machines, SAMPLES), severity, state, np.random.default_rng(9))[0]
            velocities.append(iso20816.velocity_rms_mm_s(x, FS_HZ))
            speeds.append(state.operation.speed_rpm[0])
        grown = np.log(velocities[1] / velocities[0]) / np.log(speeds[1] / speeds[0])
        assert grown == pytest.approx(exponent, abs=0.05)


def test_a_soft_foot_shakes_at_twice_the_line_frequency_whatever_the_load() -> None:
    machines = _silent()
    found = _peaks_hz(_window(machines, Fault.SOFT_FOOT, 0.8), 0.5)
    assert found == pytest.approx([100.0], abs=0.5)


def test_looseness_shows_a_row_of_harmonics() -> None:
    machines = _silent()
    found = _peaks_hz(_window(machines, Fault.LOOSENESS, 0.8), 0.01) / _shaft_hz(machines)
    assert all(min(abs(found - k)) < 0.05 for k in range(1, 7))


@pytest.mark.parametrize(
    ("fault", "order"),
    [(Fault.INNER_RACE, 5.4152), (Fault.OUTER_RACE, 3.5848), (Fault.BALL, 4.7135)],
)
def test_the_envelope_of_a_race_or_ball_defect_leads_at_its_published_order(fault: Fault, order: float) -> None:
    # Orders of the 6205 as Case Western publishes them (BSF twice, since both races are struck).
    machines = _silent(slip=True)
    x = _window(machines, fault, 0.8).astype(np.float64)
    spectrum = np.fft.fft(x - x.mean())
    spectrum[1 : x.size // 2] *= 2.0
    spectrum[x.size // 2 + 1 :] = 0.0
    envelope = np.abs(np.fft.ifft(spectrum)) ** 2
    amplitude = np.abs(np.fft.rfft((envelope - envelope.mean()) * np.hanning(x.size)))
    f_order = np.arange(amplitude.size) * FS_HZ / x.size / _shaft_hz(machines)
    near = amplitude[abs(f_order - order) < 0.03 * order].max()
    elsewhere = amplitude[(f_order > 0.2) & (f_order < 1.5 * order)]
    assert near > 4.0 * np.median(elsewhere)
    tolerated = {order, order - 1.0, order + 1.0, 1.0, 2.0, 0.3983, 0.5 * order, order - 0.3983, order + 0.3983}
    leading = float(f_order[(f_order > 0.2) & (f_order < 1.5 * order)][elsewhere.argmax()])
    assert min(abs(leading - t) for t in tolerated) < 0.15


@pytest.mark.parametrize("fault", FAULTS)
def test_severity_zero_adds_nothing(fault: Fault) -> None:
    machines = _silent()
    np.testing.assert_array_equal(_window(machines, fault, 0.0), _window(machines, None, 0.0))


@pytest.mark.parametrize("fault", [f for f in FAULTS if f not in (Fault.COOLING, Fault.OVERLOAD)])
def test_vibration_grows_with_severity(fault: Fault) -> None:
    machines = _silent()
    levels = [float(np.std(_window(machines, fault, s))) for s in (0.1, 0.25, 0.5, 0.75, 1.0)]
    assert all(b > a for a, b in pairwise(levels)), levels


def test_rotor_faults_reach_zone_d_at_failure_and_are_barely_visible_at_a_sixth() -> None:
    machines = _silent()
    for fault in (Fault.IMBALANCE, Fault.MISALIGNMENT, Fault.LOOSENESS, Fault.BENT_SHAFT, Fault.SOFT_FOOT):
        failed = iso20816.velocity_rms_mm_s(_window(machines, fault, 1.0), FS_HZ)
        early = iso20816.velocity_rms_mm_s(_window(machines, fault, 0.16), FS_HZ)
        assert iso20816.zone(failed, 4000.0) == "D", fault
        assert iso20816.zone(early, 4000.0) in ("B", "A"), fault


@pytest.mark.parametrize("fault", [f for f in BEARING_FAULTS if f is not Fault.CAGE])
def test_a_failed_bearing_stands_clearly_above_healthy_noise(fault: Fault) -> None:
    rng = np.random.default_rng(8)
    machines = population(rng, 64)
    levels = np.zeros((64, len(FAULTS)))
    healthy = twin.operate(machines, levels, np.full(64, 0.8))
    via = twin.path(machines, 4096)
    quiet = twin.vibrate(machines, via, levels, healthy, np.random.default_rng(1))
    levels[:, FAULTS.index(fault)] = 1.0
    loud = twin.vibrate(machines, via, levels, healthy, np.random.default_rng(1))
    ratio = np.abs(loud).max(axis=1) / quiet.std(axis=1)
    assert np.quantile(ratio, 0.1) > 8.0


def test_a_tone_has_the_velocity_it_was_given() -> None:
    lines = Lines.from_velocity(np.array([[25.0, 160.0]]), np.array([[3.0, 4.0]]))
    x = tones(lines, np.array([FS_HZ]), SAMPLES, np.array([[0.1, 0.6]]))[0]
    assert iso20816.velocity_rms_mm_s(x, FS_HZ) == pytest.approx(5.0, rel=0.01)


def test_tones_equal_the_cosines_they_stand_for() -> None:
    lines = Lines(np.array([[24.7, 3011.3, 9000.0]]), np.array([[1.0, 0.3, 5.0]]))
    x = tones(lines, np.array([FS_HZ]), 4096, np.array([[0.2, 0.7, 0.0]]))[0]
    t = np.arange(4096) / FS_HZ
    # 9 kHz lies above half the rate and must be left out, as an anti-alias filter would.
    expected = np.cos(2 * np.pi * (24.7 * t + 0.2)) + 0.3 * np.cos(2 * np.pi * (3011.3 * t + 0.7))
    np.testing.assert_allclose(x, expected, atol=2e-5)


def test_noise_has_the_level_it_was_given() -> None:
    machines = population(np.random.default_rng(2), 40)
    via = twin.path(machines, 8192)
    x = via.shake(np.arange(40), np.full(40, 0.7), [], np.random.default_rng(3))
    np.testing.assert_allclose(x.std(axis=1), 0.7, rtol=0.25)
    assert x.std() == pytest.approx(0.7, rel=0.03)


def test_a_sampling_rate_below_twice_the_resonance_is_refused_by_name() -> None:
    machines = _silent()
    machines.structure.mode_hz[0, 0], machines.structure.gain[0, 0] = 7000.0, 1.0
    with pytest.raises(OutOfRangeError, match=r"fs_hz=12800: must be above twice the structure's mode_hz=7000"):
        twin.path(machines, SAMPLES)
