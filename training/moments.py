"""Mean and covariance of the health filter's state over one step: prediction, then three scalar measurements.

The thermal states (``w h c``) and those of damage (``d g``) have nothing to do with each other: Jacobian, process
noise and measurements are block diagonal, so a covariance that starts so stays so, and only the nine entries in the two
blocks are carried. One that claims more is read as if it did not.

``P' = F P F^T + Q`` is two stages of products of rows, ``G = F P`` and ``G F^T``, each summed by a matrix; the products
that the zeros of ``F`` and ``P`` leave are found here, by name. A measurement of state ``i`` has ``K = P_i / S``; with
this very gain Joseph's form is ``P - P_i P_i^T / S``. It loses digits as ``P_ii / R`` grows: five of sixteen at most,
as no variance is more than 1e4 and no temperature's noise less than the housing's.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, NamedTuple

import torch

from training import thermal
from training.drive import MEASURED
from training.rows import ONE, Stacks, Terms, composed, plus, terms, times
from training.tuning import GATE, HOUR_S, ITERATIONS, LOWER, MAX_SD, Tuning

if TYPE_CHECKING:
    from torch import Tensor

STATES = ("w", "h", "c", "d", "g")
PAIRS = (*combinations_with_replacement("whc", 2), *combinations_with_replacement("dg", 2))
"""Of the covariance the upper triangle of both blocks."""
MOMENTS = (*STATES, *map("".join, PAIRS))
_LARGEST = dict(zip(STATES, MAX_SD, strict=True))
_SHARES: list[Terms] = [
    {i + i: 1.0 / _LARGEST[i] ** 2} for i in (*(row for row, _ in PAIRS), *(column for _, column in PAIRS))
]
"""For every entry the variances of its row, and then of its column, over the largest that is allowed."""
_BLOCK = {"w": "whc", "h": "whc", "c": "whc", "d": "dg", "g": "dg"}
_F: dict[tuple[str, str], Terms] = thermal.JACOBIAN | {
    ("c", "c"): {ONE: 1.0},
    ("d", "d"): {ONE: 1.0},
    ("d", "g"): terms(dt_s=1.0 / HOUR_S),
    ("g", "g"): {ONE: 1.0},
}
_MEAN = "x"
"""Stands for the mean where a column of the covariance could stand: ``F x`` is found with ``F P``."""


def entry(i: str, j: str) -> str:
    """The covariance of two states of one block, as it is named in ``MOMENTS``."""
    return i + j if i + j in MOMENTS else j + i


class _Products(NamedTuple):
    """Products of rows, by name: left times right."""

    left: dict[str, Terms]
    right: dict[str, Terms]


def _stages() -> tuple[_Products, _Products, dict[str, Terms]]:
    """``F P`` and ``F x``; these times ``F^T``; and the moments but for noise, in the second's names."""
    first, second = _Products({}, {}), _Products({}, {})
    sums: dict[tuple[str, str], Terms] = {}

    def product(i: str, k: str) -> Terms:
        if (i, k) not in sums:
            sums[i, k] = {}
            for (row, along), factor in _F.items():
                if row == i:
                    name = f"{i}{along}*{along}{k}"
                    first.left[name] = factor
                    first.right[name] = terms(along if k == _MEAN else entry(along, k))
                    sums[i, k][name] = 1.0
        return sums[i, k]

    after: dict[str, Terms] = {}
    for i in ("c", "d", "g"):
        name = f"G{i}{_MEAN}"
        second.left[name], second.right[name] = product(i, _MEAN), {ONE: 1.0}
        after[i] = terms(name)
    for i, j in PAIRS:
        after[i + j] = {}
        for (row, along), factor in _F.items():
            if row == j:
                name = f"G{i}{along}*{j}{along}"
                second.left[name], second.right[name] = product(i, along), factor
                after[i + j][name] = 1.0
    return first, second, after


