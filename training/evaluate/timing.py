"""The health graph against float64 numpy over many steps, and what a step costs beside filterpy.

filterpy's extended Kalman filter is given the same transition, Jacobian and measurements, one motor at a time: that is
how it is made. Where it is not installed its figures are undefined, and the page says so.
"""

from __future__ import annotations

import importlib.util
import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from service.contract.signals import NAMEPLATE, OPERATING
from training.evaluate import interval
from training.evaluate.consistency import PLATE
from training.evaluate.figure import Figure, Section, canvas, plot
from training.evaluate.oracle import Oracle

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.evaluate.figure import Options, Plot

    Floats = NDArray[np.float64]

STEPS = 100_000
MOTORS = 2
LARGE = 1000
STATES = 5


def evaluate(options: Options) -> Section:
    """Largest deviation over the steps, microseconds a step, and the ratio to filterpy."""
    steps = 200 if options.tiny else STEPS
    deviation, trace = _deviation(options, steps)
    repeats = 2 if options.tiny else max(5, options.seeds)
    one = [_micros(_call(options, 1), 20 if options.tiny else 400) for _ in range(repeats)]
    many = [_micros(_call(options, LARGE), 2 if options.tiny else 20) / LARGE for _ in range(repeats)]
    rival = [_filterpy(20 if options.tiny else 400) for _ in range(repeats)]
    ratio = [theirs / ours for theirs, ours in zip(rival, many, strict=True)]
    return Section(
        title="Health filter: arithmetic and time",
        protocol=f"The shipped graph and an independent float64 implementation filter the same {MOTORS} motors over "
        f"{steps} steps of a minute to two days, with values missing and faults that grow and are repaired; each keeps "
        "its own state. Times are medians of repeated calls on one core of this machine, of whatever else it is doing.",
        figures=(
            Figure(
                "ekf.parity_max",
                deviation,
                None,
                None,
                "<= 0.00001",
                "largest deviation of state or covariance, relative to 1",
            ),
            Figure("ekf.us_batch1", *interval.over_seeds(one), "<= 100", "one motor a call"),
            Figure("ekf.us_per_motor_batch1000", *interval.over_seeds(many), "<= 3", "a thousand motors a call"),
            Figure(
                "ekf.vs_filterpy", *interval.over_seeds(ratio), "", "times faster a motor than filterpy, at 1000 a call"
            ),
            Figure(
                "ekf.filterpy_us",
                *interval.over_seeds(rival),
                "",
                "filterpy: predict and updates, without transition and outlook",
            ),
        ),
        plots=(_picture(trace),),
        caveats=(
            *(
                ()
                if np.isfinite(rival[0])
                else ("filterpy is not installed; pip install filterpy to see it beside ours.",)
            ),
            "Times depend on the machine and on its other work; their ratios less so.",
        ),
    )


def _plates(count: int) -> NDArray[np.float32]:
    plate = np.full((count, len(NAMEPLATE)), np.nan, dtype=np.float32)
    for name, value in PLATE.items():
        plate[:, NAMEPLATE.index(name)] = value
    return plate


