"""The anomaly detector: an autoencoder that has only ever seen healthy machines.

It looks at features that do not tell one healthy machine from another: ratios to the local background, impulsiveness,
heat beyond what the load explains; no colour, and of the level only whether any machine could shake so. A group of
features is odd by its reconstruction error (values that do not go together) and by how far it lies above what healthy
machines show (no feature is worrying for being low). Each group is measured by what is usual on healthy machines that
nothing was fitted to; the score is 1 at the calibrated threshold.

What it blames is told apart from what it scores: by the lines and sensors that a person would look at, in orders of the
shaft and of the bearing. Each column is how surprising its mean squared height is, as the negative logarithm of the
share of healthy windows that reach it, so that columns of few and of many features, and of light and of heavy tails,
compete fairly. An order of the shaft is judged by how it stands out and by its velocity: imbalance seldom shows a line
that no sound machine has, but one so strong. Impacts that come with a line of the bearing are put down to that line,
and orders of the shaft that come with half orders, or with a row of harmonics, to the looseness that makes these.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from training import evt
from training.envelope import BAND_NAMES, COMBS
from training.features import INDEX, NAMES, SHAFT_ORDERS, Features, halves_told

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLAMP = 6.0
HEIGHT = 0.5
"""Weight of being high against being oddly composed."""

BEYOND: dict[str, float] = {"level_accel": 2.69, "level_velocity": 2.0}
"""Common logarithms of 490 m/s^2 (50 g, where accelerometers for machines end) and of 100 mm/s RMS (some 20 times
where ISO 10816-1 sees damage done): more is a fault of the measurement, and like nothing that the bundle has learnt."""
_BEYOND_STEP = 0.05


VELOCITIES: tuple[str, ...] = tuple(f"order_{order:g}_velocity" for order in SHAFT_ORDERS)
"""What the shaft's orders are judged by, beside how they stand out, when something is blamed; never in the score."""
_RATIO_WEIGHT = 0.5
"""Of an order's standing out against its velocity."""
_KNEE = 0.9
"""Share of healthy windows below the height from which on a column's tail is taken for exponential."""
_USUAL = 0.98
"""Share of healthy windows below what is usual: there a column counts 1."""


class Group(NamedTuple):
    """Features that are judged together."""

    name: str
    features: tuple[str, ...]


GROUPS: tuple[Group, ...] = (
    *(
        Group(f"envelope_{band}", (*(f"comb_{comb}_{band}" for comb in COMBS), f"peak_{band}", f"impulse_{band}"))
        for band in BAND_NAMES
    ),
    Group("shape", ("kurtosis", "crest")),
    Group("orders", tuple(f"order_{order:g}_ratio" for order in SHAFT_ORDERS)),
    Group("thermal", ("winding_excess", "housing_excess", "winding_heat", "housing_heat", "resistance_ratio")),
    Group("load", ("load_pu", "current_pu")),
    Group("levels", tuple(BEYOND)),
)
"""Groups whose errors add up to the score."""


def _combs(*combs: str) -> tuple[str, ...]:
    return tuple(f"comb_{comb}_{band}" for comb in combs for band in BAND_NAMES)


def _orders(*orders: float) -> tuple[str, ...]:
    return tuple(f"order_{order:g}_ratio" for order in orders)


LINES: tuple[Group, ...] = (
    Group("bpfo", _combs("bpfo")),
    Group("bpfi", _combs("bpfi", "bpfi_side")),
    Group("bsf", _combs("ball", "ball_odd", "ball_side")),
    Group("ftf", _combs("cage")),
    Group("shaft_envelope", _combs("shaft")),
)
"""Lines of the envelope's spectrum: impacts are put down to them where they stand out."""

COLUMNS: tuple[Group, ...] = (
    *LINES,
    Group("impacts", (*(f"{what}_{band}" for what in ("peak", "impulse") for band in BAND_NAMES), "kurtosis", "crest")),
    Group("half_orders", _orders(0.5, 1.5, 2.5)),
    Group("order_1", _orders(1.0)),
    Group("order_2", _orders(2.0)),
    Group("order_3", _orders(3.0)),
    Group("high_orders", _orders(4.0, 5.0, 6.0)),
    Group("winding", ("winding_excess", "winding_heat")),
    Group("housing", ("housing_excess", "housing_heat")),
    Group("cooling", ("resistance_ratio",)),
    Group("load", ("load_pu",)),
    Group("current", ("current_pu",)),
    Group("levels", tuple(BEYOND)),
)
"""What can be blamed, in the order of the contribution columns: the same features, cut another way."""

_PARTS = [len(LINES), 1, 1, 3, 1, len(COLUMNS) - len(LINES) - 7]
"""Columns: lines of the bearing, impacts, half orders, the first three orders, high orders, the rest but the last."""
_AT_KNEE, _AT_USUAL = -math.log(1.0 - _KNEE), -math.log(1.0 - _USUAL)


