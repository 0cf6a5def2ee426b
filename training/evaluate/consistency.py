"""Whether the health filter believes itself as much as it should: NEES and NIS over Monte-Carlo runs.

Truth is drawn from the filter's own model: process noise from its ``Q``, measurements from its ``R``. The shipped graph
filters it. Averages over runs then have chi-square bands (Bar-Shalom, Li and Kirubarajan 2001, sec. 5.4). A filter
that is told a wrong nameplate must fall out of the same bands, or the test could not fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

from service.contract.signals import NAMEPLATE, OPERATING
from training.evaluate import interval
from training.evaluate.figure import Figure, Section, Table, canvas, plot
from training.evaluate.oracle import Oracle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.evaluate.figure import Options, Plot

    Floats = NDArray[np.float64]

RUNS = 200
STEPS = 24
DT_S = 1800.0
START = np.array([60.0, 45.0, 0.05, -1.2, 0.004])
START_SD = np.array([5.0, 4.0, 0.08, 0.15, 0.002])
"""Far from the state's bounds, where truth is Gaussian."""
BIAS = 1.15
"""Biased: a nameplate whose rises are this much too large."""
PLATE = {
    "rated_speed_rpm": 1455.0,
    "rated_current_a": 3.4,
    "winding_rise_k": 80.0,
    "housing_rise_k": 40.0,
    "thermal_tau_s": 2400.0,
}
STATES = 5


class Runs(NamedTuple):
    """``nees`` and ``nis`` ``(steps, runs)``."""

    nees: Floats
    nis: Floats


def evaluate(options: Options) -> Section:
    """Shares of steps within the 95 % band, for the shipped filter and for the biased one."""
    runs, steps = (20, 10) if options.tiny else (RUNS, STEPS)
    fair = [_simulated(options, runs, steps, seed, bias=1.0) for seed in range(options.seeds)]
    biased = _simulated(options, runs, steps, 0, bias=BIAS)
    band = _band(STATES, runs)
    nis_band = _band(3, runs)
    inside = [_inside(one.nees, band) for one in fair]
    return Section(
        title="Health filter: consistency",
        protocol=f"{runs} runs of {steps} half-hourly steps from a drawn start, {len(fair)} times with new seeds: "
        "load and "
        "ambient vary, winding, housing and severity are measured with the filter's own noise. Squared errors, "
        "normalised by the filter's covariance, are averaged over runs at each step; the band holds 95 % of such "
        f"averages for a consistent filter: [{band[0]:.2f}, {band[1]:.2f}] for {STATES} states.",
        figures=(
            Figure("ekf.anees_in_band", *interval.shares_over_seeds(inside), ">= 0.9", "share of steps, state error"),
            Figure(
                "ekf.anis_in_band",
                *interval.shares_over_seeds([_inside(o.nis, nis_band) for o in fair]),
                ">= 0.9",
                "share of steps, innovations",
            ),
            Figure("ekf.anees", *interval.over_seeds([float(o.nees.mean()) for o in fair]), "", f"{STATES} is exact"),
            Figure("ekf.anis", *interval.over_seeds([float(o.nis.mean()) for o in fair]), "", "3 is exact"),
            Figure(
                "ekf.control.biased_anees_in_band",
                _inside(biased.nees, band),
                None,
                None,
                "<= 0.5",
                f"nameplate rises {BIAS - 1:.0%} too large: must fail",
            ),
            Figure("ekf.control.biased_anees", float(biased.nees.mean()), what="the same"),
        ),
        tables=(_table(fair[0], biased, band),),
        plots=(_picture(fair[0], biased, band),),
        caveats=(
            (
                "Truth is drawn from the filter's own model: this proves the arithmetic and the linearisation, "
                "not that "
                "motors follow the model. For that see the coverage of the remaining life in the twin's section."
            ),
            "ProgPy's filter is not run beside it; where it was tried on its own pump it raised LinAlgError.",
        ),
    )


