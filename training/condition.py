"""Operating point and nameplate as a torch module: which of it is known, shaft speed, per-unit values, heat.

Columns of ``(B, n)`` are worked on side by side: what is linear between them is one matrix, as in ``training.rows``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from service.contract.signals import NAMEPLATE, OPERATING
from training import heat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TABLES = (*OPERATING, *NAMEPLATE)
ORDERS: tuple[str, ...] = ("ftf", "bsf", "bpfo", "bpfi")
_ONE = "1"
_READ = tuple((_TABLES.index(name), size) for name, size in (("speed_rpm", 1), ("rated_speed_rpm", 1), (ORDERS[0], 4)))


class _Quotient(NamedTuple):
    """A sum of columns over another, within limits, and what has to be known for it not to be 0."""

    needs: tuple[str, ...]
    value: dict[str, float]
    base: dict[str, float]
    least: float = -np.inf
    low: float = -1.0
    high: float = 4.0


_SPEEDS = ("speed_rpm", "rated_speed_rpm")
_WINDING = ("winding_c", "ambient_c", "winding_rise_k")
_HOUSING = ("housing_c", "ambient_c", "housing_rise_k")
# Where a quotient is not known, its base is raised by 1, so that it is not divided by 0.
_QUOTIENTS: dict[str, _Quotient] = {
    "speed": _Quotient(_SPEEDS, {"speed_rpm": 1.0}, {"rated_speed_rpm": 1.0, _ONE: 1.0, "speed": -1.0}),
    "current": _Quotient(
        ("current_a", "rated_current_a"), {"current_a": 1.0}, {"rated_current_a": 1.0, _ONE: 1.0, "current": -1.0}
    ),
    "winding": _Quotient(
        _WINDING, {"winding_c": 1.0, "ambient_c": -1.0}, {"winding_rise_k": 1.0, _ONE: 1.0, "winding": -1.0}
    ),
    "housing": _Quotient(
        _HOUSING, {"housing_c": 1.0, "ambient_c": -1.0}, {"housing_rise_k": 1.0, _ONE: 1.0, "housing": -1.0}
    ),
    "gradient": _Quotient(
        (*_WINDING, *_HOUSING),
        {"winding_c": 1.0, "housing_c": -1.0},
        {"winding_rise_k": 1.0, "housing_rise_k": -1.0},
        least=1.0,
    ),
    "share": _Quotient(
        (), {"housing_rise_k": 1.0}, {"winding_rise_k": 1.0, _ONE: 1.0, "rise": -1.0}, low=0.1, high=0.95
    ),
    "slip": _Quotient(
        _SPEEDS, {"rated_speed_rpm": 10.0, "speed_rpm": -10.0}, {"rated_speed_rpm": 1.0, _ONE: 1.0}, high=1.0
    ),
}
_NEEDS: dict[str, tuple[str, ...]] = {
    **{name: quotient.needs for name, quotient in _QUOTIENTS.items()},
    "rise": ("winding_rise_k",),
    "bearing": ORDERS,
    "has_load": ("load",),
    "size": ("rated_current_a",),
}
FLAGS: tuple[str, ...] = (*_NEEDS, "rated_alone", "has_order", "has_bearing")
"""Names in the order of ``Condition.flags``; each up where all that it needs is known."""
ALWAYS = "share"
_DRAWN_GAIN = 1.0 / (1.0 - heat.IDLE_CURRENT_SQUARED)
_UNTOLD = 0.64
"""Square of the load where neither it nor the current is known."""

LINEAR: tuple[str, ...] = (
    *("speed_pu", "current_pu", "winding_rise_pu", "housing_rise_pu", "gradient_pu", "share", "slip_pu"),
    *("load_pu", "winding_excess", "housing_excess"),
)
"""Names in the order of ``Condition.linear``."""
LOGARITHMIC: tuple[str, ...] = ("winding_heat", "housing_heat", "resistance_ratio", "size")
"""Names in the order of ``Condition.logarithmic``."""


class Condition(NamedTuple):
    """A motor's operating point as it is told.

    Attributes:
        flags: ``FLAGS``, ``(B, n)``.
        orders: of the bearing, ``ORDERS``, 0 where unknown, ``(B, 4)``.
        shaft_hz: rated where the speed is missing, ``(B, 1)``.
        linear: ``LINEAR``, ``(B, n)``, not masked.
        logarithmic: ``LOGARITHMIC`` before their logarithm is taken.
    """

    flags: Tensor
    orders: Tensor
    shaft_hz: Tensor
    linear: Tensor
    logarithmic: Tensor


class Conditions(nn.Module):
    """Operating points and nameplates in, ``Condition`` out."""

    least: Tensor
    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        needs = [dict.fromkeys(names, 1.0) | {_ONE: 1.0 - len(set(names))} for names in _NEEDS.values()]
        self._map("flag", [*needs, {"rated_speed_rpm": 1.0, "speed_rpm": -1.0}], _TABLES)
        drawn = -heat.IDLE_CURRENT_SQUARED * _DRAWN_GAIN
        quotients = _QUOTIENTS.values()
        sums = [
            *(one.value for one in quotients),
            *(one.base for one in quotients),
            {"load": 1.0},
            {"rated_current_a": 1.0},
            {_ONE: _UNTOLD, "current": drawn - _UNTOLD},
        ]
        self._map("sum", sums, (*_TABLES, *_NEEDS, "rated_alone"))
        for name in ("least", "low", "high"):
            self.register_buffer(name, torch.tensor([getattr(one, name) for one in quotients]))

    def _map(self, name: str, wanted: Sequence[Mapping[str, float]], over: Sequence[str]) -> None:
        """Keeps the map from columns ``over`` to the ``wanted`` sums of them."""
        weights = np.array([[one.get(column, 0.0) for column in over] for one in wanted], dtype=np.float32)
        self.register_buffer(f"{name}_weight", torch.from_numpy(weights))
        self.register_buffer(f"{name}_bias", torch.tensor([one.get(_ONE, 0.0) for one in wanted]))

    def _mapped(self, name: str, columns: Tensor) -> Tensor:
        return nn.functional.linear(columns, self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias"))

    def forward(self, operating: Tensor, nameplate: Tensor, audible: Tensor) -> Condition:
        """Inputs as in ``service.contract.manifest``.

        Args:
            operating: ``(B, len(OPERATING))``.
            nameplate: ``(B, len(NAMEPLATE))``.
            audible: 0 where the channel is dead, else up to 1, ``(B, 1)``.
        """
        tables = torch.cat([operating, nameplate], dim=1)
        finite = tables - tables == 0.0  # NaN for NaN and infinity
        known = torch.where(finite, tables, 0.0)
        flags = torch.relu(self._mapped("flag", finite.to(tables.dtype)))
        speed, rated, orders = (known[:, at : at + size] for at, size in _READ)
        count = len(_QUOTIENTS)
        told, _, bearing, has_load, _, alone = flags.split([count, 1, 1, 1, 1, 1], dim=1)
        shaft_hz = (speed + rated * alone) / 60.0
        has_order = ((speed > 60.0).to(speed.dtype) + alone) * audible
        sums = self._mapped("sum", torch.cat([known, flags], dim=1))
        value, base, load, rated_current, offset = sums.split([count, count, 1, 1, 1], dim=1)
        quotient = value / torch.maximum(base, self.least)
        quotient = torch.minimum(torch.maximum(quotient, self.low), self.high) * told
        _, current, rises, gradient, share, _ = quotient.split([1, 1, 2, 1, 1, 1], dim=1)
        # Losses as ``training.heat`` has them; where no current is known the offset says so.
        drawn = torch.relu(current * current * _DRAWN_GAIN + offset)
        squared = torch.where(has_load > 0.0, load * load, drawn)
        copper = squared * (heat.COLD_SHARE + (1.0 - heat.COLD_SHARE) * squared)
        losses = heat.IDLE_SHARE + (1.0 - heat.IDLE_SHARE) * copper
        usual = torch.cat([share * losses + (1.0 - share) * copper, losses], dim=1)
        hot = rises / usual
        resistance = hot[:, 1:] * copper / torch.clamp(gradient, 0.02)
        return Condition(
            flags=torch.cat([flags, has_order, bearing * has_order], dim=1),
            orders=orders,
            shaft_hz=shaft_hz,
            linear=torch.cat([quotient, load, rises - usual], dim=1),
            logarithmic=torch.cat([hot, resistance, rated_current], dim=1),
        )
