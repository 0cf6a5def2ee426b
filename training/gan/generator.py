"""What every generator is: a module that learns from batches of scaled windows and draws new ones.

Windows are read in patches of ``p`` steps: a recurrent network then takes ``T / p`` strides instead of ``T``, which is
what makes training on two cores a matter of seconds.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

HARMONICS = 4
STRIDES = 8
"""Recurrent strides per window; the patch is the window's length over this, rounded up."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Steps and channels of a window; classes and further numbers (severity, operating point) of its condition row."""

    steps: int
    channels: int
    classes: int
    numbers: int

    @property
    def condition(self) -> int:
        """Width of an encoded condition row."""
        return self.classes + self.numbers * (1 + 2 * HARMONICS)

    def encoded(self, condition: Tensor) -> Tensor:
        """Condition rows ``(B, classes + numbers)`` with harmonics of the numbers, which tell close values apart."""
        numbers = condition[:, self.classes :] * math.pi
        waves = [wave(numbers * 2.0**k) for k in range(HARMONICS) for wave in (torch.sin, torch.cos)]
        return torch.cat([condition, *waves], dim=1)

    @property
    def patch(self) -> int:
        """Steps per stride."""
        return math.ceil(self.steps / STRIDES)

    @property
    def strides(self) -> int:
        """Strides per window."""
        return math.ceil(self.steps / self.patch)

    @property
    def width(self) -> int:
        """Numbers per stride."""
        return self.patch * self.channels

    def patched(self, windows: Tensor) -> Tensor:
        """``(B, T, C)`` -> ``(B, strides, width)``; the last patch is filled with the last step."""
        missing = self.strides * self.patch - self.steps
        if missing:
            windows = torch.cat([windows, windows[:, -1:].expand(-1, missing, -1)], dim=1)
        return windows.reshape(-1, self.strides, self.width)

    def unpatched(self, patches: Tensor) -> Tensor:
        """``(B, strides, width)`` -> ``(B, T, C)``."""
        return patches.reshape(-1, self.strides * self.patch, self.channels)[:, : self.steps]


@dataclass(frozen=True, slots=True)
class Budget:
    """How long and how wide to train.

    Attributes:
        steps: most updates.
        batch: windows per update.
        hidden: width of the networks.
        check_every: updates between early-stopping checks.
        patience: checks without improvement before stopping.
    """

    steps: int = 240
    batch: int = 64
    hidden: int = 40
    check_every: int = 40
    patience: int = 4


@dataclass(frozen=True, slots=True)
class Batch:
    """Scaled windows ``(B, T, C)``, their conditions ``(B, K)``, and twin windows of the same classes (or zeros)."""

    windows: Tensor
    condition: Tensor
    guide: Tensor


class Generator(nn.Module, ABC):
    """Base of all generators; ``kind`` is its name on the command line and in the report."""

    kind: ClassVar[str]
    guided: ClassVar[bool] = False
    cellwise: ClassVar[bool] = False
    """Learns what remains when the statistics of single machines are taken out; see ``cell``."""
    latent: ClassVar[int]

    def __init__(self, shape: Shape, budget: Budget) -> None:
        super().__init__()
        self.shape = shape
        self.budget = budget

    @abstractmethod
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Everything besides the weights that a checkpoint must hold, by name."""

    @abstractmethod
    def update(self, batch: Batch, step: int, noise: torch.Generator) -> dict[str, float]:
        """One training step; the batch's conditions are encoded; returns the losses by name."""

    @abstractmethod
    def forward(self, noise: Tensor, condition: Tensor, guide: Tensor) -> Tensor:
        """Scaled windows ``(B, T, C)`` from noise ``noise_shape``, encoded condition and guide ``(B, T, C)``."""

    @abstractmethod
    def noise_shape(self, count: int) -> tuple[int, ...]:
        """Shape of the standard normal noise behind ``count`` windows."""

    def draw(self, condition: Tensor, guide: Tensor, noise: torch.Generator) -> Tensor:
        """New scaled windows for condition rows ``(B, classes + numbers)``."""
        return self.made(self.shape.encoded(condition), guide, noise)

    def made(self, encoded: Tensor, guide: Tensor, noise: torch.Generator) -> Tensor:
        """New scaled windows for encoded conditions."""
        z = torch.randn(self.noise_shape(len(encoded)), generator=noise)
        self.eval()
        with torch.no_grad():
            out: Tensor = self(z.to(encoded.device), encoded, guide)
        self.train()
        return out


class Shadow:
    """Exponential moving average of a module's weights, which samples better than the last iterate."""

    def __init__(self, live: nn.Module, shadow: nn.Module, decay: float = 0.98) -> None:
        self.live, self.shadow, self.decay = live, shadow, decay
        shadow.load_state_dict(live.state_dict())
        shadow.requires_grad_(requires_grad=False)

    def follow(self, step: int) -> None:
        """One averaging step; early on the average is short, so that it forgets the initial weights."""
        decay = min(self.decay, (1.0 + step) / (10.0 + step))
        with torch.no_grad():
            for slow, fast in zip(self.shadow.parameters(), self.live.parameters(), strict=True):
                slow.lerp_(fast, 1.0 - decay)


def repeated(condition: Tensor, strides: int) -> Tensor:
    """Condition rows at every stride, ``(B, strides, K)``."""
    return condition[:, None, :].expand(-1, strides, -1)
