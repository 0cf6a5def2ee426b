"""The anomaly detector: an autoencoder that has only ever seen healthy machines.

It looks at features that do not tell one healthy machine from another: ratios to the local background, impulsiveness,
heat beyond what the load explains; no colour, and of the level only whether any machine could shake so. A group of
features is odd by its reconstruction error (values that do not go together) and by how far it lies above what healthy
machines show (no feature is worrying for being low). Each group is measured by what is usual on healthy machines that
nothing was fitted to; the score is 1 at the calibrated threshold.

What it blames is told apart from what it scores: by the lines and sensors that a person would look at, in orders of the
shaft and of the bearing. Each column is the mean squared height of its features over what is usual, and impacts that
come with a line of the bearing are put down to that line.
"""

from __future__ import annotations

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


class Autoencoder(nn.Module):
    """Features ``(B, len(NAMES))`` to score ``(B,)`` and contribution ``(B, len(COLUMNS))``."""

    columns: Tensor
    mean: Tensor
    scale: Tensor
    membership: Tensor
    level_columns: Tensor
    beyond: Tensor
    usual: Tensor
    blame: Tensor
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
        self.register_buffer("blame", _means(names, COLUMNS[:-1]))
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

    def blamed(self, mine: Tensor, excess: Tensor, halves: Tensor) -> Tensor:
        """How far each column lies above what is usual, ``(B, len(COLUMNS))``.

        Args:
            mine: as ``prepared`` gives it.
            excess: as ``excess`` gives it.
            halves: as ``features.halves_told`` gives it.
        """
        high = torch.relu(mine)
        level = torch.matmul(high * high, self.blame)
        lines, impacts, half, rest = level.split([len(LINES), 1, 1, len(COLUMNS) - len(LINES) - 3], dim=1)
        # Impacts are what a bearing's line consists of: they are blamed as such where no line explains them. Cubes,
        # so that a line within what is usual explains little.
        strength = lines * lines * lines
        total = strength.sum(dim=1, keepdim=True)
        unexplained = impacts / (1.0 + total)
        lines = lines + strength * (impacts - unexplained) / (total + 1e-6)
        return torch.cat([lines, unexplained, half * halves, rest, excess / self.usual[-1:]], dim=1)

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
        blamed = self.blamed(mine, excess, halves_told(features))
        return total / (len(GROUPS) * self.threshold), blamed / (blamed.sum(dim=1, keepdim=True) + 1e-6)


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
        model.usual.copy_(torch.quantile(error, 0.98, dim=0).clamp(min=1e-3))
        high = torch.relu(mine)
        usual = torch.quantile(torch.matmul(high * high, model.blame), 0.98, dim=0)
        model.blame.div_(usual.clamp(min=1e-3))
        model.threshold.fill_(1.0)
        score = model(features)[0].numpy().astype(np.float64)
        order = np.argsort(motor, kind="stable")
        pieces = np.split(score[order], np.flatnonzero(np.diff(motor[order])) + 1)
        model.threshold.fill_(evt.threshold(pieces, false_alarm_rate))


assert {name for group in GROUPS for name in group.features} <= set(NAMES)
assert sorted(name for group in COLUMNS for name in group.features) == sorted(
    name for group in GROUPS for name in group.features
)
