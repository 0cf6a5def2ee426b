"""The health filter in float64 numpy, written from its equations and not from its torch module.

The thermal network's exponential comes from an eigendecomposition and its derivative from a complex step, where the
module has closed forms; what both share are the numbers. One motor or many: every array has a leading batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract.signals import NAMEPLATE, OPERATING
from training import tuning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_STEP = 1e-30
_TINY = 1e-12


class Drive(NamedTuple):
    """What drives a prediction, each ``(B,)``; see ``training.thermal.Inputs``."""

    copper: Floats
    losses: Floats
    ambient_c: Floats
    winding_rise_k: Floats
    housing_rise_k: Floats
    tau_s: Floats
    sd_k: Floats


class Answer(NamedTuple):
    """One step's outputs; shapes as the graph's."""

    state: Floats
    cov: Floats
    health: Floats
    rul_h: Floats
    rul_low_h: Floats
    rul_high_h: Floats
    rul_q25_h: Floats
    rul_q75_h: Floats
    nis: Floats


class Oracle:
    """The filter's step as plain numpy."""

    def __init__(self) -> None:
        self.numbers: dict[str, float] = tuning.Tuning()._asdict()
        self.upper, self.lower = np.array(tuning.UPPER), np.array(tuning.LOWER)
        self.max_sd, self.min_variance = np.array(tuning.MAX_SD), np.square(tuning.MIN_SD)

    def step(
        self,
        state: Floats,
        cov: Floats,
        operating: NDArray[np.float32],
        nameplate: NDArray[np.float32],
        severity: Floats,
        dt_s: Floats,
    ) -> Answer:
        """One prediction over ``dt_s`` and one update, for sound states; NaN where nothing was measured."""
        n = self.numbers
        x, P = self._bounded(state, cov)
        x, P = self.predict(x, P, self.drive(operating, nameplate), np.clip(np.nan_to_num(dt_s), 0.0, tuning.MAX_DT_S))
        nis = np.zeros(len(x))
        for at, name, sd in ((0, "winding_c", n["winding_sd_k"]), (1, "housing_c", n["housing_sd_k"])):
            measured = _column(operating, OPERATING, name)
            for row in np.flatnonzero(np.isfinite(measured)):
                x[row], P[row], distance = self._update(x[row], P[row], at, float(measured[row]), sd**2)
                nis[row] += distance
        for row in np.flatnonzero(np.isfinite(severity)):
            z, R = self._linearised(float(x[row, 3]), float(P[row, 3, 3]), float(np.clip(severity[row], 0.0, 1.0)))
            x[row], P[row], distance = self._update(x[row], P[row], 3, z, R)
            nis[row] += distance
        x, P = self._bounded(x, P)
        return Answer(x, P, *self._outlook(x, P), nis)

    def drive(self, operating: NDArray[np.float32], nameplate: NDArray[np.float32]) -> Drive:
        """Losses, ambient and nameplate with their fallbacks."""
        n = self.numbers
        load, current, ambient = (_column(operating, OPERATING, name) for name in ("load", "current_a", "ambient_c"))
        rated = _column(nameplate, NAMEPLATE, "rated_current_a")
        has_load, has_current = np.isfinite(load), np.isfinite(current) & np.isfinite(rated)
        relative = _held(current, tuning.OPERATING_RANGES["current_a"]) / _held(
            rated, tuning.NAMEPLATE_RANGES["rated_current_a"]
        )
        relative = np.minimum(relative, tuning.EFFORT_MAX) ** 2
        drawn = np.maximum((relative - n["idle_current_squared"]) / (1.0 - n["idle_current_squared"]), 0.0)
        effort = _held(load, tuning.OPERATING_RANGES["load"]) ** 2
        squared = np.where(has_load | ~has_current, effort, drawn)
        copper = squared * (n["cold_share"] + (1.0 - n["cold_share"]) * squared)
        losses = n["idle_share"] + (1.0 - n["idle_share"]) * copper
        known = (has_load | has_current) & np.isfinite(ambient)
        winding_rise, housing_rise, tau_s = (
            _held(_column(nameplate, NAMEPLATE, name), tuning.NAMEPLATE_RANGES[name])
            for name in ("winding_rise_k", "housing_rise_k", "thermal_tau_s")
        )
        winding_rise = np.maximum(winding_rise, housing_rise + tuning.RISE_MIN_K)
        return Drive(
            copper=copper,
            losses=losses,
            ambient_c=_held(ambient, tuning.OPERATING_RANGES["ambient_c"]),
            winding_rise_k=winding_rise,
            housing_rise_k=housing_rise,
            tau_s=tau_s,
            sd_k=np.where(known, n["thermal_sd_k"] + n["thermal_share"] * losses * winding_rise, n["blind_sd_k"]),
        )

    def predict(self, x: Floats, P: Floats, u: Drive, dt_s: Floats) -> tuple[Floats, Floats]:
        """``x' = f(x)``, ``P' = F P F^T + Q``."""
        n = self.numbers
        hours = dt_s / 3600.0
        temperatures, exponential, memory = self._network(x.astype(np.complex128), u, dt_s)
        bent, _, _ = self._network(x + 1j * _STEP * np.eye(5)[2], u, dt_s)
        f = x.copy()
        f[:, :2] = temperatures.real
        f[:, 3] += x[:, 4] * hours
        F = np.tile(np.eye(5), (len(x), 1, 1))
        F[:, :2, :2] = exponential.real
        F[:, :2, 2] = bent.imag / _STEP
        F[:, 3, 4] = hours
        warm = u.sd_k**2 * (1.0 - memory**2)
        walks = [hours * n[f"{name}_sd"] ** 2 for name in ("cooling", "damage", "growth")]
        Q = np.stack([warm, warm, *walks], axis=1)[:, :, None] * np.eye(5)
        return f, F @ P @ F.transpose(0, 2, 1) + Q

    def _network(
        self, x: NDArray[np.complex128], u: Drive, dt_s: Floats
    ) -> tuple[NDArray[np.complex128], NDArray[np.complex128], Floats]:
        """Both temperatures after ``dt_s``, the exponential ``(B, 2, 2)``, and its slow eigenvalue's decay."""
        share = self.numbers["winding_share"]
        capacity = u.tau_s / (share * u.winding_rise_k + (1.0 - share) * u.housing_rise_k)
        inner = 1.0 / (u.winding_rise_k - u.housing_rise_k)
        a, b = inner / (share * capacity), inner / ((1.0 - share) * capacity)
        g = np.exp(-x[:, 2]) / (u.housing_rise_k * (1.0 - share) * capacity)
        A = np.empty((len(x), 2, 2), dtype=np.complex128)
        A[:, 0, 0], A[:, 0, 1], A[:, 1, 0], A[:, 1, 1] = -a, a, b, -(b + g)
        rates, vectors = np.linalg.eig(A)
        exponential = (vectors * np.exp(rates * dt_s[:, None])[:, None, :]) @ np.linalg.inv(vectors)
        housing = u.ambient_c + u.losses * u.housing_rise_k * np.exp(x[:, 2])
        end = np.stack([housing + u.copper * (u.winding_rise_k - u.housing_rise_k), housing], axis=1)
        now = end + (exponential @ (x[:, :2] - end)[:, :, None])[:, :, 0]
        return now, exponential, np.exp(rates.real.max(axis=1) * dt_s)

    def _linearised(self, d: float, variance: float, severity: float) -> tuple[float, float]:
        """A severity as a measurement of the log damage: Gauss-Newton steps on the posterior."""
        n = self.numbers
        about = d
        for _ in range(tuning.ITERATIONS):
            h = np.exp(about)
            R = n["severity_sd"] ** 2 + (n["severity_log_sd"] * h) ** 2
            information = 1.0 / variance + h * h / R
            about = float(np.clip(d + (h / R) * (severity - h - h * (d - about)) / information, self.lower[3], 0.0))
        h = np.exp(about)
        return float(about + severity / h - 1.0), float((n["severity_sd"] / h) ** 2 + n["severity_log_sd"] ** 2)

    def _update(self, x: Floats, P: Floats, at: int, z: float, R: float) -> tuple[Floats, Floats, float]:
        gate = tuning.GATE
        innovation = z - x[at]
        S = P[at, at] + R
        distance = innovation**2 / S
        R = max(R, innovation**2 / gate**2 - P[at, at])
        H = np.eye(5)[at]
        K = P @ H / (H @ P @ H + R)
        keep = np.eye(5) - np.outer(K, H)
        return x + K * innovation, keep @ P @ keep.T + R * np.outer(K, K), float(distance)

    def _bounded(self, x: Floats, P: Floats) -> tuple[Floats, Floats]:
        x = np.clip(x, self.lower, self.upper)
        P = 0.5 * (P + P.transpose(0, 2, 1))
        variance = np.diagonal(P, axis1=1, axis2=2)
        scale = np.minimum(self.max_sd / np.sqrt(np.maximum(variance, self.min_variance)), 1.0)
        P = P * scale[:, :, None] * scale[:, None, :]
        lacking = np.maximum(self.min_variance - np.diagonal(P, axis1=1, axis2=2), 0.0)
        return x, P + lacking[:, :, None] * np.eye(5)

    def _outlook(self, x: Floats, P: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
        """Health, and the first passage of ``d + g t`` through 0 in hours: median, 5 and 95 % quantile, quartiles."""
        median = np.where(x[:, 4] > 0.0, -x[:, 3] / np.maximum(x[:, 4], _TINY), np.inf)
        ends = [end for z in (tuning.Z90, tuning.QUARTILE_Z) for end in self._quantiles(x, P, median, z)]
        clogged = np.maximum(x[:, 2], 0.0) / tuning.COOLING_LOST
        left = np.maximum(1.0 - np.maximum(np.exp(x[:, 3]), clogged), 0.0)
        lives = [np.where(x[:, 3] < 0.0, value, 0.0) for value in (median, *ends)]
        median, low, high, q25, q75 = (np.where(value < tuning.HORIZON_H, value, np.inf) for value in lives)
        return left, median, low, high, q25, q75

    def _quantiles(self, x: Floats, P: Floats, median: Floats, z: float) -> tuple[Floats, Floats]:
        n = self.numbers
        d, g = x[:, 3], x[:, 4]
        with np.errstate(divide="ignore", invalid="ignore"):
            ahead = np.minimum(median, tuning.AHEAD_H)
            V_d, P_dg = P[:, 3, 3] + n["failure_sd"] ** 2, P[:, 3, 4] + n["damage_sd"] ** 2 / 2.0
            V_g = P[:, 4, 4] + ahead * n["growth_sd"] ** 2 / 3.0
            A, B, C = g**2 - z**2 * V_g, d * g - z**2 * P_dg, d**2 - z**2 * V_d
            positive = np.maximum(np.sqrt(np.maximum(B**2 - A * C, 0.0)) - B, _TINY)
            high = np.where(A > 0.0, positive / np.maximum(A, _TINY), np.inf)
        return np.minimum(np.maximum(C, 0.0) / positive, median), np.maximum(high, median)


def _column(table: NDArray[np.float32], names: tuple[str, ...], name: str) -> Floats:
    value = table[:, names.index(name)].astype(np.float64)
    return np.where(np.isfinite(value), value, np.nan)


def _held(value: Floats, within: tuning.Range) -> Floats:
    return np.clip(np.where(np.isfinite(value), value, within.fallback), within.low, within.high)
