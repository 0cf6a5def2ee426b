"""A small diffusion model over whole windows: the modern rival of the two GANs.

Denoising diffusion (Ho et al. 2020, arXiv:2006.11239) with the cosine schedule (Nichol and Dhariwal 2021) and
prediction of v = alpha noise - sigma x (Salimans and Ho 2022); residual layers on the flattened window, modulated by
noise level and condition. Sampling follows the probability flow (Song et al. 2021), hence is deterministic from the
starting noise and exports as one graph.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from training.gan.generator import Batch, Budget, Generator, Shadow, Shape

LEVELS = 8
"""Sine and cosine pairs that encode the noise level."""
SAMPLING_STEPS = 20
INNER = 6
RATE = 2e-3
NOISIEST = 0.49 * math.pi
"""Angle between signal and noise at level 1; a little less than pure noise."""
BLOCKS = 3


class Denoiser(nn.Module):
    """(noisy window, level, condition) -> v, all flat."""

    rates: Tensor

    def __init__(self, shape: Shape, hidden: int) -> None:
        super().__init__()
        size = shape.steps * shape.channels
        width = 4 * hidden
        self.enter = nn.Linear(size, width)
        self.context = nn.Sequential(nn.Linear(2 * LEVELS + shape.condition, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(BLOCKS)
        )
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, size))
        # For white data v has expectation 0: the untrained network is already the Gaussian model.
        last = self.leave[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.register_buffer("rates", 2.0 ** torch.arange(LEVELS) * math.pi / 2.0)

    def forward(self, noisy: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        """Noisy ``(B, T * C)``, level ``(B, 1)`` in 0..1, condition ``(B, K)``."""
        phase = level * self.rates
        context = self.context(torch.cat([phase.sin(), phase.cos(), condition], dim=1))
        x = self.enter(noisy)
        for block in self.blocks:
            x = x + block(x + context)
        out: Tensor = self.leave(x + context)
        return out


class Diffusion(Generator):
    """Denoiser with averaged weights."""

    kind: ClassVar[str] = "diffusion"
    cellwise: ClassVar[bool] = True
    latent: ClassVar[int] = 0

    def __init__(self, shape: Shape, budget: Budget) -> None:
        super().__init__(shape, budget)
        self.live = Denoiser(shape, budget.hidden)
        self.slow = Denoiser(shape, budget.hidden)
        self._shadow = Shadow(self.live, self.slow, decay=0.995)
        self._adam = torch.optim.Adam(self.live.parameters(), lr=RATE, fused=True)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One Adam."""
        return {"adam": self._adam}

    def noise_shape(self, count: int) -> tuple[int, ...]:
        """``(count, T * C)``."""
        return (count, self.shape.steps * self.shape.channels)

    def update(self, batch: Batch, step: int, noise: torch.Generator) -> dict[str, float]:
        """``INNER`` denoising steps on the batch: one costs a fraction of what a recurrent step does."""
        x = batch.windows.flatten(1)
        total = 0.0
        # Warm up, then down to nothing: the last steps sharpen.
        for group in self._adam.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / 20) * max(1.0 - step / self.budget.steps, 0.01)
        for inner in range(INNER):
            level = torch.rand((len(x), 1), generator=noise).to(x.device)
            e = torch.randn(x.shape, generator=noise).to(x.device)
            alpha, sigma = _mixed(level)
            loss = (self.live(alpha * x + sigma * e, level, batch.condition) - (alpha * e - sigma * x)).square().mean()
            self._adam.zero_grad(set_to_none=True)
            loss.backward()
            self._adam.step()
            self._shadow.follow(INNER * step + inner)
            total += loss.item() / INNER
        return {"denoising": total}

    def forward(self, noise: Tensor, condition: Tensor, guide: Tensor) -> Tensor:
        """Euler steps of dx/d(angle) = v from pure noise; ``guide`` is not used.

        DDIM's step multiplies white data by cos of the step's angle, and so loses 6 % of its deviation over twenty
        steps; this one keeps it.
        """
        del guide
        x = noise
        for step in range(SAMPLING_STEPS, 0, -1):
            level = torch.full_like(noise[:, :1], step / SAMPLING_STEPS)
            x = x - NOISIEST / SAMPLING_STEPS * self.slow(x, level, condition)
        return x.reshape(-1, self.shape.steps, self.shape.channels)


def _mixed(level: Tensor) -> tuple[Tensor, Tensor]:
    """Signal and noise amplitude at a level in 0..1; never entirely noise."""
    angle = level * NOISIEST
    return angle.cos(), angle.sin()
