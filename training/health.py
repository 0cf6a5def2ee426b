"""The health filter: one step of an extended Kalman filter over a motor's temperatures, cooling and damage, batched.

State, float64: winding and housing temperature ``T_w, T_h`` (degC), logarithm of the cooling resistance relative to the
nameplate's ``c``, logarithm of the damage ``d`` (0 at failure) and its growth ``g`` per hour::

    C_w dT_w/dt = s p - s (T_w - T_h) / (theta_w - theta_h)                two-node thermal network, p and q as in
    C_h dT_h/dt = q - s p + s (T_w - T_h) / (theta_w - theta_h)            ``training.heat`` (Boglietti et al., IEEE
                  - (T_h - T_a) / (theta_h exp(c))                         Trans. Ind. Electron. 56 (2009) 871-882)
    d' = d + g dt,  c' = c,  g' = g                                        random walks beside this

The thermal part is discretised exactly, by the closed form of a 2x2 exponential with real eigenvalues, so one step may
be a second or a day. Measurements (winding, housing, severity) are applied one after the other in Joseph form
(Bar-Shalom, Li and Kirubarajan, Estimation with Applications, 2001, eq. 5.2.3-18), each masked where it is NaN; a
normalised innovation beyond ``GATE`` has its noise inflated until it is not, so no single value can throw the filter.
Severity is ``exp(d)`` with noise that grows with it: its update is iterated (ibid., sec. 10.5.2), about where it leads
and not about where it comes from. Noise reckoned from the measured severity would trust high values more than low ones.

The graph is written for few nodes: at the edge's usual batch of a few motors a node costs more than its arithmetic.

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
ITERATIONS = 4
"""Of the severity's update: enough from as new to nearly failed in one step."""
QUARTILE_Z = 0.53
"""How far the quartiles lie out, in deviations: the middle of the real spread is narrower than a Gaussian's with such
tails. 0.674 held 61 % of the lives of fleets that were made to set this; 0.53 holds a half."""
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
    severity_sd: float = 0.06  # of severity itself
    severity_log_sd: float = 0.20  # of its logarithm, beside that
    failure_sd: float = 0.3  # of the logarithm of the severity at which a machine really fails


_UPPER = (400.0, 400.0, 3.0, 0.0, 0.5)
_LOWER = (-100.0, -100.0, -2.0, -5.0, -0.1)
_MAX_SD = (100.0, 100.0, 2.0, 4.0, 0.5)
_MIN_SD = (1e-2, 1e-2, 1e-4, 1e-4, 1e-6)

_NUMBERS: dict[str, float] = {
    "zero": 0.0,
    "half": 0.5,
    "third": 1.0 / 3.0,
    "ahead_h": 100.0,  # growth's random walk is reckoned with no farther than this
    "one": 1.0,
    "two": 2.0,
    "hour_s": 3600.0,
    "gate": GATE,
    "horizon_h": HORIZON_H,
    "max_dt_s": MAX_DT_S,
    "infinity": float("inf"),
    "tiny": 1e-12,
    "rise_min_k": 2.0,
    "cooling_lost": 1.3862943611198906,  # ln 4: a resistance four times as new is a health of 0
}


_Z = (1.6448536269514722, QUARTILE_Z)  # of the 90 % interval: 5 % of a Gaussian lie above; and of the 50 % interval


class Range(NamedTuple):
    """What a driving quantity is where it is unknown, and the range that it is held in."""

    fallback: float
    low: float
    high: float


