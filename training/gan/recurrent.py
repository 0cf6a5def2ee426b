"""Recurrent conditional GAN, and the same network turned into a refiner of twin windows.

Generator and critic are GRUs over patches. Training is Wasserstein with gradient penalty (Gulrajani et al. 2017,
arXiv:1704.00028), the condition at every stride of both networks; the critic also sees the batch's spread (Karras et
al. 2018), which makes a collapsed generator easy to tell apart; samples come from averaged weights.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from training.gan.generator import Batch, Budget, Generator, Shadow, Shape, repeated

PENALTY = 10.0
LATENT = 12


class Weaver(nn.Module):
    """Noise, condition and (for a refiner) a guide window to a window."""

    def __init__(self, shape: Shape, hidden: int, *, guided: bool) -> None:
        super().__init__()
        self.shape = shape
        self.guided = guided
        extra = shape.width if guided else 0
        self.start = nn.Linear(LATENT + shape.condition, hidden)
        self.gru = nn.GRU(LATENT + shape.condition + extra, hidden, batch_first=True)
        self.out = nn.Sequential(nn.Linear(hidden, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, shape.width))

    def forward(self, noise: Tensor, condition: Tensor, guide: Tensor) -> Tensor:
        """Noise ``(B, strides + 1, LATENT)``: the first row sets the whole window, the others their stride."""
        whole = torch.tanh(self.start(torch.cat([noise[:, 0], condition], dim=1)))
        parts = [noise[:, 1:], repeated(condition, self.shape.strides)]
        if self.guided:
            parts.append(self.shape.patched(guide))
        woven, _ = self.gru(torch.cat(parts, dim=2), whole[None])
        window = self.shape.unpatched(self.out(woven))
        return guide + window if self.guided else window


class Critic(nn.Module):
    """Window and condition to a score ``(B,)``."""

    def __init__(self, shape: Shape, hidden: int) -> None:
        super().__init__()
        self.shape = shape
        self.gru = nn.GRU(shape.width + shape.condition, hidden, batch_first=True)
        self.score = nn.Sequential(nn.Linear(2 * hidden + 1, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))

    def forward(self, windows: Tensor, condition: Tensor) -> Tensor:
        """Higher is more real."""
        patches = torch.cat([self.shape.patched(windows), repeated(condition, self.shape.strides)], dim=2)
        read, last = self.gru(patches)
        spread = windows.std(dim=0).mean().expand(len(windows), 1)
        score: Tensor = self.score(torch.cat([read.mean(dim=1), last[0], spread], dim=1))
        return score[:, 0]


class RecurrentGan(Generator):
    """GRU generator against GRU critic."""

    kind: ClassVar[str] = "gan"
    latent: ClassVar[int] = LATENT
    cellwise: ClassVar[bool] = True
    closeness: ClassVar[float] = 0.0
    """Weight of staying near the guide."""

    def __init__(self, shape: Shape, budget: Budget) -> None:
        super().__init__(shape, budget)
        self.live = Weaver(shape, budget.hidden, guided=self.guided)
        self.slow = Weaver(shape, budget.hidden, guided=self.guided)
        if self.guided:  # a refiner starts as the twin itself
            last = self.live.out[-1]
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.critic = Critic(shape, budget.hidden)
        self._shadow = Shadow(self.live, self.slow)
        self._weave = torch.optim.Adam(self.live.parameters(), lr=2e-3, betas=(0.0, 0.9))
        self._judge = torch.optim.Adam(self.critic.parameters(), lr=2e-3, betas=(0.0, 0.9))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Of generator and critic."""
        return {"weave": self._weave, "judge": self._judge}

    def noise_shape(self, count: int) -> tuple[int, ...]:
        """``(count, strides + 1, LATENT)``."""
        return (count, self.shape.strides + 1, LATENT)

    def forward(self, noise: Tensor, condition: Tensor, guide: Tensor) -> Tensor:
        """Windows from the averaged generator."""
        out: Tensor = self.slow(noise, condition, guide)
        return out

    def update(self, batch: Batch, step: int, noise: torch.Generator) -> dict[str, float]:
        """One critic step and one generator step."""
        real, condition, guide = batch.windows, batch.condition, batch.guide
        device = real.device
        z = torch.randn(self.noise_shape(len(real)), generator=noise).to(device)
        with torch.no_grad():
            fake = self.live(z, condition, guide)
        mix = torch.rand((len(real), 1, 1), generator=noise).to(device)
        between = (real + mix * (fake - real)).requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(between, condition).sum(), between, create_graph=True)
        penalty = ((slope.flatten(1).norm(dim=1) - 1.0) ** 2).mean()
        distance = self.critic(real, condition).mean() - self.critic(fake, condition).mean()
        self._judge.zero_grad(set_to_none=True)
        (PENALTY * penalty - distance).backward()
        self._judge.step()

        z = torch.randn(self.noise_shape(len(real)), generator=noise).to(device)
        woven = self.live(z, condition, guide)
        loss = -self.critic(woven, condition).mean()
        if self.guided:
            loss = loss + self.closeness * (woven - guide).abs().mean()
        self._weave.zero_grad(set_to_none=True)
        loss.backward()
        self._weave.step()
        self._shadow.follow(step)
        return {"critic_distance": distance.item(), "penalty": penalty.item(), "generator": loss.item()}


class Refiner(RecurrentGan):
    """The generator conditioned on the twin: a twin window goes in, and comes out as the real machine would show it.

    After SimGAN (Shrivastava et al. 2017, arXiv:1612.07828): adversarial against real windows, and held near its input.
    """

    kind: ClassVar[str] = "twin_gan"
    guided: ClassVar[bool] = True
    cellwise: ClassVar[bool] = False
    closeness: ClassVar[float] = 0.5
