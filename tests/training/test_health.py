"""The filter on an oracle ladder: closed form, an independent numpy filter, statistics, and long abuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.optimize import brentq
from scipy.stats import chi2

from service.contract.signals import NAMEPLATE, OPERATING
from training.drive import Drive
from training.evaluate.oracle import Oracle
from training.health import Health
from training.tuning import INITIAL_SD, INITIAL_STATE, Tuning

if TYPE_CHECKING:
    from training.thermal import Inputs

pytestmark = pytest.mark.training

NAN = float("nan")
PLATE = np.array([1450.0, 3.5, 80.0, 40.0, 2400.0, 0.4, 2.36, 3.58, 5.42], dtype=np.float32)
ALL_SEEN = {"load": 0.8, "current_a": 3.0, "winding_c": 75.0, "housing_c": 50.0, "ambient_c": 25.0, "speed_rpm": 1460.0}


class Step(NamedTuple):
    """What one step answers."""

    x: np.ndarray
    P: np.ndarray
    health: np.ndarray
    rul_h: np.ndarray
    low_h: np.ndarray
    high_h: np.ndarray
    q25_h: np.ndarray
    q75_h: np.ndarray
    innovation: np.ndarray
    normalised: np.ndarray
    nis: np.ndarray


def row(values: dict[str, float]) -> np.ndarray:
    return np.array([values.get(name, NAN) for name in OPERATING], dtype=np.float32)


def stepped(
    module: Health, x: np.ndarray, P: np.ndarray, operating: np.ndarray, severity: float | np.ndarray, dt_s: float
) -> Step:
    count = len(x)
    feeds = (
        x,
        P,
        np.broadcast_to(operating, (count, len(OPERATING))).astype(np.float32),
        np.broadcast_to(PLATE, (count, len(NAMEPLATE))).astype(np.float32),
        np.broadcast_to(np.asarray(severity, dtype=np.float64), (count,)).copy(),
        np.full(count, dt_s),
    )
    with torch.no_grad():
        return Step(*(out.numpy() for out in module(*(torch.from_numpy(np.ascontiguousarray(f)) for f in feeds))))


def initial(count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    return np.tile(np.array(INITIAL_STATE), (count, 1)), np.tile(np.diag(np.square(INITIAL_SD)), (count, 1, 1))


def inputs(load: float = 0.8) -> Inputs:
    table = torch.from_numpy(row({**ALL_SEEN, "load": load}))[None]
    nothing = torch.tensor([NAN], dtype=torch.float64)
    return Drive(Tuning())(table, torch.from_numpy(PLATE)[None], nothing, nothing).inputs


def unmeasured() -> np.ndarray:
    """What drives a prediction, and no measurement that would correct it."""
    return row({name: value for name, value in ALL_SEEN.items() if name not in ("winding_c", "housing_c")})


@pytest.mark.parametrize("dt_s", [0.5, 60.0, 1800.0, 7200.0, 86_400.0])
def test_temperatures_follow_the_matrix_exponential(dt_s: float) -> None:
    u = inputs()
    x = np.array([90.0, 45.0, 0.3, -1.0, 0.01])
    share = Tuning().winding_share
    q, p = u.losses.item(), u.copper.item()
    capacity = 2400.0 / (share * 80.0 + (1.0 - share) * 40.0)
    C_w, C_h, G, G_a = share * capacity, (1.0 - share) * capacity, 1.0 / 40.0, np.exp(-0.3) / 40.0
    A = np.array([[-G / C_w, G / C_w], [G / C_h, -(G + G_a) / C_h]])
    end = np.array([25.0 + q / G_a + p / G, 25.0 + q / G_a])
    wanted = end + expm(A * dt_s) @ (x[:2] - end)
    got = stepped(Health(), x[None], initial()[1], unmeasured(), NAN, dt_s)
    assert got.x[0, :2] == pytest.approx(wanted, abs=1e-9)
    assert got.x[0, 3] == pytest.approx(-1.0 + 0.01 * dt_s / 3600.0, abs=1e-12)


@pytest.mark.parametrize("dt_s", [1.0, 60.0, 3600.0, 604_800.0])
@pytest.mark.parametrize("cooling", [-1.0, 0.0, 1.5])
def test_a_covariance_is_carried_by_the_derivative_of_the_state(dt_s: float, cooling: float) -> None:
    module, seconds = Health(), torch.tensor([dt_s], dtype=torch.float64)
    x = torch.tensor([[70.0, 48.0, cooling, -2.0, 0.001]], dtype=torch.float64)
    table, plate = torch.from_numpy(unmeasured())[None], torch.from_numpy(PLATE)[None]
    unseen = torch.tensor([NAN], dtype=torch.float64)
    start = torch.diag(torch.tensor([4.0, 3.0, 0.01, 0.1, 1e-8], dtype=torch.float64))[None]
    F = torch.autograd.functional.jacobian(lambda v: module(v, start, table, plate, unseen, seconds)[0], x)
    assert isinstance(F, torch.Tensor)
    F = F[0, :, 0]
    before = module(x, start, table, plate, unseen, seconds)[1][0]
    for block in (slice(0, 3), slice(3, 5)):
        for i in range(block.start, block.stop):
            for j in range(block.start, i + 1):
                direction = torch.zeros((1, 5), dtype=torch.float64)
                direction[0, i] += 0.01 * start[0, i, i].sqrt()
                direction[0, j] += 0.01 * start[0, j, j].sqrt()
                more = direction.T @ direction
                after = module(x, start + more, table, plate, unseen, seconds)[1][0]
                assert torch.allclose(after - before, F @ more @ F.T, rtol=1e-9, atol=1e-11), (i, j)


def reference(
    x: np.ndarray, P: np.ndarray, u: Inputs, temperatures: np.ndarray, severity: float, dt_s: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """A textbook EKF in numpy: matrix exponential, numeric Jacobian, updates in information form."""
    tuning = Tuning()

    def f(v: np.ndarray) -> np.ndarray:
        share = tuning.winding_share
        capacity = 2400.0 / (share * 80.0 + (1.0 - share) * 40.0)
        C_w, C_h, G, G_a = share * capacity, (1.0 - share) * capacity, 1.0 / 40.0, np.exp(-v[2]) / 40.0
        A = np.array([[-G / C_w, G / C_w], [G / C_h, -(G + G_a) / C_h]])
        end = np.array([0.0, 0.0]) + 25.0 + u.losses.item() / G_a + np.array([u.copper.item() / G, 0.0])
        warm = end + expm(A * dt_s) @ (v[:2] - end)
        return np.array([*warm, v[2], v[3] + v[4] * dt_s / 3600.0, v[4]])

    F = np.stack([(f(x + h) - f(x - h)) / 2e-5 for h in 1e-5 * np.eye(5)], axis=1)
    hours = dt_s / 3600.0
    share = tuning.winding_share
    capacity = 2400.0 / (share * 80.0 + (1.0 - share) * 40.0)
    G, G_a = 1.0 / 40.0, np.exp(-x[2]) / 40.0
    slow = np.linalg.eigvals(
        np.array(
            [
                [-G / share / capacity, G / share / capacity],
                [G / (1 - share) / capacity, -(G + G_a) / (1 - share) / capacity],
            ]
        )
    ).max()
    sd = tuning.thermal_sd_k + tuning.thermal_share * u.losses.item() * 80.0
    warm = sd**2 * (1.0 - np.exp(2.0 * slow * dt_s))
    Q = np.diag([warm, warm, *(hours * s**2 for s in (tuning.cooling_sd, tuning.damage_sd, tuning.growth_sd))])
    x, P = f(x), F @ P @ F.T + Q
    R = np.array([tuning.winding_sd_k**2, tuning.housing_sd_k**2])
    x, P, nis = updated(x, P, np.eye(5)[:2], temperatures, R)
    z, noise = linearised(x[3], P[3, 3], severity, tuning)
    x, P, more = updated(x, P, np.eye(5)[3:4], np.array([z]), np.array([noise]))
    return x, P, nis + more


def updated(
    x: np.ndarray, P: np.ndarray, H: np.ndarray, z: np.ndarray, R: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """All measurements at once, the covariance in information form."""
    S = H @ P @ H.T + np.diag(R)
    nu = z - H @ x
    K = P @ H.T @ np.linalg.inv(S)
    return x + K @ nu, np.linalg.inv(np.linalg.inv(P) + H.T @ np.diag(1.0 / R) @ H), float(nu @ np.linalg.inv(S) @ nu)


def linearised(d: float, variance: float, severity: float, tuning: Tuning) -> tuple[float, float]:
    """Where the iteration of the severity's update settles, found by bisection of its stationarity."""

    def slope(at: float) -> float:
        h = np.exp(at)
        R = tuning.severity_sd**2 + (tuning.severity_log_sd * h) ** 2
        return (at - d) / variance - h * (severity - h) / R

    about = brentq(slope, -5.0, 0.0, xtol=1e-14)
    h = np.exp(about)
    return about + severity / h - 1.0, (tuning.severity_sd / h) ** 2 + tuning.severity_log_sd**2


