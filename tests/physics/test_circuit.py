"""The induction motor against its plate, its own energy balance and the closed form of its breakdown torque."""

import numpy as np
import pytest

from simulator import catalogue
from simulator.circuit import Circuit, Rating
from simulator.parameter import OutOfRangeError


def _population() -> Rating:
    power, poles, supply = np.meshgrid(catalogue.POWERS_KW * 1000.0, catalogue.POLES, (50.0, 60.0))
    return catalogue.rating(power.ravel(), poles.ravel(), supply.ravel())


def test_at_rated_load_speed_current_and_efficiency_are_the_plates() -> None:
    rating = _population()
    at = Circuit.of(rating).operate(1.0)
    np.testing.assert_allclose(at.speed_rpm, rating.speed_rpm, rtol=1e-9)
    np.testing.assert_allclose(at.current_a, rating.current_a, rtol=1e-9)
    np.testing.assert_allclose(at.shaft_w / at.input_w, rating.efficiency, rtol=1e-9)
    np.testing.assert_allclose(at.power_factor, rating.power_factor, rtol=1e-9)


@pytest.mark.parametrize("load", [0.0, 0.3, 1.0, 1.5])
@pytest.mark.parametrize("frequency", [0.5, 1.0, 1.1])
def test_input_power_is_shaft_power_plus_losses(load: float, frequency: float) -> None:
    at = Circuit.of(_population()).operate(load, frequency=frequency)
    np.testing.assert_allclose(at.input_w, at.shaft_w + at.loss_w, rtol=1e-9)
    assert (at.stator_copper_w > 0).all()
    assert (at.rotor_copper_w > 0).all()


def test_the_torque_curve_peaks_at_the_stated_breakdown_ratio() -> None:
    rating = _population()
    circuit = Circuit.of(rating)
    slips = np.linspace(1e-4, 1.0, 20_000)[:, None]
    peak = circuit.torque_n_m(slips).max(axis=0)
    rated = rating.torque_n_m + circuit.friction_n_m
    np.testing.assert_allclose(peak / rated, rating.breakdown_ratio, rtol=2e-3)


def test_operation_lies_on_the_torque_curve() -> None:
    circuit = Circuit.of(_population())
    for load in (0.2, 0.8, 1.4):
        at = circuit.operate(load)
        np.testing.assert_allclose(circuit.torque_n_m(at.slip), at.torque_n_m + circuit.friction_n_m, rtol=1e-9)


def test_a_published_equivalent_circuit_gives_its_published_torque() -> None:
    # Chapman, Electric Machinery Fundamentals, 5th ed., example 6-5: 460 V, 60 Hz, 4 poles, R1 0.641, R2 0.332,
    # X1 1.106, X2 0.464, XM 26.3 ohm; pull-out slip 0.198 and torque 229 N m. Thevenin values as published there.
    v_th, r_th, x_th = 255.2, 0.590, 1.106
    circuit = Circuit(
        R1=np.array(r_th),
        R2=np.array(0.332),
        X=np.array(x_th + 0.464),
        X_m=np.array(26.3),
        R_fe=np.array(1e9),
        friction_n_m=np.array(0.0),
        rated_torque_n_m=np.array(100.0),
        phase_v=np.array(v_th),
        supply_hz=np.array(60.0),
        pole_pairs=np.array(2.0),
    )
    slips = np.linspace(0.01, 1.0, 9901)
    torque = circuit.torque_n_m(slips)
    assert torque.max() == pytest.approx(229.0, rel=0.005)
    assert slips[torque.argmax()] == pytest.approx(0.198, abs=0.005)
    assert torque[-1] == pytest.approx(104.0, rel=0.01)  # starting torque, same example


def test_a_load_beyond_breakdown_is_refused_by_name() -> None:
    with pytest.raises(OutOfRangeError, match=r"load=3.5: exceeds the breakdown torque"):
        Circuit.of(catalogue.named("1.5kW-4p-50Hz")).operate(3.5)


@pytest.mark.parametrize(
    ("field", "value"),
    [("power_w", -1.0), ("speed_rpm", 1500.0), ("speed_rpm", 900.0), ("efficiency", 1.2), ("power_factor", 0.1)],
)
def test_an_impossible_plate_is_refused_with_field_and_range(field: str, value: float) -> None:
    with pytest.raises(OutOfRangeError, match=rf"Rating\.{field}=.*must lie within") as caught:
        Rating(**{field: np.array(value)})
    assert "\n" not in str(caught.value)


def test_a_plate_whose_slip_costs_more_than_its_losses_is_refused() -> None:
    rating = Rating(speed_rpm=np.array(1260.0), efficiency=np.array(0.9))
    with pytest.raises(OutOfRangeError, match="efficiency"):
        Circuit.of(rating)