OPERATING_RANGES: dict[str, Range] = {
    "current_a": Range(0.0, 0.0, 1e6),
    "load": Range(0.75, 0.0, 3.0),
    "ambient_c": Range(25.0, -60.0, 90.0),
}
NAMEPLATE_RANGES: dict[str, Range] = {
    "rated_current_a": Range(1.0, 1e-12, 1e6),
    "winding_rise_k": Range(80.0, 2.0, 300.0),  # fallbacks of rises and time constant as in messages.Nameplate
    "housing_rise_k": Range(40.0, 2.0, 300.0),
    "thermal_tau_s": Range(2400.0, 1.0, 1e6),
}
EFFORT_MAX = 3.0
"""More than this of the rated load or current is a broken sensor."""


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
    warm: Tensor
    walks: Tensor
    places: Tensor
    z2: Tensor
    constant_part: Tensor

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
        constant("z2", [np.square(_Z)])
        size = len(STATE_NAMES)
        constant("eye", np.eye(size))
        constant("n_effort_max", EFFORT_MAX)
        constant("n_damage_min", _LOWER[3])
        for name, names, ranges in (
            ("operating", OPERATING, OPERATING_RANGES),
            ("nameplate", NAMEPLATE, NAMEPLATE_RANGES),
        ):
            self.register_buffer(f"n_{name}_columns", torch.tensor([names.index(one) for one in ranges]))
            for field in Range._fields:
                constant(f"n_{name}_{field}", [[getattr(one, field) for one in ranges.values()]])
        constant("warm", [[1.0, 1.0, 0.0, 0.0, 0.0]])
        numbers = (tuning or Tuning())._asdict()
        constant("walks", [[0.0, 0.0, *(numbers[f"{name}_sd"] ** 2 for name in ("cooling", "damage", "growth"))]])
        # Where p11, p12, w_c, p21, p22, h_c and the hours stand in the Jacobian; the rest of it is constant.
        places = np.zeros((7, size, size))
        for entry, (row, column) in enumerate(((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (3, 4))):
            places[entry, row, column] = 1.0
        constant("places", places.reshape(7, -1))
        constant("constant_part", [np.diag([0.0, 0.0, 1.0, 1.0, 1.0]).ravel()])

    def forward(
        self, state: Tensor, cov: Tensor, operating: Tensor, nameplate: Tensor, severity: Tensor, dt_s: Tensor
    ) -> tuple[Tensor, ...]:
        """One prediction over ``dt_s`` and one update.

        Returns:
            ``state_next (B, 5)``, ``cov_next (B, 5, 5)``, ``health (B,)``, ``rul_h``, ``rul_low_h``, ``rul_high_h``,
            ``rul_q25_h``, ``rul_q75_h`` ``(B,)``, ``innovation (B, 3)`` with NaN where unmeasured, ``nis (B,)``, all
            float64.
        """
        n = self.get_buffer
        x, P = self._sound(state, cov)
        seconds = torch.where(_known(dt_s), dt_s, n("n_zero"))
        seconds = torch.minimum(torch.maximum(seconds, n("n_zero")), n("n_max_dt_s"))
        x, P = self.predict(x, P, self.inputs(operating, nameplate), seconds)
        winding, housing = (operating[:, OPERATING.index(name)].double() for name in ("winding_c", "housing_c"))
        x, P, of_winding, nis_w = self.update(x, P, 0, winding, n("n_winding_sd_k") * n("n_winding_sd_k"))
        x, P, of_housing, nis_h = self.update(x, P, 1, housing, n("n_housing_sd_k") * n("n_housing_sd_k"))
        z, R = self.linearised(x[:, 3], P[:, 3, 3], severity)
        x, P, of_severity, nis_s = self.update(x, P, 3, z, R)
        x, P = self._sound(*self._bounded(x, P))
        innovation = torch.stack([of_winding, of_housing, of_severity], dim=1)
        return x, P, *self.outlook(x, P), innovation, nis_w + nis_h + nis_s

    def inputs(self, operating: Tensor, nameplate: Tensor) -> Inputs:
        """Losses, ambient and thermal nameplate with their fallbacks for what is missing."""
        n = self.get_buffer
        (current, load, ambient), (has_current, has_load, has_ambient) = self._read("operating", operating)
        (rated, winding_rise, housing_rise, tau), (has_rated, *_) = self._read("nameplate", nameplate)
        has_current = has_current & has_rated
        drawn = torch.minimum(current / rated, n("n_effort_max"))
        idle = n("n_idle_current_squared")
        drawn = torch.maximum((drawn * drawn - idle) / (n("n_one") - idle), n("n_zero"))
        squared = torch.where(has_load | ~has_current, load * load, drawn)
        copper = squared * (n("n_cold_share") + (n("n_one") - n("n_cold_share")) * squared)
        losses = n("n_idle_share") + (n("n_one") - n("n_idle_share")) * copper
        winding_rise = torch.maximum(winding_rise, housing_rise + n("n_rise_min_k"))
        known_sd = n("n_thermal_sd_k") + n("n_thermal_share") * losses * winding_rise
        return Inputs(
            copper=copper,
            losses=losses,
            ambient_c=ambient,
            winding_rise_k=winding_rise,
            housing_rise_k=housing_rise,
            tau_s=tau,
            model_sd_k=torch.where((has_load | has_current) & has_ambient, known_sd, n("n_blind_sd_k")),
        )

    def _read(self, name: str, table: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The columns of ``name``'s ranges, held within them, and which were known, each ``(B,)``."""
        n = self.get_buffer
        given = torch.index_select(table, 1, n(f"n_{name}_columns")).double()
        known = _known(given)
        held = torch.where(known, given, n(f"n_{name}_fallback"))
        held = torch.minimum(torch.maximum(held, n(f"n_{name}_low")), n(f"n_{name}_high"))
        return held.unbind(dim=1), known.unbind(dim=1)

    def predict(self, x: Tensor, P: Tensor, u: Inputs, dt_s: Tensor) -> tuple[Tensor, Tensor]:
        """State and covariance ``dt_s`` later: ``x' = f(x)``, ``P' = F P F^T + Q``."""
        n = self.get_buffer
        f, F, memory = self.transition(x, u, dt_s)
        warmth = u.model_sd_k * u.model_sd_k * (n("n_one") - memory * memory)
        Q = warmth.unsqueeze(1) * self.warm + (dt_s / n("n_hour_s")).unsqueeze(1) * self.walks
        return f, torch.matmul(torch.matmul(F, P), F.transpose(1, 2)) + Q.unsqueeze(2) * self.eye

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
        entries = torch.stack([p11, p12, w_c, p21, p22, h_c, hours], dim=1)
        F = (torch.matmul(entries, self.places) + self.constant_part).reshape(-1, len(STATE_NAMES), len(STATE_NAMES))
        return f, F, E1

    def linearised(self, d: Tensor, variance: Tensor, severity: Tensor) -> tuple[Tensor, Tensor]:
        """What a severity says of the log damage ``d``, and the variance of that, each ``(B,)``.

        ``severity = h(d) + v`` with ``h = exp`` and ``R(d) = r^2 + (l h)^2``, linearised about the estimate ``d_i``
        that it leads to: ``d_{i+1} = d + K (severity - h - h (d - d_i))``, ``K = V h / (h^2 V + R)``.
        """
        n = self.get_buffer
        plain, relative = n("n_severity_sd") * n("n_severity_sd"), n("n_severity_log_sd") * n("n_severity_log_sd")
        held = torch.minimum(torch.maximum(severity, n("n_zero")), n("n_one"))
        about = d
        for _ in range(ITERATIONS):
            h = torch.exp(about)
            gain = variance * h / (h * h * (variance + relative) + plain)
            about = d + gain * (held - h - h * (d - about))
            about = torch.minimum(torch.maximum(about, n("n_damage_min")), n("n_zero"))
        h = torch.exp(about)
        return about + (held - h) / h, plain / (h * h) + relative

    def update(self, x: Tensor, P: Tensor, at: int, z: Tensor, R: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Joseph update with a scalar measurement of state ``at``; nothing changes where ``z`` is not finite.

        ``R`` is ``(B,)``, or one for all.

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

    def outlook(self, x: Tensor, P: Tensor) -> tuple[Tensor, ...]:
        """Health index and first passage in hours: median, 5 % and 95 % quantile, quartiles, each ``(B,)``.

        The quantile at ``z`` solves ``(d + g t)^2 = z^2 (V_dd + t (2 P_dg + q_d) + t^2 V_gg)``; its smaller root is
        written so that it stays exact where the leading coefficient vanishes. ``V`` is ``P`` with what is unknown of
        the future: the level at which the machine fails, damage's random walk ``q_d`` until the quantile itself, and
        growth's, which would make the equation a cubic, until the median.
        """
        n = self.get_buffer
        zero, one, infinity, horizon = n("n_zero"), n("n_one"), n("n_infinity"), n("n_horizon_h")
        d, g = x[:, 3:4], x[:, 4:5]
        median = torch.where(g > zero, -d / torch.maximum(g, n("n_tiny")), infinity)
        ahead = torch.minimum(median, n("n_ahead_h"))
        V_dd = P[:, 3, 3:4] + n("n_failure_sd") * n("n_failure_sd")
        V_gg = P[:, 4, 4:5] + ahead * n("n_growth_sd") * n("n_growth_sd") * n("n_third")
        A = g * g - self.z2 * V_gg
        B = d * g - self.z2 * (P[:, 3, 4:5] + n("n_half") * n("n_damage_sd") * n("n_damage_sd"))
        C = d * d - self.z2 * V_dd
        root = torch.sqrt(torch.maximum(B * B - A * C, zero))
        positive = torch.maximum(root - B, n("n_tiny"))
        low = torch.maximum(C, zero) / positive
        high = torch.where(A > zero, positive / torch.maximum(A, n("n_tiny")), infinity)  # noqa: SIM300 - A is no constant
        lives = torch.cat([median, torch.minimum(low, median), torch.maximum(high, median)], dim=1)
        lives = torch.where(d < zero, torch.where(horizon > lives, lives, infinity), zero)
        median, low, low_50, high, high_50 = lives.unbind(dim=1)
        damage = torch.exp(x[:, 3])
        clogged = torch.maximum(x[:, 2], zero) / n("n_cooling_lost")
        health = torch.maximum(one - torch.maximum(damage, clogged), zero)
        return health, median, low, high, low_50, high_50

    def _sound(self, x: Tensor, P: Tensor) -> tuple[Tensor, Tensor]:
        """The given state where it can be one, else the initial one: no NaN and no negative variance goes on."""
        diagonal = _diagonal(P)
        # a sum is finite only where everything in it is
        finite = _known(x.sum(dim=1) + P.sum(dim=(1, 2))) & (diagonal.amin(dim=1) > self.get_buffer("n_zero"))
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
        sd = torch.sqrt(torch.maximum(_diagonal(P), self.min_variance))
        scale = torch.minimum(self.max_sd / sd, n("n_one"))
        P = P * scale.unsqueeze(2) * scale.unsqueeze(1)
        lacking = torch.maximum(self.min_variance - _diagonal(P), n("n_zero"))
        return x, P + lacking.unsqueeze(2) * self.eye


def _diagonal(P: Tensor) -> Tensor:
    """``(B, 5)``, as a slice: the exporter writes ``torch.diagonal`` as a dozen nodes."""
    return P.reshape(-1, len(STATE_NAMES) ** 2)[:, :: len(STATE_NAMES) + 1]


def _known(value: Tensor) -> Tensor:
    difference = value - value  # 0, or NaN for NaN and infinity
    return ~torch.isnan(difference)