_FIRST, _SECOND, _AFTER = _stages()
PRIOR: list[Terms] = list(_FIRST.right.values())
"""Rows that the prediction starts from, the factors of the first stage, in ``MOMENTS``."""
_COLUMNS = [entry("w", i) for i in "whc"], [entry("h", i) for i in "whc"], [entry("d", i) for i in "dg"]
_OBSERVED = ("w", "h", "d")
_GAINS = [f"{m}{i}" for m in _OBSERVED for i in _BLOCK[m]]
_INNOVATIONS = [f"nu_{m}" for m in _OBSERVED]


class Moments(Stacks):
    """Prediction and update for a batch of motors; all rows as named in ``MOMENTS``."""

    def __init__(self, tuning: Tuning) -> None:
        super().__init__()
        factors = [*thermal.AFTER.values(), *_FIRST.left.values(), *_SECOND.right.values()]
        self._cuts = [2, len(_FIRST.left), len(_SECOND.right)]
        self.linear("factors", factors, thermal.ROWS)
        self.linear("first", list(_SECOND.left.values()), list(_FIRST.left))
        self._forecast(tuning)
        self.constant("per_gate", 1.0 / GATE)
        self.constant("least", math.log(tuning.severity_sd))
        self.constant("most", math.log(tuning.severity_sd) - LOWER[3])
        # Of P - K P_i^T and of x + K nu: which gain, which other factor, which measurement's weight.
        product: dict[str, tuple[str, str, str, str, float]] = {}
        for m in _OBSERVED:
            for i in _BLOCK[m]:
                product[f"{m}:{i}"] = (f"{m}{i}", f"nu_{m}", m, i, 1.0)
            for i, j in PAIRS:
                if i in _BLOCK[m]:
                    product[f"{m}:{i}{j}"] = (f"{m}{i}", f"{m}{j}", m, i + j, -1.0)
        stack = [*_GAINS, *_INNOVATIONS]
        self.picks("left", [one[0] for one in product.values()], stack)
        self.picks("right", [one[1] for one in product.values()], stack)
        self.picks("weight", [one[2] for one in product.values()], _OBSERVED)
        learnt: dict[str, Terms] = {name: {} for name in MOMENTS}
        for name, (*_, target, sign) in product.items():
            learnt[target][name] = sign
        rows = [*learnt.values(), *(composed(share, learnt) for share in _SHARES)]
        self.constant("learnt", [[one.get(name, 0.0) for name in product] for one in rows])

    def _forecast(self, tuning: Tuning) -> None:
        """The predicted moments, and of them what the measurements need, from products, noise and measurements."""
        noise = {"ww": terms("warmth"), "hh": terms("warmth")}
        for name, sd in (("cc", tuning.cooling_sd), ("dd", tuning.damage_sd), ("gg", tuning.growth_sd)):
            noise[name] = terms(dt_s=sd**2 / HOUR_S)
        after = {i: terms(f"T_{i}") for i in "wh"} | {
            name: plus(one, noise.get(name, {})) for name, one in _AFTER.items()
        }
        over = ["T_w", "T_h", *_SECOND.left, "warmth", "dt_s", *MEASURED]
        nu_w, nu_h = (
            plus(terms("winding_c"), times(-1.0, after["w"])),
            plus(terms("housing_c"), times(-1.0, after["h"])),
        )
        S_w, S_h = (
            plus(after[name], {ONE: sd**2}) for name, sd in (("ww", tuning.winding_sd_k), ("hh", tuning.housing_sd_k))
        )
        columns = [[after[name] for name in column] for column in _COLUMNS]
        shift = math.log(tuning.severity_sd)
        wanted = {
            "moments": [*(after[name] for name in MOMENTS), *(composed(share, after) for share in _SHARES)],
            "winding": [nu_w, times(1.0 / GATE, nu_w), after["wh"], *columns[0]],
            "housing": [nu_h, times(1.0 / GATE, nu_h), S_h, *columns[1]],
            "nu_w": [nu_w],
            "gated_w": [times(1.0 / GATE, nu_w)],
            "S_w": [S_w],
            "wh": [after["wh"]],
            "column_w": columns[0],
            "column_d": columns[2],
            "V": [after["dd"]],
            "spread": [plus(after["dd"], {ONE: tuning.severity_log_sd**2})],
            "about": [plus(times(-1.0, after["d"]), {ONE: shift})],
            "end": [plus(after["d"], {ONE: 1.0 - shift})],
            "seen": [terms(severity=1.0 / tuning.severity_sd)],
        }
        self._parts = {name: len(rows) for name, rows in wanted.items()}
        self.linear("forecast", [row for rows in wanted.values() for row in rows], over)

    def forward(
        self, prior: Tensor, network: Tensor, warmth: Tensor, dt_s: Tensor, measured: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One prediction and one update.

        Args:
            prior: ``PRIOR``.
            network: ``thermal.ROWS``.
            warmth: variance that the temperatures gain, ``(1, B)``.
            dt_s: ``(1, B)``.
            measured: ``drive.MEASURED``.
            weight: 1 where it was measured, else 0.

        Returns:
            ``MOMENTS`` and then for every entry the variances of its row and its column over the largest that is
            allowed, ``(32, B)``; innovations, and these over their deviations, both ``(3, B)`` and without meaning
            where nothing was measured.
        """
        temperatures, left, right = self.mapped("factors", network).split(self._cuts)
        products = self.mapped("first", left * prior) * right
        forecast = self.mapped("forecast", torch.cat([temperatures, products, warmth, dt_s, measured]))
        part = dict(zip(self._parts, forecast.split(list(self._parts.values())), strict=True))
        weight_w, weight_h, weight_d = weight.split([1, 1, 1])
        gain_w = _gain(part["gated_w"], part["S_w"], weight_w)
        # What the winding has told of the housing: its innovation, its variance and its column are taken for told.
        housing = part["housing"] - gain_w * part["wh"] * part["winding"]
        nu_h, gated_h, S_h, column_h = housing.split([1, 1, 1, 3])
        gain_h = _gain(gated_h, S_h, weight_h)
        nu_d, S_d = self._severity(part)
        gain_d = _gain(nu_d * self.get_buffer("per_gate"), S_d, weight_d)
        nu = torch.cat([part["nu_w"], nu_h, nu_d])
        stack = torch.cat([part["column_w"], column_h, part["column_d"], nu])
        gains = self.pick("weight", torch.cat([gain_w, gain_h, gain_d]))
        learnt = self.pick("left", stack) * self.pick("right", stack) * gains
        moments = torch.addmm(part["moments"], self.get_buffer("learnt"), learnt)
        return moments, nu, nu / torch.sqrt(torch.cat([part["S_w"], S_h, S_d]))

    def _severity(self, part: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Innovation and its variance of a severity, as a measurement of the log damage ``d``, each ``(1, B)``.

        ``severity = h(d) + v`` with ``h = exp`` and ``R(d) = r^2 + (l h)^2``, linearised about the estimate ``d_i``
        that it leads to: ``d_{i+1} = d + K (severity - h - h (d - d_i))``, ``K = V h / (h^2 V + R)``. All of it is
        divided by ``h``, and ``y = ln(r / h)`` is iterated, so that ``K h = V / (V + l^2 + exp(y)^2)``.
        """
        n = self.get_buffer
        y = part["about"]
        for _ in range(ITERATIONS):
            nu, S = self._linearised(part, y)
            y = torch.minimum(torch.maximum(part["about"] - part["V"] * nu / S, n("least")), n("most"))
        return self._linearised(part, y)

    @staticmethod
    def _linearised(part: dict[str, Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
        per_noise = torch.exp(y)
        return part["seen"] * per_noise - y - part["end"], per_noise * per_noise + part["spread"]


def _gain(gated: Tensor, S: Tensor, weight: Tensor) -> Tensor:
    """``1 / S``, and less where the innovation, given over ``GATE``, is beyond it; 0 where nothing was measured."""
    return weight / torch.maximum(S, gated * gated)
