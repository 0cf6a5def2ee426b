"""TimeGAN (Yoon, Jarrett, van der Schaar, NeurIPS 2019), conditional, over patches.

Embedder and recovery give a latent sequence; the generator makes latent sequences; the supervisor predicts the next
latent stride; the discriminator judges latent sequences. Phases: autoencoder, supervisor, then all jointly. Updates
alternate; the discriminator rests while it is far ahead (loss under 0.15), as in the paper's code.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.gan.generator import Batch, Budget, Generator, Shape, repeated

LATENT = 8
AUTOENCODER_SHARE = 0.3
SUPERVISOR_SHARE = 0.15
RESTING = 0.15


class Sequence(nn.Module):
    """GRU and a read-out per stride; the condition is appended to every input stride."""

    def __init__(self, shape: Shape, entry: int, hidden: int, out: int) -> None:
        super().__init__()
        self.strides = shape.strides
        self.gru = nn.GRU(entry + shape.condition, hidden, batch_first=True)
        self.out = nn.Linear(hidden, out)

    def forward(self, entry: Tensor, condition: Tensor) -> Tensor:
        """``(B, strides, entry)`` -> ``(B, strides, out)``."""
        read, _ = self.gru(torch.cat([entry, repeated(condition, self.strides)], dim=2))
        out: Tensor = self.out(read)
        return out


class TimeGan(Generator):
    """Embedding, recovery, supervisor, generator, discriminator."""

    kind: ClassVar[str] = "timegan"
    latent: ClassVar[int] = LATENT
    cellwise: ClassVar[bool] = True

    def __init__(self, shape: Shape, budget: Budget) -> None:
        super().__init__(shape, budget)
        hidden = budget.hidden
        self.embedder = Sequence(shape, shape.width, hidden, hidden)
        self.recovery = Sequence(shape, hidden, hidden, shape.width)
        self.weaver = Sequence(shape, 2 * LATENT, hidden, hidden)
        self.supervisor = Sequence(shape, hidden, hidden, hidden)
        self.discriminator = Sequence(shape, hidden, hidden, 1)

        def adam(*modules: nn.Module, lr: float = 3e-3) -> torch.optim.Adam:
            return torch.optim.Adam([p for m in modules for p in m.parameters()], lr=lr)

        self._encode = adam(self.embedder, self.recovery)
        self._supervise = adam(self.supervisor)
        self._weave = adam(self.weaver, self.supervisor)
        self._judge = adam(self.discriminator, lr=1e-3)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Of the four objectives."""
        return {"encode": self._encode, "supervise": self._supervise, "weave": self._weave, "judge": self._judge}

    def noise_shape(self, count: int) -> tuple[int, ...]:
        """``(count, strides + 1, LATENT)``; the first row is constant over the window."""
        return (count, self.shape.strides + 1, LATENT)

    def forward(self, noise: Tensor, condition: Tensor, guide: Tensor) -> Tensor:
        """Latent sequence, supervised, recovered; ``guide`` is not used."""
        del guide
        out: Tensor = self.recovery(self.supervisor(self._woven(noise, condition), condition), condition)
        return self.shape.unpatched(out)

    def _woven(self, noise: Tensor, condition: Tensor) -> Tensor:
        whole = noise[:, :1].expand(-1, self.shape.strides, -1)
        return torch.tanh(self.weaver(torch.cat([noise[:, 1:], whole], dim=2), condition))

    def _latent(self, batch: Batch) -> Tensor:
        return torch.tanh(self.embedder(self.shape.patched(batch.windows), batch.condition))

    def update(self, batch: Batch, step: int, noise: torch.Generator) -> dict[str, float]:
        """One step of the phase that ``step`` falls in."""
        share = step / self.budget.steps
        if share < AUTOENCODER_SHARE:
            return {"reconstruction": self._autoencode(batch, supervised=0.0)}
        if share < AUTOENCODER_SHARE + SUPERVISOR_SHARE:
            latent = self._latent(batch).detach()
            loss = self._next_step_loss(latent, batch.condition)
            _descend(self._supervise, loss)
            return {"supervisor": loss.item()}
        losses = self._adversarial(batch, noise)
        losses["reconstruction"] = self._autoencode(batch, supervised=0.1)
        return losses

    def _autoencode(self, batch: Batch, supervised: float) -> float:
        latent = self._latent(batch)
        back = self.recovery(latent, batch.condition)
        loss = functional.mse_loss(back, self.shape.patched(batch.windows))
        total = loss + supervised * self._next_step_loss(latent, batch.condition) if supervised else loss
        _descend(self._encode, total)
        return loss.item()

    def _next_step_loss(self, latent: Tensor, condition: Tensor) -> Tensor:
        return functional.mse_loss(self.supervisor(latent, condition)[:, :-1], latent[:, 1:])

    def _adversarial(self, batch: Batch, noise: torch.Generator) -> dict[str, float]:
        condition = batch.condition
        z = torch.randn(self.noise_shape(len(condition)), generator=noise).to(condition.device)
        woven = self._woven(z, condition)
        dreamt = self.supervisor(woven, condition)
        latent = self._latent(batch).detach()
        made = self.shape.unpatched(self.recovery(dreamt, condition))
        # Moments per step and channel, the paper's V loss; times 10 here, 100 there, since batches are smaller.
        moments = (made.mean(0) - batch.windows.mean(0)).abs().mean() + (
            made.std(0) - batch.windows.std(0)
        ).abs().mean()
        fooled = _said(self.discriminator(dreamt, condition), 1.0) + _said(self.discriminator(woven, condition), 1.0)
        supervised = self._next_step_loss(latent, condition)
        _descend(self._weave, fooled + 10.0 * supervised.sqrt() + 10.0 * moments)

        judged = (
            _said(self.discriminator(latent, condition), 1.0)
            + _said(self.discriminator(dreamt.detach(), condition), 0.0)
            + _said(self.discriminator(woven.detach(), condition), 0.0)
        )
        if judged.item() > RESTING:
            _descend(self._judge, judged)
        return {"discriminator": judged.item(), "generator": fooled.item(), "moments": moments.item()}


def _said(logits: Tensor, truth: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    # Gradients also reach modules that this optimizer does not own; set_to_none at their own next step drops them.
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
