"""The health filter: one step of an extended Kalman filter over a motor's temperatures, cooling and damage, batched.

State, float64: winding and housing temperature ``T_w, T_h`` (degC), logarithm of the cooling resistance relative to the
nameplate's ``c``, logarithm of the damage ``d`` (0 at failure) and its growth ``g`` per hour::

    C_w dT_w/dt = s p - s (T_w - T_h) / (theta_w - theta_h)                two-node thermal network, p and q as in
    C_h dT_h/dt = q - s p + s (T_w - T_h) / (theta_w - theta_h)            ``training.heat`` (Boglietti et al., IEEE
                  - (T_h - T_a) / (theta_h exp(c))                         Trans. Ind. Electron. 56 (2009) 871-882)
    d' = d + g dt,  c' = c,  g' = g                                        random walks beside this

The thermal part is discretised exactly (``training.thermal``), so one step may be a second or a day. Measurements
(winding, housing, severity) are applied one after the other (``training.moments``; Bar-Shalom, Li and Kirubarajan,
Estimation with Applications, 2001, sec. 5.2.3), each masked where it is NaN; a normalised innovation beyond ``GATE``
has its noise inflated until it is not, so no single value can throw the filter. Severity is ``exp(d)`` with noise that
grows with it: its update is iterated (ibid., sec. 10.5.2), about where it leads and not about where it comes from.
Noise reckoned from the measured severity would trust high values more than low ones.

Remaining life is the first passage of ``d + g t`` through zero (``training.passage``).

The graph is written for few nodes, as stacks of rows (``training.rows``): at the edge's usual batch of a few motors a
node costs more than its arithmetic.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.drive import Drive
from training.moments import PAIRS, PRIOR, STATES, Moments
from training.passage import Passage
from training.rows import Stacks, Terms, composed, plus, terms
from training.thermal import Thermal
from training.tuning import INITIAL_SD, INITIAL_STATE, LOWER, MAX_SD, MIN_SD, UPPER, Tuning

_SLACK = 1.0 + 1e-6
_THERMAL: list[Terms] = [terms("w"), terms("h"), terms("c")]
"""What the network starts from, beside what the moments start from."""


class Health(Stacks):
    """One step of the filter for a batch of motors; see the manifest's docstring for the shapes."""

    nan: Tensor
    least: Tensor
    most: Tensor
    fresh: Tensor
    upper: Tensor
    lower: Tensor
    floor: Tensor
    square: Tensor

    def __init__(self, tuning: Tuning | None = None) -> None:
        super().__init__()
        tuning = tuning or Tuning()
        self.drive = Drive(tuning)
        self.thermal = Thermal(tuning.winding_share)
        self.moments = Moments(tuning)
        self.passage = Passage(tuning)
        self.constant("nan", np.nan)
        self.constant("one", 1.0)
        max_sd, min_sd = np.array(MAX_SD), np.array(MIN_SD)
        # What a state that this filter wrote lies within, but for rounding.
        beyond = _SLACK * np.outer(max_sd, max_sd)
        below = np.where(np.eye(len(max_sd)) > 0.0, np.diag(min_sd**2) / _SLACK, -beyond)
        self.constant("least", [[*LOWER, *below.ravel()]])
        self.constant("most", [[*UPPER, *beyond.ravel()]])
        given = [*STATES, *(i + "." + j for i in STATES for j in STATES)]
        packed = {i: terms(i) for i in STATES} | {i + j: plus({f"{i}.{j}": 0.5}, {f"{j}.{i}": 0.5}) for i, j in PAIRS}
        rows = [*_THERMAL, *PRIOR]
        self.linear("prior", [composed(row, packed) for row in rows], given)
        fresh = dict(zip(STATES, INITIAL_STATE, strict=True)) | {
            i + i: sd**2 for i, sd in zip(STATES, INITIAL_SD, strict=True)
        }
        self.column("fresh", [sum(value * fresh.get(name, 0.0) for name, value in row.items()) for row in rows])
        self.column("lower", LOWER)
        self.column("upper", UPPER)
        self.column("floor", [min_sd[STATES.index(i)] ** 2 if i == j else -np.inf for i, j in PAIRS])
        square = [[float((i, j) in (pair, pair[::-1])) for i in STATES for j in STATES] for pair in PAIRS]
        self.constant("square", square)

    def forward(
        self, state: Tensor, cov: Tensor, operating: Tensor, nameplate: Tensor, severity: Tensor, dt_s: Tensor
    ) -> tuple[Tensor, ...]:
        """One prediction over ``dt_s`` and one update.

        Returns:
            ``state_next (B, 5)``, ``cov_next (B, 5, 5)``, ``health (B,)``, ``rul_h``, ``rul_low_h``, ``rul_high_h``,
            ``rul_q25_h``, ``rul_q75_h`` ``(B,)``, ``innovation (B, 3)`` with NaN where unmeasured, the same over its
            deviation as ``normalised``, ``nis (B,)``, all float64.
        """
        told = self.drive(operating, nameplate, severity, dt_s)
        temperatures, cooling, prior = self._sound(state, cov).split([2, 1, len(PRIOR)])
        network, new = self.thermal(temperatures, cooling, told.inputs, told.dt_s)
        moments, nu, normalised = self.moments(
            prior, network, told.inputs.variance * new, told.dt_s, told.measured, told.weight
        )
        x, P = self._bounded(moments)
        _, cooling, d, g = x.split([2, 1, 1, 1])
        _, of_damage = P.split([6, 3])
        full = torch.matmul(P.t(), self.square).reshape(-1, len(STATES), len(STATES))
        nis = (told.weight * normalised * normalised).sum(dim=0)
        unseen = told.missing
        told_of_life = self.passage(cooling, d, g, of_damage)
        return x.t(), full, *told_of_life, (nu + unseen).t(), (normalised + unseen).t(), nis

    def _sound(self, state: Tensor, cov: Tensor) -> Tensor:
        """The given moments where they can be some, else those of a new motor; ``_THERMAL`` and ``PRIOR`` of them.

        A value that is not finite or beyond the bounds becomes NaN, and a matrix product spreads that over its motor.
        """
        given = torch.cat([state, cov.reshape(-1, len(STATES) ** 2)], dim=1)
        held = torch.minimum(torch.maximum(given, self.least), self.most)
        rows = self.mapped("prior", torch.where(held == given, given, self.nan).t())
        return torch.where(torch.isnan(rows), self.fresh, rows)

    def _bounded(self, moments: Tensor) -> tuple[Tensor, Tensor]:
        """State within its plausible range, deviations within ``MIN_SD`` and ``MAX_SD``; ``STATES`` and ``PAIRS``.

        Rows and columns are scaled alike (``D P D``) and then variances are raised to their floor: neither can make a
        positive definite matrix indefinite.
        """
        entries = len(PAIRS)
        x, P, shares = moments.split([len(STATES), entries, 2 * entries])
        of_rows, of_columns = torch.maximum(shares, self.get_buffer("one")).split([entries, entries])
        P = P / torch.sqrt(of_rows * of_columns)
        return torch.minimum(torch.maximum(x, self.lower), self.upper), torch.maximum(P, self.floor)
