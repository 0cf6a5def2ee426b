"""Unsymmetrical supplies, starting and currents in time: closed forms, known rules, lines where theory puts them."""

import numpy as np
import pytest

from simulator import catalogue
from simulator.circuit import Circuit
from simulator.electrical import (
    Supply,
    course,
    operate,
    phase_currents,
    side_band_ratio,
    starting_torque_n_m,
)
from simulator.parameter import OutOfRangeError

RATING = catalogue.named("7.5kW-4p-50Hz")
CIRCUIT = Circuit.of(RATING)
RATED_N_M = float(RATING.torque_n_m)
INERTIA = 0.08


def test_a_symmetrical_supply_gives_what_the_plain_circuit_gives() -> None:
    plain, here = CIRCUIT.operate(0.8), operate(CIRCUIT, 0.8, Supply())
    assert here.slip == pytest.approx(float(plain.slip), rel=1e-3)
    np.testing.assert_allclose(np.abs(here.line_a), float(plain.current_a), rtol=2e-3)
    assert abs(here.line_a.sum()) < 1e-9
    assert here.ripple_n_m == 0.0


def test_current_unbalance_is_several_times_the_voltage_unbalance() -> None:
    # NEMA MG 1, 14.36: about 6 to 10 times at rated load.
    here = operate(CIRCUIT, 1.0, Supply(negative=0.02))
    a = np.exp(2j * np.pi / 3)
    positive = abs(here.line_a @ [1, a, a * a]) / 3
    negative = abs(here.line_a @ [1, a * a, a]) / 3
    assert 5.0 < negative / positive / 0.02 < 11.0
    assert here.copper_w > operate(CIRCUIT, 1.0, Supply()).copper_w
    assert here.ripple_n_m > 0.0


def test_with_a_lost_phase_two_lines_carry_more_and_the_third_nothing() -> None:
    here, sound = operate(CIRCUIT, 0.5, Supply(lost_phase=True)), operate(CIRCUIT, 0.5, Supply())
    assert abs(here.line_a[0]) < 1e-9
    assert abs(here.line_a[1]) == pytest.approx(abs(here.line_a[2]))
    assert abs(here.line_a[1]) > 1.6 * abs(sound.line_a[1])
    assert here.slip > sound.slip


def test_with_a_lost_phase_a_motor_turns_on_but_does_not_start() -> None:
    assert starting_torque_n_m(CIRCUIT, Supply(lost_phase=True)) == pytest.approx(0.0, abs=1e-6 * RATED_N_M)
    assert starting_torque_n_m(CIRCUIT, Supply()) > RATED_N_M
    stuck = course(CIRCUIT, INERTIA, lambda _, __: 5.0, seconds=0.5, supply=Supply(lost_phase=True))
    assert stuck.speed_rpm.max() == 0.0


@pytest.mark.parametrize("supply", [Supply(positive=0.0), Supply(negative=1.0), Supply(positive=3.0)])
def test_an_impossible_supply_is_refused_by_name(supply: Supply) -> None:
    with pytest.raises(OutOfRangeError, match=r"Supply: positive="):
        operate(CIRCUIT, 0.5, supply)


def test_a_load_beyond_the_torque_left_stalls() -> None:
    with pytest.raises(OutOfRangeError, match=r"load=2\.5: exceeds what this supply can turn"):
        operate(CIRCUIT, 2.5, Supply(lost_phase=True))


def test_a_start_draws_several_times_rated_current_and_ends_at_the_steady_speed() -> None:
    run = course(CIRCUIT, INERTIA, lambda _, rpm: RATED_N_M * (rpm / 1450.0) ** 2, seconds=3.0)
    steady = CIRCUIT.operate(1.0)
    assert 4.0 < run.current_a[0] / float(RATING.current_a) < 11.0
    assert run.speed_rpm[-1] == pytest.approx(float(steady.speed_rpm), rel=5e-3)
    assert run.current_a[-1] == pytest.approx(float(steady.current_a), rel=2e-2)
    assert run.torque_n_m.max() == pytest.approx(float(RATING.breakdown_ratio) * RATED_N_M, rel=0.06)