class Autoencoder(nn.Module):
    """Features ``(B, len(NAMES))`` to score ``(B,)`` and contribution ``(B, len(COLUMNS))``."""

    columns: Tensor
    mean: Tensor
    scale: Tensor
    membership: Tensor
    level_columns: Tensor
    beyond: Tensor
    usual: Tensor
    velocity_columns: Tensor
    velocity_mean: Tensor
    velocity_scale: Tensor
    blame: Tensor
    knee: Tensor
    tail: Tensor
    threshold: Tensor

    def __init__(self, width: int = 40, bottleneck: int = 6) -> None:
        super().__init__()
        coded = GROUPS[:-1]
        names = [name for group in coded for name in group.features]
        self.register_buffer("columns", torch.tensor([INDEX[name] for name in names]))
        self.register_buffer("mean", torch.zeros(len(names)))
        self.register_buffer("scale", torch.ones(len(names)))
        self.register_buffer("membership", _means(names, coded))
        self.register_buffer("level_columns", torch.tensor([INDEX[name] for name in BEYOND]))
        self.register_buffer("beyond", torch.tensor(list(BEYOND.values())))
        self.register_buffer("usual", torch.ones(len(GROUPS)))
        self.register_buffer("velocity_columns", torch.tensor([INDEX[name] for name in VELOCITIES]))
        self.register_buffer("velocity_mean", torch.zeros(len(VELOCITIES)))
        self.register_buffer("velocity_scale", torch.ones(len(VELOCITIES)))
        self.register_buffer("blame", _blame(names))
        self.register_buffer("knee", torch.ones(len(COLUMNS) - 1))
        self.register_buffer("tail", torch.ones(len(COLUMNS) - 1))
        self.register_buffer("threshold", torch.ones(1))
        self.encoder = nn.Sequential(nn.Linear(len(names), width), nn.ReLU(), nn.Linear(width, bottleneck))
        self.decoder = nn.Sequential(nn.Linear(bottleneck, width), nn.ReLU(), nn.Linear(width, len(names)))

    def error(self, mine: Tensor, excess: Tensor) -> Tensor:
        """Oddness of each group, ``(B, len(GROUPS))``: mean squared error, and mean squared height above the mean.

        Args:
            mine: as ``prepared`` gives it.
            excess: as ``excess`` gives it.
        """
        missed = mine - self.decoder(self.encoder(mine))
        high = torch.relu(mine)
        return torch.cat([torch.matmul(missed * missed + HEIGHT * high * high, self.membership), excess], dim=1)

    def level(self, mine: Tensor, features: Tensor) -> Tensor:
        """Mean squared height of each column but the last, ``(B, len(COLUMNS) - 1)``.

        Args:
            mine: as ``prepared`` gives it.
            features: ``(B, len(NAMES))``.
        """
        fast = (features[:, self.velocity_columns] - self.velocity_mean) * self.velocity_scale
        known = features[:, INDEX["has_order"]].unsqueeze(1)
        high = torch.clamp(torch.cat([mine, fast * known], dim=1), 0.0, CLAMP)
        return torch.matmul(high * high, self.blame)

    def blamed(self, mine: Tensor, excess: Tensor, features: Tensor) -> Tensor:
        """How surprising each column is, 1 at what is usual, ``(B, len(COLUMNS))``.

        Args:
            mine: as ``prepared`` gives it.
            excess: as ``excess`` gives it.
            features: ``(B, len(NAMES))``.
        """
        level = self.level(mine, features)
        surprise = torch.minimum(level, self.knee) * _AT_KNEE / self.knee + torch.relu(level - self.knee) / self.tail
        lines, impacts, half, orders, high, rest = (surprise / _AT_USUAL).split(_PARTS, dim=1)
        # Impacts are what a bearing's line consists of: they are blamed as such where no line explains them.
        lines, (impacts,) = _explained(lines, (impacts,))
        # Half orders and many harmonics are what a clipped motion consists of, and it has whole orders too.
        loose = torch.cat([half * halves_told(features), high], dim=1)
        loose, orders = _explained(loose, orders.split(1, dim=1))
        half, high = loose.split(1, dim=1)
        return torch.cat([lines, impacts, half, *orders, high, rest, excess / self.usual[-1:]], dim=1)

    def excess(self, features: Tensor) -> Tensor:
        """How far the level lies beyond what any machine reaches, ``(B, 1)``, 0 for all that do not."""
        return torch.relu(features[:, self.level_columns] - self.beyond).amax(dim=1, keepdim=True) / _BEYOND_STEP

    def prepared(self, features: Tensor) -> Tensor:
        """The features it looks at, standardised and cut."""
        return torch.clamp((features[:, self.columns] - self.mean) * self.scale, -CLAMP, CLAMP)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Score, 1 at the threshold, and each column's share of the blame (adds up to 1)."""
        mine, excess = self.prepared(features), self.excess(features)
        total = (self.error(mine, excess) / self.usual).sum(dim=1)
        blamed = self.blamed(mine, excess, features)
        return total / (len(GROUPS) * self.threshold), blamed / (blamed.sum(dim=1, keepdim=True) + 1e-6)


