"""The health filter: one step of an extended Kalman filter over a motor's temperatures, cooling and damage, batched.

State, float64: winding and housing temperature ``T_w, T_h`` (degC), logarithm of the cooling resistance relative to the
nameplate's ``c``, logarithm of the damage ``d`` (0 at failure) and its growth ``g`` per hour::

    C_w dT_w/dt = s p - s (T_w - T_h) / (theta_w - theta_h)                two-node thermal network, p and q as in
    C_h dT_h/dt = q - s p + s (T_w - T_h) / (theta_w - theta_h)            ``training.heat`` (Boglietti et al., IEEE
                  - (T_h - T_a) / (theta_h exp(c))                         Trans. Ind. Electron. 56 (2009) 871-882)
    d' = d + g dt,  c' = c,  g' = g                                        random walks beside this

The thermal part is discretised exactly, by the closed form of a 2x2 exponential with real eigenvalues, so one step may
be a second or a day. Measurements (winding, housing, log severity) are applied one after the other in Joseph form
(Bar-Shalom, Li and Kirubarajan, Estimation with Applications, 2001, eq. 5.2.3-18), each masked where it is NaN; a
normalised innovation beyond ``GATE`` has its noise inflated until it is not, so no single value can throw the filter.

Remaining life is the first passage of ``d + g t`` through zero under the joint Gaussian of ``(d, g)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from service.contract.signals import NAMEPLATE, OPERATING
from training import heat

STATE_NAMES = ("winding_c", "housing_c", "ln_cooling", "ln_damage", "growth_per_h")
INNOVATION_NAMES = ("winding_c", "housing_c", "ln_severity")
SCHEMA_ID = "thermal-damage-1"
MAX_DT_S = 7 * 86_400.0

INITIAL_STATE = (40.0, 30.0, 0.0, -3.5, 0.0)
INITIAL_SD = (30.0, 25.0, 0.2, 2.0, 0.02)

GATE = 5.0
"""Largest normalised innovation that is believed, in standard deviations."""
SEVERITY_FLOOR = 0.02
"""A severity below this says 'as new' and no more."""
HORIZON_H = 20_000.0
"""A first passage later than this is no end in sight: infinity."""


class Tuning(NamedTuple):
    """Physical constants and noise of the filter; standard deviations unless said otherwise."""

    idle_share: float = heat.IDLE_SHARE
    cold_share: float = heat.COLD_SHARE
    idle_current_squared: float = heat.IDLE_CURRENT_SQUARED
    winding_share: float = 0.25  # of the heat capacity
    thermal_sd_k: float = 0.8  # stationary model error of a node
    thermal_share: float = 0.03  # the same, as a share of the winding's expected rise
    blind_sd_k: float = 12.0  # the same without load, or without ambient temperature
    cooling_sd: float = 0.02  # random walk, per square root of hour
    damage_sd: float = 0.10  # random walk, per square root of hour
    growth_sd: float = 0.003  # random walk, 1/h per square root of hour
    winding_sd_k: float = 1.0
    housing_sd_k: float = 0.8
    severity_sd: float = 0.06  # of severity itself; of its logarithm it is this over the severity
    severity_log_sd: float = 0.20
    failure_sd: float = 0.5  # of the logarithm of the severity at which a machine really fails


_UPPER = (400.0, 400.0, 3.0, 0.0, 0.5)
_LOWER = (-100.0, -100.0, -2.0, -5.0, -0.1)
_MAX_SD = (100.0, 100.0, 2.0, 4.0, 0.5)
_MIN_SD = (1e-2, 1e-2, 1e-4, 1e-4, 1e-6)

_NUMBERS: dict[str, float] = {
    "zero": 0.0,
    "half": 0.5,
    "third": 1.0 / 3.0,
    "ahead_h": 100.0,  # the random walks are reckoned with no farther than this
    "one": 1.0,
    "two": 2.0,
    "hour_s": 3600.0,
    "z90": 1.6448536269514722,  # 5 % of a Gaussian lie above
    "gate": GATE,
    "severity_floor": SEVERITY_FLOOR,
    "horizon_h": HORIZON_H,
    "max_dt_s": MAX_DT_S,
    "infinity": float("inf"),
    "tiny": 1e-12,
    "ambient_c": 25.0,  # where unmeasured
    "effort": 0.75,  # load where neither load nor current is measured
    "effort_max": 3.0,
    "winding_rise_k": 80.0,  # where the nameplate does not say; see messages.Nameplate
    "housing_rise_k": 40.0,
    "thermal_tau_s": 2400.0,
    "rise_min_k": 2.0,
    "rise_max_k": 300.0,
    "tau_min_s": 1.0,
    "tau_max_s": 1e6,
    "ambient_min_c": -60.0,
    "ambient_max_c": 90.0,
    "cooling_lost": 1.3862943611198906,  # ln 4: a resistance four times as new is a health of 0
}


class Inputs(NamedTuple):
    """What drives the prediction, each ``(B,)`` float64 and finite."""

    copper: Tensor  # p, winding loss over its rated value
    losses: Tensor  # q, all losses over their rated value
    ambient_c: Tensor
    winding_rise_k: Tensor
    housing_rise_k: Tensor
    tau_s: Tensor
    model_sd_k: Tensor


class Health(nn.Module):
    """One step of the filter for a batch of motors; see the manifest's docstring for the shapes."""

    initial_state: Tensor
    initial_cov: Tensor
    upper: Tensor
    lower: Tensor
    max_sd: Tensor
    min_variance: Tensor
    eye: Tensor

    def __init__(self, tuning: Tuning | None = None) -> None:
        super().__init__()

        def constant(name: str, value: object) -> None:
            self.register_buffer(name, torch.from_numpy(np.asarray(value, dtype=np.float64)))

        # Literals in a float64 graph would be stored as float32: every number is a float64 buffer.
        for name, value in ((tuning or Tuning())._asdict() | _NUMBERS).items():
            constant(f"n_{name}", value)
        constant("initial_state", [INITIAL_STATE])
        constant("initial_cov", [np.diag(np.square(INITIAL_SD))])
        constant("upper", [_UPPER])
        constant("lower", [_LOWER])
        constant("max_sd", [_MAX_SD])
        constant("min_variance", [np.square(_MIN_SD)])
        constant("eye", np.eye(len(STATE_NAMES)))

    def forward(
        self, state: Tensor, cov: Tensor, operating: Tensor, nameplate: Tensor, severity: Tensor, dt_s: Tensor
    ) -> tuple[Tensor, ...]:
        """One prediction over ``dt_s`` and one update.

        Returns:
            ``state_next (B, 5)``, ``cov_next (B, 5, 5)``, ``health (B,)``, ``rul_h``, ``rul_low_h``, ``rul_high_h``
            ``(B,)``, ``innovation (B, 3)`` with NaN where unmeasured, ``nis (B,)``, all float64.
        """
        n = self.get_buffer
        x, P = self._sound(state, cov)
        seconds = torch.where(_known(dt_s), dt_s, n("n_zero"))
        seconds = torch.minimum(torch.maximum(seconds, n("n_zero")), n("n_max_dt_s"))
        x, P = self.predict(x, P, self.inputs(operating, nameplate), seconds)
        held = torch.minimum(torch.maximum(severity, n("n_severity_floor")), n("n_one"))
        sd = n("n_severity_sd") / held
        same = torch.ones_like(severity)
        measurements = (
            (0, operating[:, OPERATING.index("winding_c")].double(), n("n_winding_sd_k") * n("n_winding_sd_k") * same),
            (1, operating[:, OPERATING.index("housing_c")].double(), n("n_housing_sd_k") * n("n_housing_sd_k") * same),
            (3, torch.log(held), sd * sd + n("n_severity_log_sd") * n("n_severity_log_sd")),
        )
        innovations, nis = [], torch.zeros_like(severity)
        for at, z, R in measurements:
            x, P, innovation, distance = self.update(x, P, at, z, R)
            innovations.append(innovation)
            nis = nis + distance
        x, P = self._sound(*self._bounded(x, P))
        return x, P, *self.outlook(x, P), torch.stack(innovations, dim=1), nis

    def inputs(self, operating: Tensor, nameplate: Tensor) -> Inputs:
        """Losses, ambient and thermal nameplate with their fallbacks for what is missing."""
        n = self.get_buffer

        def read(table: Tensor, names: tuple[str, ...], name: str, fallback: Tensor) -> tuple[Tensor, Tensor]:
            value = table[:, names.index(name)].double()
            return torch.where(_known(value), value, fallback), _known(value)

        load, has_load = read(operating, OPERATING, "load", n("n_effort"))
        current, has_current = read(operating, OPERATING, "current_a", n("n_effort"))
        rated, has_rated = read(nameplate, NAMEPLATE, "rated_current_a", n("n_one"))
        has_current = has_current & has_rated
        drawn = torch.minimum(torch.abs(current) / torch.maximum(rated, n("n_tiny")), n("n_effort_max"))
        idle = n("n_idle_current_squared")
        drawn = torch.maximum((drawn * drawn - idle) / (n("n_one") - idle), n("n_zero"))
        load = torch.minimum(torch.abs(load), n("n_effort_max"))
        squared = torch.where(has_load | ~has_current, load * load, drawn)
        copper = squared * (n("n_cold_share") + (n("n_one") - n("n_cold_share")) * squared)
        losses = n("n_idle_share") + (n("n_one") - n("n_idle_share")) * copper
        ambient, has_ambient = read(operating, OPERATING, "ambient_c", n("n_ambient_c"))
        housing_rise, _ = read(nameplate, NAMEPLATE, "housing_rise_k", n("n_housing_rise_k"))
        housing_rise = torch.minimum(torch.maximum(housing_rise, n("n_rise_min_k")), n("n_rise_max_k"))
        winding_rise, _ = read(nameplate, NAMEPLATE, "winding_rise_k", n("n_winding_rise_k"))
        winding_rise = torch.maximum(torch.minimum(winding_rise, n("n_rise_max_k")), housing_rise + n("n_rise_min_k"))
        tau, _ = read(nameplate, NAMEPLATE, "thermal_tau_s", n("n_thermal_tau_s"))
        known_sd = n("n_thermal_sd_k") + n("n_thermal_share") * losses * winding_rise
        return Inputs(
            copper=copper,
            losses=losses,
            ambient_c=torch.minimum(torch.maximum(ambient, n("n_ambient_min_c")), n("n_ambient_max_c")),
            winding_rise_k=winding_rise,
            housing_rise_k=housing_rise,
            tau_s=torch.minimum(torch.maximum(tau, n("n_tau_min_s")), n("n_tau_max_s")),
            model_sd_k=torch.where((has_load | has_current) & has_ambient, known_sd, n("n_blind_sd_k")),
        )

    def predict(self, x: Tensor, P: Tensor, u: Inputs, dt_s: Tensor) -> tuple[Tensor, Tensor]:
        """State and covariance ``dt_s`` later: ``x' = f(x)``, ``P' = F P F^T + Q``."""
        n = self.get_buffer
        f, F, memory = self.transition(x, u, dt_s)
        hours = dt_s / n("n_hour_s")
        warmth = u.model_sd_k * u.model_sd_k * (n("n_one") - memory * memory)
        drift = [hours * n(f"n_{name}_sd") * n(f"n_{name}_sd") for name in ("cooling", "damage", "growth")]
        Q = torch.stack([warmth, warmth, *drift], dim=1).unsqueeze(2) * self.eye
        return f, torch.matmul(torch.matmul(F, P), F.transpose(1, 2)) + Q

    def transition(self, x: Tensor, u: Inputs, dt_s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``f(x)`` ``(B, 5)``, its Jacobian ``(B, 5, 5)`` and ``exp(slow eigenvalue dt)`` ``(B,)``.

        With ``A = [[-a, a], [b, -(b + g)]]``, ``m = -(a + b + g) / 2`` and ``delta = sqrt(m^2 - a g)``::

            exp(A t) = C I + S (A - m I),  C = (E1 + E2) / 2,  S = (E1 - E2) / (2 delta),  E1,2 = exp((m +- delta) t)

        ``delta`` is real and positive, as ``4 delta^2 = (a - g)^2 + b^2 + 2 b (a + g)``.
        """
        n = self.get_buffer
        one, two, half = n("n_one"), n("n_two"), n("n_half")
        T_w, T_h, c, d, growth = x.unbind(dim=1)
        share = n("n_winding_share")
        theta_w, theta_h = u.winding_rise_k, u.housing_rise_k
        # Elmore's sum of capacity times rise is the slowest time constant; rated losses are 1, so capacity is in s/K.
        capacity = u.tau_s / (share * theta_w + (one - share) * theta_h)
        C_w, C_h = share * capacity, (one - share) * capacity
        inner = one / (theta_w - theta_h)
        a, b, g = inner / C_w, inner / C_h, torch.exp(-c) / (theta_h * C_h)
        m = -half * (a + b + g)
        delta = torch.sqrt(m * m - a * g)
        E1, E2 = torch.exp((m + delta) * dt_s), torch.exp((m - delta) * dt_s)
        C, S = half * (E1 + E2), half * (E1 - E2) / delta
        p11, p12, p21, p22 = C + S * (-a - m), S * a, S * b, C + S * (-(b + g) - m)
        end_h = u.ambient_c + u.losses * theta_h * torch.exp(c)
        end_w = end_h + u.copper * (theta_w - theta_h)
        w, h = T_w - end_w, T_h - end_h
        hours = dt_s / n("n_hour_s")
        f = torch.stack([end_w + p11 * w + p12 * h, end_h + p21 * w + p22 * h, c, d + growth * hours, growth], dim=1)

        # d/dg of m, delta, C and S; then d/dc with dg/dc = -g and d end/dc = end_h - ambient for both nodes.
        dm, ddelta = -half, -(m + a) / (two * delta)
        dC = dm * dt_s * C + ddelta * dt_s * half * (E1 - E2)
        dS = dm * dt_s * S + ddelta / delta * (dt_s * C - S)
        q11, q12, q21, q22 = dC + dS * (-a - m) + S * half, dS * a, dS * b, dC + dS * (-(b + g) - m) - S * half
        lift = end_h - u.ambient_c
        w_c = lift * (one - p11 - p12) - g * (q11 * w + q12 * h)
        h_c = lift * (one - p21 - p22) - g * (q21 * w + q22 * h)
        o, i = torch.zeros_like(c), torch.ones_like(c)
        rows = ((p11, p12, w_c, o, o), (p21, p22, h_c, o, o), (o, o, i, o, o), (o, o, o, i, hours), (o, o, o, o, i))
        F = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
        return f, F, E1

    def update(self, x: Tensor, P: Tensor, at: int, z: Tensor, R: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Joseph update with a scalar measurement of state ``at``; nothing changes where ``z`` is not finite.

        Returns:
            state, covariance, innovation ``(B,)`` (NaN where unmeasured) and its squared normalised size ``(B,)``.
        """
        n = self.get_buffer
        zero, gate = n("n_zero"), n("n_gate")
        known = _known(z)
        innovation = torch.where(known, z - x[:, at], zero)
        column = P[:, :, at]
        variance = column[:, at]
        R = torch.where(known, R, n("n_one"))
        S = variance + R
        nis = innovation * innovation / S
        R = R + torch.maximum(innovation * innovation / (gate * gate) - S, zero)
        K = column / (variance + R).unsqueeze(1) * known.double().unsqueeze(1)
        I_KH = self.eye - K.unsqueeze(2) * self.eye[at]
        P = torch.matmul(torch.matmul(I_KH, P), I_KH.transpose(1, 2)) + R[:, None, None] * K.unsqueeze(2) * K.unsqueeze(
            1
        )
        unmeasured = torch.where(known, zero, n("n_infinity") - n("n_infinity"))
        return x + K * innovation.unsqueeze(1), P, innovation + unmeasured, nis

    def outlook(self, x: Tensor, P: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Health index and the median, 5 % and 95 % quantile of the first passage in hours, each ``(B,)``.

        The quantile at ``z`` solves ``(d + g t)^2 = z^2 (V_dd + 2 t P_dg + t^2 V_gg)``; its smaller root is written so
        that it stays exact where the leading coefficient vanishes. ``V`` is ``P`` with what is unknown of the future:
        the level at which the machine fails, and the random walks until the median.
        """
        n = self.get_buffer
        zero, one, infinity, horizon = n("n_zero"), n("n_one"), n("n_infinity"), n("n_horizon_h")
        d, g = x[:, 3], x[:, 4]
        z2 = n("n_z90") * n("n_z90")
        median = torch.where(g > zero, -d / torch.maximum(g, n("n_tiny")), infinity)
        ahead = torch.minimum(median, n("n_ahead_h"))
        V_dd = P[:, 3, 3] + n("n_failure_sd") * n("n_failure_sd") + ahead * n("n_damage_sd") * n("n_damage_sd")
        V_gg = P[:, 4, 4] + ahead * n("n_growth_sd") * n("n_growth_sd") * n("n_third")
        A = g * g - z2 * V_gg
        B = d * g - z2 * P[:, 3, 4]
        C = d * d - z2 * V_dd
        root = torch.sqrt(torch.maximum(B * B - A * C, zero))
        positive = torch.maximum(root - B, n("n_tiny"))
        low = torch.where(d < zero, torch.maximum(C, zero) / positive, zero)
        high = torch.where(A > zero, positive / torch.maximum(A, n("n_tiny")), infinity)  # noqa: SIM300 - A is no constant
        median = torch.where(d < zero, median, zero)
        low = torch.minimum(low, median)
        high = torch.where(d < zero, torch.maximum(high, median), zero)
        damage = torch.exp(d)
        clogged = torch.maximum(x[:, 2], zero) / n("n_cooling_lost")
        health = torch.maximum(one - torch.maximum(damage, clogged), zero)
        median, low, high = (torch.where(horizon > value, value, infinity) for value in (median, low, high))
        return health, median, low, high

    def _sound(self, x: Tensor, P: Tensor) -> tuple[Tensor, Tensor]:
        """The given state where it can be one, else the initial one: no NaN and no negative variance goes on."""
        diagonal = torch.diagonal(P, dim1=1, dim2=2)
        finite = (
            _known(x).all(dim=1) & _known(P).flatten(1).all(dim=1) & (diagonal > self.get_buffer("n_zero")).all(dim=1)
        )
        x = torch.where(finite.unsqueeze(1), x, self.initial_state)
        P = torch.where(finite[:, None, None], P, self.initial_cov)
        return self._bounded(x, P)

    def _bounded(self, x: Tensor, P: Tensor) -> tuple[Tensor, Tensor]:
        """State within its plausible range, covariance symmetric, its deviations within ``_MIN_SD`` and ``_MAX_SD``.

        Rows and columns are scaled alike (``D P D``) and the floor is added to the diagonal: neither can make a
        positive definite matrix indefinite.
        """
        n = self.get_buffer
        x = torch.minimum(torch.maximum(x, self.lower), self.upper)
        P = n("n_half") * (P + P.transpose(1, 2))
        sd = torch.sqrt(torch.maximum(torch.diagonal(P, dim1=1, dim2=2), self.min_variance))
        scale = torch.minimum(self.max_sd / sd, n("n_one"))
        P = P * scale.unsqueeze(2) * scale.unsqueeze(1)
        lacking = torch.maximum(self.min_variance - torch.diagonal(P, dim1=1, dim2=2), n("n_zero"))
        return x, P + lacking.unsqueeze(2) * self.eye


def _known(value: Tensor) -> Tensor:
    return ~(torch.isnan(value) | torch.isinf(value))