def test_a_year_of_steps_agrees_with_an_independent_filter() -> None:
    module, rng = Health(), np.random.default_rng(3)
    x, P = initial()
    x[0], P[0] = [75.0, 50.0, 0.0, -2.0, 0.0], np.diag([4.0, 4.0, 0.01, 0.3, 1e-4])
    other_x, other_P = x[0].copy(), P[0].copy()
    for _ in range(200):
        seen = {**ALL_SEEN, "winding_c": 74.0 + rng.normal(), "housing_c": 50.0 + 0.7 * rng.normal()}
        severity = float(np.clip(np.exp(-2.0 + 0.2 * rng.normal()), 0.05, 0.9))
        dt_s = float(rng.choice([10.0, 600.0, 3600.0]))
        told = row(seen)
        temperatures = told[[3, 4]].astype(np.float64)
        other_x, other_P, nis = reference(other_x, other_P, inputs(), temperatures, severity, dt_s)
        got = stepped(module, x, P, told, severity, dt_s)
        x, P = got.x, got.P
        assert got.nis[0] == pytest.approx(nis, rel=1e-4)
        # the reference iterates to the end, the filter four times: what is left is below 1e-5
        assert x[0] == pytest.approx(other_x, rel=1e-6, abs=1e-5)
        assert P[0] == pytest.approx(other_P, rel=1e-4, abs=1e-8)