def _deviation(options: Options, steps: int) -> tuple[float, Floats]:
    """Largest deviation, and it at 200 steps along the way."""
    rng = np.random.default_rng(3)
    oracle, plate = Oracle(), _plates(MOTORS)
    spec = options.bundle.manifest.health
    state = np.tile(np.array(spec.initial_state), (MOTORS, 1))
    cov = np.tile(np.array(spec.initial_cov), (MOTORS, 1, 1))
    mine, mine_cov = state.copy(), cov.copy()
    worst = np.zeros(steps)
    span = rng.integers(200, 2000, MOTORS)
    for step in range(steps):
        operating = np.stack(
            [
                np.full(MOTORS, 1455.0),
                rng.uniform(1.5, 3.6, MOTORS),
                rng.uniform(0.2, 1.1, MOTORS),
                rng.normal(80.0, 6.0, MOTORS),
                rng.normal(52.0, 4.0, MOTORS),
                rng.normal(22.0, 4.0, MOTORS),
            ],
            axis=1,
        ).astype(np.float32)
        operating[rng.random(operating.shape) < 0.1] = np.nan
        grown = np.clip((step % span) / span + 0.05 * rng.standard_normal(MOTORS), 0.0, 1.0)
        severity = np.where(rng.random(MOTORS) < 0.1, np.nan, grown)
        dt_s = 10.0 ** rng.uniform(1.8, 5.2, MOTORS)
        feeds = {"operating": operating, "nameplate": plate, "severity": severity, "dt_s": dt_s}
        theirs = options.bundle.run("health", {"state": state, "cov": cov, **feeds})
        ours = oracle.step(mine, mine_cov, operating, plate, severity, dt_s)
        state, cov, mine, mine_cov = theirs["state_next"], theirs["cov_next"], ours.state, ours.cov
        worst[step] = max(
            float((np.abs(state - mine) / np.maximum(np.abs(mine), 1.0)).max()),
            float((np.abs(cov - mine_cov) / np.maximum(np.abs(mine_cov), 1.0)).max()),
            float(np.abs(theirs["health"] - ours.health).max()),
        )
    picks = np.linspace(0, steps, min(200, steps) + 1).astype(int)
    return float(worst.max()), np.array([worst[a:b].max() for a, b in itertools.pairwise(picks)])


def _call(options: Options, count: int) -> Callable[[], object]:
    spec = options.bundle.manifest.health
    operating = np.tile(np.array([1455.0, 3.0, 0.8, 80.0, 50.0, 22.0], dtype=np.float32), (count, 1))
    assert operating.shape[1] == len(OPERATING)
    feeds = {
        "state": np.tile(np.array(spec.initial_state), (count, 1)),
        "cov": np.tile(np.array(spec.initial_cov), (count, 1, 1)),
        "operating": operating,
        "nameplate": _plates(count),
        "severity": np.full(count, 0.3),
        "dt_s": np.full(count, 60.0),
    }
    return lambda: options.bundle.run("health", feeds)


def _micros(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call, after a few that warm up."""
    for _ in range(3):
        call()
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return 1e6 * float(np.median(taken))


def _filterpy(repeats: int) -> float:
    """Time of filterpy's part of a step: predict with a fixed ``F`` and ``Q``, then three scalar updates.

    Reckoning the transition and the remaining life, which our graph's time includes, is not in it. NaN where absent.
    """
    if importlib.util.find_spec("filterpy") is None:
        return float("nan")
    kalman: Any = importlib.import_module("filterpy.kalman")
    oracle = Oracle()
    drive = oracle.drive(np.array([[1455.0, 3.0, 0.8, 80.0, 50.0, 22.0]], dtype=np.float32), _plates(1))
    x, dt_s = np.array([[60.0, 45.0, 0.0, -2.0, 0.0]]), np.array([60.0])
    _, Q = oracle.predict(x, np.zeros((1, STATES, STATES)), drive, dt_s)
    F = np.eye(STATES)
    F[3, 4] = dt_s[0] / 3600.0
    f = F[:2, :2].copy()
    ekf = kalman.ExtendedKalmanFilter(dim_x=STATES, dim_z=1)
    ekf.F, ekf.Q = F, Q[0]

    def step() -> None:
        ekf.x, ekf.P = x[0][:, None].copy(), np.eye(STATES)
        ekf.predict()
        ekf.x[:2] = f @ ekf.x[:2]
        for at, z, R in ((0, 80.0, 1.0), (1, 50.0, 0.64), (3, -1.2, 0.08)):
            H = np.eye(STATES)[at : at + 1]
            ekf.update(np.array([[z]]), lambda _x, H=H: H, lambda x, H=H: H @ x, R=np.array([[R]]))

    return _micros(step, repeats)


def _picture(trace: Floats) -> Plot:
    drawn = canvas()
    axes = drawn.add_subplot()
    axes.semilogy(np.linspace(0.0, 1.0, len(trace)), np.maximum(trace, 1e-18), linewidth=0.8)
    axes.set_xlabel("share of the steps")
    axes.set_ylabel("largest deviation")
    return plot("Graph against float64 numpy", drawn)
