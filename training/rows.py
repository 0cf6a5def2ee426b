"""Stacks of named rows ``(rows, batch)``, and the linear maps between them, written by name.

A graph over a few motors costs what its nodes cost to call, hardly what they compute. So quantities lie one to a row in
few stacks, and all that is linear between two stacks (sums, copies, signs, units, a constant added) is one matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ONE = "1"
"""Name of the constant in a row's terms."""

Terms = dict[str, float]
"""A row as a sum: name to coefficient."""


def terms(*names: str, **coefficients: float) -> Terms:
    """A sum of rows, each once, and of rows with a coefficient."""
    return dict.fromkeys(names, 1.0) | coefficients


def plus(*sums: Mapping[str, float]) -> Terms:
    """The sum of sums."""
    total: Terms = {}
    for one in sums:
        for name, value in one.items():
            total[name] = total.get(name, 0.0) + value
    return total


def times(factor: float, one: Mapping[str, float]) -> Terms:
    """A sum, scaled."""
    return {name: factor * value for name, value in one.items()}


def composed(one: Mapping[str, float], of: Mapping[str, Mapping[str, float]]) -> Terms:
    """A sum of sums, in the names of the latter."""
    return plus(*(times(value, of[name]) for name, value in one.items()))


class Stacks(nn.Module):
    """A module whose numbers are float64 buffers: a literal in a float64 graph would be stored as float32."""

    def constant(self, name: str, value: object) -> None:
        """Keeps a number or an array as the float64 buffer ``name``."""
        self.register_buffer(name, torch.from_numpy(np.asarray(value, dtype=np.float64)))

    def column(self, name: str, values: Sequence[float]) -> None:
        """Keeps one number for each row of a stack, ``(rows, 1)``."""
        self.constant(name, np.asarray(values, dtype=np.float64)[:, None])

    def picks(self, name: str, wanted: Sequence[str], over: Sequence[str]) -> None:
        """Keeps which rows of a stack are wanted, in order, for ``pick``."""
        self.register_buffer(name, torch.tensor([over.index(one) for one in wanted]))

    def pick(self, name: str, stack: Tensor) -> Tensor:
        """Rows of the stack as ``picks`` has named them."""
        return torch.index_select(stack, 0, self.get_buffer(name))

    def linear(self, name: str, wanted: Sequence[Mapping[str, float]], over: Sequence[str]) -> None:
        """Keeps the map from a stack of rows ``over`` to the ``wanted`` sums of them, for ``mapped``."""
        weights = np.array([[one.get(row, 0.0) for row in over] for one in wanted])
        strange = {row for one in wanted for row in one} - {ONE, *over}
        if strange or len(set(over)) != len(over):
            raise ValueError(f"{name}: {sorted(strange)} are no rows of {list(over)}, or these are not all different")
        self.constant(f"{name}_weights", weights)
        self.column(f"{name}_constants", [one.get(ONE, 0.0) for one in wanted])

    def mapped(self, name: str, stack: Tensor) -> Tensor:
        """The stack through the map that ``linear`` has kept."""
        return torch.addmm(self.get_buffer(f"{name}_constants"), self.get_buffer(f"{name}_weights"), stack)