def nees_and_nis(runs: int, *, believed: Tuning, seed: int) -> tuple[float, float]:
    """Mean NEES of the whole state and mean NIS at the end of many simulated lives, per degree of freedom."""
    true, rng, filtering = Tuning(), np.random.default_rng(seed), Health(believed)
    oracle = Oracle()
    u = oracle.drive(*(np.tile(v, (runs, 1)) for v in (row(ALL_SEEN), PLATE)))
    prior = np.array([1.0, 1.0, 0.05, 0.2, 0.004])
    x, P = np.tile([75.0, 50.0, 0.0, -1.6, 0.0], (runs, 1)), np.tile(np.diag(prior**2), (runs, 1, 1))
    truth = x + prior * rng.standard_normal(x.shape)
    nis = []
    for _ in range(30):
        f, Q = oracle.predict(truth, np.zeros((runs, 5, 5)), u, np.full(runs, 1800.0))
        truth = f + np.sqrt(np.diagonal(Q, axis1=1, axis2=2)) * rng.standard_normal(x.shape)
        truth[:, 3] = np.clip(truth[:, 3], -2.5, -0.5)
        operating = np.tile(row(ALL_SEEN), (runs, 1))
        operating[:, 3] = truth[:, 0] + true.winding_sd_k * rng.standard_normal(runs)
        operating[:, 4] = truth[:, 1] + true.housing_sd_k * rng.standard_normal(runs)
        damage = np.exp(truth[:, 3])
        log_sd = np.sqrt((true.severity_sd / damage) ** 2 + true.severity_log_sd**2)
        severity = np.exp(truth[:, 3] + log_sd * rng.standard_normal(runs))
        got = stepped(filtering, x, P, operating, severity, 1800.0)
        x, P = got.x, got.P
        nis.append(got.nis.mean() / 3.0)
    error = x - truth
    nees = np.einsum("bi,bij,bj->b", error, np.linalg.inv(P), error)
    return float(nees.mean()) / 5.0, float(np.mean(nis))


def test_the_filter_is_as_sure_as_it_may_be() -> None:
    runs = 200
    nees, nis = nees_and_nis(runs, believed=Tuning(), seed=5)
    low, high = chi2.ppf([0.005, 0.995], 5 * runs) / (5 * runs)
    assert nees > low
    assert nees < high
    assert 0.85 < nis < 1.15


def test_a_filter_with_a_wrong_model_fails_the_same_statistics() -> None:
    runs = 200
    wrong = Tuning(thermal_sd_k=0.1, thermal_share=0.005, winding_sd_k=0.4, housing_sd_k=0.3)
    nees, nis = nees_and_nis(runs, believed=wrong, seed=5)
    assert nees > chi2.ppf(0.995, 5 * runs) / (5 * runs)
    assert nis > 1.15


def test_missing_measurements_change_nothing_and_are_told_as_nan() -> None:
    x, P = initial()
    got = stepped(Health(), x, P, row({"load": 0.8, "ambient_c": 25.0}), NAN, 0.0)
    assert got.x == pytest.approx(x)
    assert np.allclose(got.P, P, rtol=1e-9)
    assert np.isnan(got.innovation).all()
    assert got.nis[0] == 0.0


def test_lost_cooling_is_found_and_lowers_the_health() -> None:
    x, P = initial()
    module = Health()
    u = inputs()
    housing = 25.0 + 40.0 * u.losses.item() * 2.0
    seen = {**ALL_SEEN, "housing_c": housing, "winding_c": housing + 40.0 * u.copper.item()}
    for _ in range(60):
        got = stepped(module, x, P, row(seen), 0.0, 3600.0)
        x, P = got.x, got.P
    assert x[0, 2] == pytest.approx(np.log(2.0), abs=0.05)
    assert got.health[0] == pytest.approx(0.5, abs=0.05)


