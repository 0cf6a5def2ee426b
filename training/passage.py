"""Health index, and remaining life as the first passage of ``d + g t`` through zero under the Gaussian of ``(d, g)``.

The quantile at ``z`` solves ``(d + g t)^2 = z^2 (V_dd + t (2 P_dg + q_d) + t^2 V_gg)``; its smaller root is written so
that it stays exact where the leading coefficient vanishes. ``V`` is ``P`` with what is unknown of the future: the level
at which the machine fails, damage's random walk ``q_d`` until the quantile itself, and growth's, which would make the
equation a cubic, until the median.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from training.rows import Stacks, Terms, terms
from training.tuning import AHEAD_H, COOLING_LOST, HORIZON_H, QUARTILE_Z, Z90, Tuning

if TYPE_CHECKING:
    from torch import Tensor

_GIVEN = ("gg", "dg", "dd", "V_dd", "P_dg", "V_gg", "ahead_h")


class Passage(Stacks):
    """The outlook of a batch of motors."""

    def __init__(self, tuning: Tuning) -> None:
        super().__init__()
        for name, value in {
            "zero": 0.0,
            "one": 1.0,
            "tiny": 1e-12,
            "never": 1e-100,  # a slope that reaches nothing within any horizon
            "ahead_h": AHEAD_H,
            "horizon_h": HORIZON_H,
            "infinity": float("inf"),
            "clogging": 1.0 / COOLING_LOST,
        }.items():
            self.constant(name, value)
        A: list[Terms] = []
        B: list[Terms] = []
        C: list[Terms] = []
        for z in (Z90, QUARTILE_Z):
            A.append(terms("gg", V_gg=-(z**2), ahead_h=-(z**2) * tuning.growth_sd**2 / 3.0))
            B.append({"dg": 1.0, "P_dg": -(z**2), "1": -(z**2) * tuning.damage_sd**2 / 2.0})
            C.append({"dd": 1.0, "V_dd": -(z**2), "1": -(z**2) * tuning.failure_sd**2})
        self.linear("quadratic", [*A, *B, *C], _GIVEN)

    def forward(self, cooling: Tensor, d: Tensor, g: Tensor, covariance: Tensor) -> tuple[Tensor, ...]:
        """Health index; hours to the first passage: median, 5 % and 95 % quantile, quartiles; each ``(B,)``.

        Args:
            cooling: logarithm of the cooling resistance, ``(1, B)``.
            d: logarithm of the damage, at most 0, ``(1, B)``.
            g: its growth per hour, ``(1, B)``.
            covariance: ``P_dd, P_dg, P_gg``, ``(3, B)``.
        """
        n = self.get_buffer
        median = -d / torch.maximum(g, n("never"))
        ahead = torch.minimum(median, n("ahead_h"))
        A, B, C = self.mapped("quadratic", torch.cat([g * g, d * g, d * d, covariance, ahead])).split([2, 2, 2])
        positive = torch.maximum(torch.sqrt(torch.relu(B * B - A * C)) - B, n("tiny"))
        low = torch.minimum(torch.relu(C) / positive, median)
        high = torch.maximum(positive / torch.maximum(A, n("never")), median)
        lives = torch.cat([median, low, high])
        lives = torch.where(d < n("zero"), torch.where(lives < n("horizon_h"), lives, n("infinity")), n("zero"))
        health = torch.relu(n("one") - torch.maximum(torch.exp(d), cooling * n("clogging")))
        return health[0], lives[0], lives[1], lives[3], lives[2], lives[4]