def _simulated(options: Options, runs: int, steps: int, seed: int, *, bias: float) -> Runs:
    rng = np.random.default_rng((seed, 11))
    oracle = Oracle()
    plate = np.full((runs, len(NAMEPLATE)), np.nan, dtype=np.float32)
    for name, value in PLATE.items():
        plate[:, NAMEPLATE.index(name)] = value
    told = plate.copy()
    told[:, [NAMEPLATE.index("winding_rise_k"), NAMEPLATE.index("housing_rise_k")]] *= bias
    truth = START + START_SD * rng.standard_normal((runs, STATES))
    state, cov = np.tile(START, (runs, 1)), np.tile(np.diag(START_SD**2), (runs, 1, 1))
    dt_s = np.full(runs, DT_S)
    nees, nis = np.zeros((steps, runs)), np.zeros((steps, runs))
    n = oracle.numbers
    for step in range(steps):
        operating = np.full((runs, len(OPERATING)), np.nan, dtype=np.float32)
        operating[:, OPERATING.index("load")] = rng.uniform(0.3, 0.95, runs)
        operating[:, OPERATING.index("ambient_c")] = 22.0 + 4.0 * rng.standard_normal(runs)
        mean, Q = oracle.predict(truth, np.zeros((runs, STATES, STATES)), oracle.drive(operating, plate), dt_s)
        truth = mean + np.sqrt(np.diagonal(Q, axis1=1, axis2=2)) * rng.standard_normal((runs, STATES))
        operating[:, OPERATING.index("winding_c")] = truth[:, 0] + n["winding_sd_k"] * rng.standard_normal(runs)
        operating[:, OPERATING.index("housing_c")] = truth[:, 1] + n["housing_sd_k"] * rng.standard_normal(runs)
        relative = np.exp(n["severity_log_sd"] * rng.standard_normal(runs))
        added = n["severity_sd"] * rng.standard_normal(runs)
        severity = np.clip(np.exp(truth[:, 3]) * relative + added, 0.0, 1.0)
        answer = options.bundle.run(
            "health",
            {
                "state": state,
                "cov": cov,
                "operating": operating,
                "nameplate": told,
                "severity": severity,
                "dt_s": dt_s,
            },
        )
        state, cov = answer["state_next"].astype(np.float64), answer["cov_next"].astype(np.float64)
        error = truth - state
        nees[step] = np.einsum("bi,bi->b", error, np.linalg.solve(cov, error[:, :, None])[:, :, 0])
        nis[step] = answer["nis"]
    return Runs(nees, nis)


def _band(dimension: int, runs: int) -> tuple[float, float]:
    """Where 95 % of averages over ``runs`` lie."""
    lo, hi = stats.chi2.ppf([0.025, 0.975], dimension * runs) / runs
    return float(lo), float(hi)


def _inside(values: Floats, band: tuple[float, float]) -> float:
    average = values.mean(axis=1)
    return float(((average >= band[0]) & (average <= band[1])).mean())


def _table(fair: Runs, biased: Runs, band: tuple[float, float]) -> Table:
    picks = np.unique(np.linspace(0, len(fair.nees) - 1, 8).astype(int))
    return Table(
        f"Average NEES by step (band {band[0]:.2f}..{band[1]:.2f})",
        ("step", "shipped", "biased", "average NIS"),
        tuple(
            (str(s + 1), f"{fair.nees[s].mean():.2f}", f"{biased.nees[s].mean():.2f}", f"{fair.nis[s].mean():.2f}")
            for s in picks
        ),
    )


def _picture(fair: Runs, biased: Runs, band: tuple[float, float]) -> Plot:
    drawn = canvas()
    axes = drawn.add_subplot()
    axes.semilogy(fair.nees.mean(axis=1), label="shipped")
    axes.semilogy(biased.nees.mean(axis=1), label="biased nameplate")
    axes.axhspan(*band, alpha=0.3, color="tab:green")
    axes.set_xlabel("step")
    axes.set_ylabel("average NEES")
    axes.legend()
    return plot("State errors over what the filter believes; band: 95 %", drawn)