def test_remaining_life_of_a_steady_growth_holds_the_truth() -> None:
    x, P = initial()
    module = Health()
    for hour in range(100):
        damage = 0.05 * np.exp(0.02 * hour)
        got = stepped(module, x, P, row({}), float(damage), 3600.0)
        x, P = got.x, got.P
    remaining_h = -np.log(damage) / 0.02
    assert got.low_h[0] < remaining_h < got.high_h[0]
    assert got.rul_h[0] == pytest.approx(remaining_h, rel=0.35)
    assert 0.0 <= got.low_h[0] <= got.q25_h[0] <= got.rul_h[0] <= got.q75_h[0] <= got.high_h[0]


def test_without_growth_there_is_no_end_in_sight() -> None:
    x, P = initial()
    x[0, 4], P[0, 4, 4] = -0.01, 1e-8
    got = stepped(Health(), x, P, row({}), NAN, 0.0)
    assert np.isinf(got.rul_h[0])
    assert np.isinf(got.high_h[0])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x, P: (x * NAN, P),
        lambda x, P: (x, P * NAN),
        lambda x, P: (x, -P),
        lambda x, P: (x * 1e300, P * 1e300),
        lambda x, P: (x, P + 1e6 * np.triu(np.ones((5, 5)), 1)),
    ],
)
def test_no_state_however_spoilt_survives_as_nan(spoil: object) -> None:
    x, P = spoil(*initial())  # type: ignore[operator]
    got = stepped(Health(), x, P, row(ALL_SEEN), 0.3, 3600.0)
    for _ in range(5):
        got = stepped(Health(), got.x, got.P, row(ALL_SEEN), 0.3, 3600.0)
    assert np.isfinite(got.x).all()
    assert np.isfinite(got.P).all()
    assert (np.diagonal(got.P[0]) > 0.0).all()


def test_covariance_stays_positive_definite_over_a_hundred_thousand_steps_of_rubbish() -> None:
    module, rng, motors = Health(), np.random.default_rng(7), 50
    x, P = initial(motors)
    least = np.inf
    for step in range(2_000):  # times 50 motors
        operating = rng.choice([NAN, np.inf, -1e30, 0.0, 1.0, 60.0, 299.0, 1e30], (motors, 6)).astype(np.float32)
        severity = rng.choice([NAN, -1.0, 0.0, 0.3, 1.0, 7.0, np.inf], motors)
        got = stepped(module, x, P, operating, severity, float(rng.choice([NAN, -5.0, 0.0, 1.0, 3600.0, 1e12])))
        x, P = got.x, got.P
        assert np.isfinite(x).all(), step
        scale = 1.0 / np.sqrt(np.diagonal(P, axis1=1, axis2=2))
        least = min(least, float(np.linalg.eigvalsh(P * scale[:, :, None] * scale[:, None, :]).min()))
        for told in (got.health, got.rul_h, got.low_h, got.high_h, got.q25_h, got.q75_h, got.nis):
            assert not np.isnan(told).any()
            assert (told >= 0.0).all()
    assert least > 0.0


def test_blocks_that_have_nothing_to_do_with_each_other_stay_so() -> None:
    x, P = initial()
    tied = P.copy()
    tied[0, :3, 3:], tied[0, 3:, :3] = 0.01, 0.01
    for given in (P, tied):
        got = stepped(Health(), x, given, row(ALL_SEEN), 0.3, 3600.0)
        assert not got.P[0, :3, 3:].any()
        assert not got.P[0, 3:, :3].any()
    assert stepped(Health(), x, tied, row(ALL_SEEN), 0.3, 60.0).x == pytest.approx(
        stepped(Health(), x, P, row(ALL_SEEN), 0.3, 60.0).x, abs=0.0
    )


def test_a_measurement_beyond_the_gate_moves_no_more_than_one_at_the_gate() -> None:
    x, P = initial()
    x[0, :2], P[0, 0, 0], P[0, 1, 1] = [75.0, 50.0], 4.0, 4.0
    moved = []
    for off in (1e3, 1e30):
        got = stepped(Health(), x, P, row({**ALL_SEEN, "winding_c": 75.0 + off, "housing_c": NAN}), NAN, 0.0)
        moved.append(abs(got.x[0, 0] - 75.0))
        assert got.P[0, 0, 0] <= 4.0
    # K nu = V / max(S, nu^2 / 25) nu: 25 V / nu beyond the gate
    assert moved[0] == pytest.approx(25.0 * 4.0 / 1e3, rel=1e-6)
    assert moved[1] < 1e-20
