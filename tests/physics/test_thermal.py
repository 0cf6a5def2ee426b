"""The thermal network against its closed form, an independent integration and the first law."""

import numpy as np
import pytest

from simulator import catalogue
from simulator.circuit import Circuit
from simulator.parameter import draw, nominal
from simulator.population import population
from simulator.thermal import REFERENCE_AMBIENT_C, Body, Temperatures, Thermal

COUNT = 24


def _network() -> tuple[Thermal, Body, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    rating = catalogue.rating(rng.uniform(600.0, 70e3, COUNT), np.full(COUNT, 4.0), np.full(COUNT, 50.0))
    rated = Circuit.of(rating).operate(1.0)
    body = draw(Body, rng, COUNT)
    winding_w, housing_w = rated.stator_copper_w, rated.loss_w - rated.stator_copper_w
    return Thermal.of(body, rating.power_w, winding_w, housing_w), body, winding_w, housing_w


def test_the_steady_rises_at_rated_load_are_the_plates() -> None:
    thermal, body, winding_w, housing_w = _network()
    steady = thermal.steady(winding_w, housing_w, REFERENCE_AMBIENT_C)
    np.testing.assert_allclose(steady.winding_c - REFERENCE_AMBIENT_C, body.winding_rise_k, rtol=1e-9)
    np.testing.assert_allclose(
        steady.housing_c - REFERENCE_AMBIENT_C, body.winding_rise_k * body.housing_share, rtol=1e-9
    )


def test_a_long_run_ends_at_the_closed_form() -> None:
    thermal, _, winding_w, housing_w = _network()
    for cooling in (1.0, 0.35):
        steady = thermal.steady(winding_w, housing_w, 30.0, cooling)
        late = thermal.step(
            Temperatures(np.full(COUNT, 5.0), np.full(COUNT, 5.0)), 1e6, winding_w, housing_w, 30.0, cooling
        )
        np.testing.assert_allclose(late, steady, rtol=1e-9)


def test_one_exact_step_equals_many_small_euler_steps() -> None:
    thermal, _, winding_w, housing_w = _network()
    start = Temperatures(np.full(COUNT, 60.0), np.full(COUNT, 20.0))
    exact = thermal.step(start, 900.0, winding_w, housing_w, 25.0, 0.6)
    w, h, dt = start.winding_c.copy(), start.housing_c.copy(), 0.05
    for _ in range(round(900.0 / dt)):
        p = thermal.copper_w(winding_w, w, 0.6)
        to_housing = thermal.G_wh * (w - h)
        w = w + dt * (p - to_housing) / thermal.C_w
        h = h + dt * (housing_w + to_housing - 0.6 * thermal.G_ha * (h - 25.0)) / thermal.C_h
    np.testing.assert_allclose(exact.winding_c, w, rtol=1e-4)
    np.testing.assert_allclose(exact.housing_c, h, rtol=1e-4)


def test_the_bearing_lags_behind_the_housing_and_ends_above_it() -> None:
    body = nominal(Body, 1)
    start, housing = np.array([25.0]), (np.array([25.0]), np.array([60.0]))
    exact = Thermal.bearing_step(body, start, 1200.0, housing, np.array([0.5]))
    at, dt = 25.0, 0.05
    for step in range(round(1200.0 / dt)):
        housing_c = 25.0 + 35.0 * (step + 0.5) * dt / 1200.0
        at += dt * (housing_c + 0.5 * 15.0 - at) / 900.0
    assert exact[0] == pytest.approx(at, rel=1e-4)
    settled = Thermal.bearing_step(body, start, 1e5, (housing[1], housing[1]), np.array([1.0]))
    assert settled[0] == pytest.approx(60.0 + 15.0)


def test_heat_in_less_heat_out_is_heat_stored() -> None:
    thermal, _, winding_w, housing_w = _network()
    state = Temperatures(np.full(COUNT, 25.0), np.full(COUNT, 25.0))
    stored_before = thermal.stored_j(state)
    balance, dt = np.zeros(COUNT), 2.0
    for _ in range(1800):
        after = thermal.step(state, dt, winding_w, housing_w, 25.0)
        middle = 0.5 * (state.winding_c + after.winding_c), 0.5 * (state.housing_c + after.housing_c)
        heat_in = thermal.copper_w(winding_w, middle[0]) + housing_w
        balance += dt * (heat_in - thermal.G_ha * (middle[1] - 25.0))
        state = after
    np.testing.assert_allclose(thermal.stored_j(state) - stored_before, balance, rtol=0.01)


def test_the_time_constant_is_the_slope_of_the_last_decay() -> None:
    thermal, _, winding_w, housing_w = _network()
    tau = thermal.tau_s(winding_w)
    steady = thermal.steady(winding_w, housing_w, 25.0)
    late = thermal.step(Temperatures(np.full(COUNT, 25.0), np.full(COUNT, 25.0)), 4.0 * tau, winding_w, housing_w, 25.0)
    later = thermal.step(late, tau, winding_w, housing_w, 25.0)
    ratio = (steady.housing_c - later.housing_c) / (steady.housing_c - late.housing_c)
    np.testing.assert_allclose(ratio, np.exp(-1.0), rtol=0.02)


def test_less_cooling_is_always_hotter() -> None:
    thermal, _, winding_w, housing_w = _network()
    courses = [thermal.steady(winding_w, housing_w, 25.0, c).housing_c for c in (1.0, 0.8, 0.6, 0.4, 0.3)]
    assert (np.diff(courses, axis=0) > 0).all()


def test_time_constants_of_the_population_are_those_of_real_motors() -> None:
    tau_min = population(np.random.default_rng(0), 400).thermal_tau_s / 60.0
    assert tau_min.min() > 8.0
    assert tau_min.max() < 120.0
    assert np.median(tau_min) == pytest.approx(30.0, rel=0.4)