def test_energy_of_a_start_goes_into_the_inertia() -> None:
    run = course(CIRCUIT, INERTIA, lambda _, __: 0.0, seconds=2.0)
    omega = run.speed_rpm * 2 * np.pi / 60
    net = (run.torque_n_m - float(CIRCUIT.friction_n_m)) * omega
    work = float(np.sum(0.5 * (net[1:] + net[:-1]) * np.diff(run.t_s)))
    assert work == pytest.approx(0.5 * INERTIA * omega[-1] ** 2, rel=0.01)


def test_twice_the_inertia_takes_twice_as_long() -> None:
    def until(inertia: float) -> float:
        run = course(CIRCUIT, inertia, lambda _, __: 0.0, seconds=4.0)
        return float(run.t_s[np.argmax(run.speed_rpm > 1400)])

    assert until(2 * INERTIA) == pytest.approx(2 * until(INERTIA), rel=0.02)


def test_a_load_step_slows_the_motor_to_its_new_slip() -> None:
    run = course(
        CIRCUIT,
        INERTIA,
        lambda t, _: RATED_N_M * (0.3 if t < 0.5 else 1.0),
        seconds=1.5,
        speed_rpm=float(CIRCUIT.operate(0.3).speed_rpm),
    )
    assert run.speed_rpm[400] == pytest.approx(float(CIRCUIT.operate(0.3).speed_rpm), rel=1e-3)
    assert run.speed_rpm[-1] == pytest.approx(float(CIRCUIT.operate(1.0).speed_rpm), rel=1e-3)


def test_a_drives_ramp_is_followed_with_little_current() -> None:
    run = course(
        CIRCUIT, INERTIA, lambda _, __: 0.2 * RATED_N_M, seconds=6.0, frequency=lambda t: min(0.1 + t / 4.0, 1.0)
    )
    assert run.speed_rpm[-1] > 1400
    assert run.current_a[1000:].max() < 2.5 * float(RATING.current_a)


def _line(wave: np.ndarray, fs_hz: float, at_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(wave.size))) * 4.0 / wave.size
    return float(spectrum[round(at_hz * wave.size / fs_hz)])


def test_broken_bars_show_as_side_bands_two_slips_around_the_line() -> None:
    here = operate(CIRCUIT, 1.0, Supply())
    sound, broken = (phase_currents(CIRCUIT, here, 1000.0, 60_000, broken_bars=n)[0] for n in (0, 2))
    height = np.sqrt(2.0) * abs(here.line_a[0])
    for sign in (-1.0, 1.0):
        at_hz = 50.0 * (1.0 + sign * 2.0 * here.slip)
        assert _line(broken, 1000.0, at_hz) > 20.0 * _line(sound, 1000.0, at_hz)
    lower = _line(broken, 1000.0, 50.0 * (1.0 - 2.0 * here.slip))
    assert lower / height == pytest.approx(side_band_ratio(2, 28, 2.0), rel=0.2)


def test_side_bands_grow_with_the_broken_bars_and_too_many_are_refused() -> None:
    ratios = [side_band_ratio(n, 28, 2.0) for n in range(4)]
    assert ratios[0] == 0.0
    assert all(np.diff(ratios) > 0.0)
    # One bar of 28 in a four-pole motor: about -36 dB, as surveys report -35 to -45 dB.
    assert -45.0 < 20.0 * np.log10(ratios[1]) < -30.0
    with pytest.raises(OutOfRangeError, match=r"broken_bars=15: must lie within 0\.\.half of bars=28"):
        side_band_ratio(15, 28, 2.0)


def test_a_drive_adds_the_harmonics_of_six_pulses_and_no_third() -> None:
    here = operate(CIRCUIT, 1.0, Supply())
    wave = phase_currents(CIRCUIT, here, 10_000.0, 20_000, drive=True)[0]
    fundamental = _line(wave, 10_000.0, 50.0)
    assert _line(wave, 10_000.0, 250.0) / fundamental == pytest.approx(0.035, rel=0.05)
    assert _line(wave, 10_000.0, 150.0) / fundamental < 1e-3
