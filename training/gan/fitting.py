"""Training any generator: balanced batches, early stopping, checkpoints, resuming; and drawing from what came out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from training.gan.cell import Cells
from training.gan.diffusion import Diffusion
from training.gan.generator import Batch, Budget, Generator, Shape
from training.gan.recurrent import RecurrentGan, Refiner
from training.gan.similarity import mmd
from training.gan.timegan import TimeGan
from training.gan.windows import Index, InputError, Scaler, Windows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KINDS: dict[str, type[Generator]] = {g.kind: g for g in (RecurrentGan, TimeGan, Diffusion, Refiner)}
CHECK_WINDOWS = 160
NOISE = 0.003
"""Scatter of the distance between checks: of states that are this close the later one is kept."""
FORMAT = 1


class AbsentClassError(InputError):
    """A class that training has not seen was asked for."""


@dataclass(slots=True)
class Fitted:
    """A trained generator with all it needs to draw windows in physical units.

    Attributes:
        generator: the network, best state.
        scaler: fitted on the training windows.
        train: the training windows; conditions of new ones are drawn around theirs.
        guide: twin windows; None where the generator takes none.
        cells: statistics of single machines; None where the generator learns scaled windows as they are.
        history: per name, (step, value): losses at every step, ``mmd`` at every check.
        best_step: the update the kept state is from.
    """

    generator: Generator
    scaler: Scaler
    train: Windows
    guide: Windows | None
    cells: Cells | None
    history: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    best_step: int = 0

    def sample(self, label: int, count: int, seed: int, *, novelty: float = 0.5) -> Windows:
        """``count`` new windows of a class; the same seed gives the same windows.

        Conditions are those of training windows of the class. ``novelty`` 0 keeps them and the machine; above, severity
        and operating point are jittered by a tenth of it and machines are mixed by up to this share.

        Raises:
            AbsentClassError: the class was not in training, so there is nothing to condition on.
        """
        rows = self._rows(label, count, seed)
        rng = np.random.default_rng([seed, label, 4])
        drawn = self.train.take(rows)
        severity = np.clip(drawn.severity + 0.1 * novelty * rng.standard_normal(count), 0.0, 1.0)
        span = np.ptp(self.train.operating, axis=0)
        operating = drawn.operating + 0.1 * novelty * span * rng.standard_normal(drawn.operating.shape)
        like = replace(drawn, severity=severity.astype(np.float32), operating=operating.astype(np.float32))
        noise = torch.Generator().manual_seed(seed)
        guide = torch.zeros(count, *self.train.values.shape[1:])
        if self.guide is not None:
            pool = self.guide.of(label)
            chosen = pool.values[rng.integers(0, len(pool), count)]
            guide = torch.from_numpy(self.scaler.scaled(chosen))
        device = next(self.generator.parameters()).device
        made = self.generator.draw(torch.from_numpy(like.condition()).to(device), guide.to(device), noise)
        scaled = made.cpu().numpy()
        if self.cells is not None:
            scaled = self.cells.coloured(scaled, label, *self.cells.mixed(rows, novelty, rng))
        return like.with_values(self.scaler.restored(scaled))

    def _rows(self, label: int, count: int, seed: int) -> Index:
        pool = np.flatnonzero(self.train.label == label)
        if not pool.size or (self.guide is not None and not len(self.guide.of(label))):
            name = self.train.classes[label] if 0 <= label < len(self.train.classes) else str(label)
            raise AbsentClassError(
                f"class {name!r}: absent from training, so it cannot be made; add an example or use the physics twin"
            )
        return np.random.default_rng([seed, label, 3]).choice(pool, count)


def fit(
    kind: str,
    train: Windows,
    *,
    budget: Budget,
    seed: int,
    guide: Windows | None = None,
    progress: Callable[[int, dict[str, float]], None] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> Fitted:
    """Trains a generator on training windows.

    Batches hold every class alike. Every ``check_every`` updates the distance (MMD) between as many generated as
    training windows is taken; the best state is kept, and ``patience`` checks without a better one end the training.
    There is no validation set: with one failed machine there is nothing to hold back.

    Args:
        kind: one of ``KINDS``.
        train: windows, at least one.
        budget: steps, width, patience.
        seed: of weights, batches and noise.
        guide: twin windows for a generator that is conditioned on the twin.
        progress: called after every update with step and losses.
        checkpoint: file that every check writes, whole, by rename.
        resume: go on from the checkpoint, if there is one, as if never interrupted.

    Raises:
        InputError: unknown kind, too little data, or a guide is missing.
    """
    if kind not in KINDS:
        raise InputError(f"kind: {kind!r} is unknown; choose from {', '.join(KINDS)}")
    if KINDS[kind].guided:
        if guide is None or not len(guide):
            raise InputError(
                f"guide: {kind} refines twin windows and has none; pass physics windows or choose another kind"
            )
        train = train.take(np.isin(train.label, np.unique(guide.label)))
    scaler = Scaler.fitted(train if guide is None else train.joined(guide))
    torch.manual_seed(seed)
    numbers = 1 + train.operating.shape[1]
    shape = Shape(train.values.shape[1], train.values.shape[2], len(train.classes), numbers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = KINDS[kind](shape, budget).to(device)
    cells = Cells.fitted(train, scaler) if KINDS[kind].cellwise else None
    fitted = Fitted(generator, scaler, train, guide if KINDS[kind].guided else None, cells)
    run = _Run(generator, fitted, budget, seed)
    if resume and checkpoint is not None and checkpoint.exists():
        run.restore(torch.load(checkpoint, map_location=device, weights_only=True))
    run.go(progress, checkpoint)
    return run.fitted


class _Run:
    """One training run, restorable at every check."""

    def __init__(self, generator: Generator, fitted: Fitted, budget: Budget, seed: int) -> None:
        self.generator, self.fitted, self.budget = generator, fitted, budget
        self.step, self.bad_checks, self.best_mmd = 0, 0, np.inf
        self.best = {name: value.clone() for name, value in generator.state_dict().items()}
        self.rng = np.random.default_rng([seed, 6])
        self.noise = torch.Generator().manual_seed(seed)
        self.seed = seed
        train = fitted.train
        self.device = next(generator.parameters()).device
        scaled = fitted.scaler.scaled(train.values)
        self.windows = torch.from_numpy(scaled if fitted.cells is None else fitted.cells.white(scaled))
        self.condition = torch.from_numpy(train.condition())
        self.members = [np.flatnonzero(train.label == k) for k in np.unique(train.label)]
        self.guide_windows = None
        if fitted.guide is not None:
            self.guide_windows = torch.from_numpy(fitted.scaler.scaled(fitted.guide.values))
            self.guide_members = {k: np.flatnonzero(fitted.guide.label == k) for k in np.unique(train.label)}

    def go(self, progress: Callable[[int, dict[str, float]], None] | None, checkpoint: Path | None) -> None:
        while self.step < self.budget.steps and self.bad_checks < self.budget.patience:
            losses = self.generator.update(self.batch(), self.step, self.noise)
            self.step += 1
            for name, value in losses.items():
                self.fitted.history.setdefault(name, []).append((self.step, value))
            if self.step % self.budget.check_every == 0 or self.step == self.budget.steps:
                losses["mmd"] = self.check()
                if checkpoint is not None:
                    part = checkpoint.with_suffix(".part")
                    torch.save(self.state(), part)
                    part.replace(checkpoint)
            if progress is not None:
                progress(self.step, losses)
        self.generator.load_state_dict(self.best)

    def batch(self) -> Batch:
        each = -(-self.budget.batch // len(self.members))
        rows = np.concatenate([self.rng.choice(m, each) for m in self.members])
        guide = torch.zeros_like(self.windows[:1]).expand(len(rows), -1, -1)
        if self.guide_windows is not None:
            labels = self.fitted.train.label[rows]
            guide = self.guide_windows[np.array([self.rng.choice(self.guide_members[k]) for k in labels])]
        condition = self.generator.shape.encoded(self.condition[rows].to(self.device))
        return Batch(self.windows[rows].to(self.device), condition, guide.to(self.device))

    def check(self) -> float:
        batch = [self.batch() for _ in range(-(-CHECK_WINDOWS // self.budget.batch))]
        condition = torch.cat([b.condition for b in batch])
        guide = torch.cat([b.guide for b in batch])
        made = self.generator.made(condition, guide, torch.Generator().manual_seed(self.seed))
        real = torch.cat([b.windows for b in batch])
        distance = mmd(real.flatten(1).cpu().numpy(), made.flatten(1).cpu().numpy())
        self.fitted.history.setdefault("mmd", []).append((self.step, distance))
        if distance < self.best_mmd + NOISE:
            self.best_mmd = min(distance, self.best_mmd)
            self.bad_checks, self.fitted.best_step = 0, self.step
            self.best = {name: value.clone() for name, value in self.generator.state_dict().items()}
        else:
            self.bad_checks += 1
        return distance

    def state(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "kind": self.generator.kind,
            "budget": asdict(self.budget),
            "step": self.step,
            "bad_checks": self.bad_checks,
            "best_mmd": float(self.best_mmd),
            "best_step": self.fitted.best_step,
            "best": self.best,
            "weights": self.generator.state_dict(),
            "optimizers": {name: o.state_dict() for name, o in self.generator.optimizers().items()},
            "noise": self.noise.get_state(),
            "rng": str(self.rng.bit_generator.state),
            "history": self.fitted.history,
        }

    def restore(self, state: dict[str, Any]) -> None:
        if (
            state.get("format") != FORMAT
            or state["kind"] != self.generator.kind
            or state["budget"] != asdict(self.budget)
        ):
            raise InputError(
                "checkpoint: made by another kind, budget or version; delete it or fit with the same options"
            )
        self.step, self.bad_checks, self.best_mmd = state["step"], state["bad_checks"], state["best_mmd"]
        self.best, self.fitted.best_step, self.fitted.history = state["best"], state["best_step"], state["history"]
        self.generator.load_state_dict(state["weights"])
        for name, optimizer in self.generator.optimizers().items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.noise.set_state(state["noise"].cpu())
        self.rng.bit_generator.state = _literal(state["rng"])


def _literal(text: str) -> dict[str, Any]:
    import ast  # noqa: PLC0415 - only resuming needs it

    value: dict[str, Any] = ast.literal_eval(text)
    return value
