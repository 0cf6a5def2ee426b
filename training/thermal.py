"""The motor's two-node thermal network over any time, in closed form, and its derivative by the cooling resistance.

With ``u = T - T_end`` the network is ``du/dt = A u``, and::

    A = [[-a, a], [b, -(b + g)]] = V - mean I,  V = [[k, a], [b, -k]],  k = (b + g - a) / 2,  mean = (a + b + g) / 2
    V V = delta^2 I,  delta^2 = k^2 + a b > 0
    exp(A t) = C I + S V,  C = (E1 + E2) / 2,  S = (E1 - E2) / (2 delta),  E1,2 = exp((+-delta - mean) t)
    2 d exp(A t) / dg = -t exp(A t) + (k t I + J) S + k / delta^2 (t C - S) V,  J = diag(1, -1)

The last line is the chain rule through ``C``, ``S``, ``delta`` and ``V``. With ``g ~ exp(-c)`` and the end of both
nodes ``T_a + lift``, ``lift ~ exp(c)``, the derivative of the temperatures by ``c`` is
``lift - exp(A t) lift - g (d exp(A t) / dg) u``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from training.rows import ONE, Stacks, Terms, terms, times

if TYPE_CHECKING:
    from torch import Tensor

# What the exponential is applied to, winding and housing each: u, the lift, and the two unit vectors.
_APPLIED = ("u_w", "u_h", "lift_w", "lift_h", "p_ww", "p_hw", "p_wh", "p_hh")
_BENT = tuple(f"bent_{name}" for name in _APPLIED)
_GIVEN = ("winding_c", "housing_c", "ambient_c", "lift", "own")
ROWS = (*_APPLIED, *_BENT, *_GIVEN, "dt_s")
"""Of the stack that a step ends with; what follows from it is linear in it."""

_END_H = terms("ambient_c", "lift")
_END_W = terms("ambient_c", "lift", "own")
AFTER: dict[str, Terms] = {"w": _END_W | terms("u_w"), "h": _END_H | terms("u_h")}
"""Temperatures after the step, in ``ROWS``."""
JACOBIAN: dict[tuple[str, str], Terms] = {
    ("w", "w"): terms("p_ww"),
    ("w", "h"): terms("p_wh"),
    ("w", "c"): terms("lift", lift_w=-1.0, bent_u_w=-1.0),
    ("h", "w"): terms("p_hw"),
    ("h", "h"): terms("p_hh"),
    ("h", "c"): terms("lift", lift_h=-1.0, bent_u_h=-1.0),
}
"""Their derivatives by the temperatures before and by the logarithm of the cooling resistance, in ``ROWS``."""


class Inputs(NamedTuple):
    """What drives the network, each ``(1, batch)`` float64 and finite."""

    copper: Tensor  # p, winding loss over its rated value
    losses: Tensor  # q, all losses over their rated value
    ambient_c: Tensor
    excess_k: Tensor  # winding over housing at rated load
    housing_rise_k: Tensor
    tau_s: Tensor
    variance: Tensor  # of a node's temperature about the model's


class Thermal(Stacks):
    """One step of the network for a batch of motors.

    Args:
        winding_share: of the heat capacity.
    """

    signs: Tensor
    turned: Tensor

    def __init__(self, winding_share: float) -> None:
        super().__init__()
        w, h = winding_share, 1.0 - winding_share
        self.constant("share", winding_share)
        # inner: 1 / (C theta) of the path from winding to housing; outer: of that to the ambient, both in 1/s
        a, b, g = terms(inner=1.0 / w), terms(inner=1.0 / h), terms(outer=1.0 / h)
        k = terms(inner=0.5 / h - 0.5 / w, outer=0.5 / h)
        against = times(-1.0, k)
        mean = terms(inner=0.5 / h + 0.5 / w, outer=0.5 / h)
        rates = [*[k, against] * 4, *[a, b] * 4, mean, mean, times(2.0, mean), times(0.5, g), k, k, a, k, b]
        self.linear("rates", rates, ("inner", "outer"))
        self.column("signs", (1.0, -1.0, 2.0))
        self.column("turned", (1.0, -1.0) * 4)
        exponentials: list[Terms] = [{"E1": 0.5, "E2": 0.5}, {"E1": 0.5, "E2": -0.5}, {ONE: 1.0, "E1 E1": -1.0}]
        self.linear("halves", exponentials, ("E1", "E2", "E1 E1"))
        u_w = {"winding_c": 1.0, **dict.fromkeys(_END_W, -1.0)}
        u_h = {"housing_c": 1.0, **dict.fromkeys(_END_H, -1.0)}
        vectors: list[tuple[Terms, Terms]] = [
            (u_w, u_h),
            (terms("lift"), terms("lift")),
            ({ONE: 1.0}, {}),
            ({}, {ONE: 1.0}),
        ]
        upright = [part for vector in vectors for part in vector]
        swapped = [part for vector in vectors for part in reversed(vector)]
        self.linear("applied", [*upright, *swapped], _GIVEN)

    def forward(self, temperatures: Tensor, cooling: Tensor, u: Inputs, dt_s: Tensor) -> tuple[Tensor, Tensor]:
        """A step of ``dt_s`` ``(1, B)``.

        Args:
            temperatures: winding and housing, ``(2, B)``.
            cooling: logarithm of the cooling resistance over the nameplate's, ``(1, B)``.
            u: what drives it.
            dt_s: how long.

        Returns:
            The stack ``ROWS`` ``(22, B)``, and what share of its variance about the model's end is new, ``(1, B)``: one
            less the squared decay of the slow eigenvector.
        """
        hot = u.housing_rise_k * torch.exp(cooling)
        # Elmore's sum of capacity times rise is the slowest time constant; rated losses are 1, so capacity is in s/K.
        per_capacity = (u.housing_rise_k + self.get_buffer("share") * u.excess_k) / u.tau_s
        rates = self.mapped("rates", per_capacity / torch.cat([u.excess_k, hot]))
        K, ab, mean, half_g, k, left, right = rates.split([8, 8, 3, 1, 1, 2, 2])
        squared = (left * right).sum(dim=0, keepdim=True)
        delta = torch.sqrt(squared)
        E = torch.exp((self.signs * delta - mean) * dt_s)
        C, half, forgotten = self.mapped("halves", E).split([1, 1, 1])
        S = half / delta
        given = torch.cat([temperatures, u.ambient_c, u.losses * hot, u.copper * u.excess_k])
        upright, swapped = self.mapped("applied", given).split([8, 8])
        V = K * upright + ab * swapped
        solved = C * upright + S * V
        bent = (k * dt_s + self.turned) * S * upright + k / squared * (dt_s * C - S) * V - dt_s * solved
        return torch.cat([solved, half_g * bent, given, dt_s]), forgotten