def _explained(causes: Tensor, signs: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Causes ``(B, n)`` with the most that they explain of a sign, and what is left of the signs, ``(B, 1)`` each.

    By cubes, so that a cause within what is usual explains little.
    """
    strength = causes * causes * causes
    total = strength.sum(dim=1, keepdim=True)
    left = tuple(sign / (1.0 + total) for sign in signs)
    gain = torch.cat([sign - rest for sign, rest in zip(signs, left, strict=True)], dim=1).amax(dim=1, keepdim=True)
    return causes + strength * gain / (total + 1e-6), left


def _blame(names: list[str]) -> Tensor:
    """Matrix ``(len(names) + len(VELOCITIES), len(COLUMNS) - 1)`` of each column's mean, orders' in two parts."""
    mean = _means(names, COLUMNS[:-1])
    orders = torch.tensor([names.index(name.replace("velocity", "ratio")) for name in VELOCITIES])
    velocity = mean[orders]
    mean[orders] *= _RATIO_WEIGHT
    return torch.cat([mean, velocity])


def _means(names: list[str], groups: tuple[Group, ...]) -> Tensor:
    """Matrix ``(len(names), len(groups))`` that takes each group's mean."""
    member = torch.zeros(len(names), len(groups))
    for column, group in enumerate(groups):
        for name in group.features:
            member[names.index(name), column] = 1.0 / len(group.features)
    return member


class Anomaly(nn.Module):
    """The graph: raw window in, ``anomaly (B,)`` and ``contribution (B, K)`` out."""

    def __init__(self, features: Features, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.features = features
        self.autoencoder = autoencoder

    def forward(
        self, accel_m_s2: Tensor, samples: Tensor, fs_hz: Tensor, operating: Tensor, nameplate: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Inputs as in ``service.contract.manifest``."""
        anomaly, contribution = self.autoencoder(self.features(accel_m_s2, samples, fs_hz, operating, nameplate))
        return anomaly, contribution


def fit(features: Tensor, *, epochs: int, generator: torch.Generator) -> Autoencoder:
    """An autoencoder fitted to features ``(N, len(NAMES))`` of healthy machines."""
    model = Autoencoder()
    mine = features[:, model.columns]
    model.mean.copy_(mine.mean(dim=0))
    model.scale.copy_(1.0 / mine.std(dim=0).clamp(min=0.05))
    fast = features[features[:, INDEX["has_order"]] > 0.0][:, model.velocity_columns]
    model.velocity_mean.copy_(fast.mean(dim=0))
    model.velocity_scale.copy_(1.0 / fast.std(dim=0).clamp(min=0.05))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4)
    batch = 512
    steps = max(1, epochs * (len(features) // batch))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(features), (batch,), generator=generator)
        mine = model.prepared(features[rows])
        loss = (mine - model.decoder(model.encoder(mine))).square().mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
    return model.eval()


def calibrate(model: Autoencoder, features: Tensor, motor: NDArray[np.int64], *, false_alarm_rate: float) -> None:
    """Sets what is usual for groups and columns, and the threshold, in place.

    Args:
        model: a fitted autoencoder, not calibrated yet.
        features: ``(N, len(NAMES))`` of healthy motors that the model has not seen.
        motor: ``(N,)`` whose they are: windows of one motor are odd together, and count once in the tail.
        false_alarm_rate: share of their windows that may score above 1.
    """
    with torch.no_grad():
        mine = model.prepared(features)
        error = model.error(mine, model.excess(features))
        model.usual.copy_(torch.quantile(error, _USUAL, dim=0).clamp(min=1e-3))
        level = model.level(mine, features)
        model.knee.copy_(torch.quantile(level, _KNEE, dim=0).clamp(min=1e-3))
        # The mean of what lies above is the maximum-likelihood scale of an exponential tail.
        above = torch.relu(level - model.knee)
        model.tail.copy_((above.sum(dim=0) / (above > 0.0).sum(dim=0).clamp(min=1)).clamp(min=1e-3))
        model.threshold.fill_(1.0)
        score = model(features)[0].numpy().astype(np.float64)
        order = np.argsort(motor, kind="stable")
        pieces = np.split(score[order], np.flatnonzero(np.diff(motor[order])) + 1)
        model.threshold.fill_(evt.threshold(pieces, false_alarm_rate))


assert {name for group in GROUPS for name in group.features} <= set(NAMES)
assert sorted(name for group in COLUMNS for name in group.features) == sorted(
    name for group in GROUPS for name in group.features
)
